"""Organizations, members and the first administrator."""

from __future__ import annotations

import pytest
from django.contrib.auth import authenticate

from apps.accounts.models import Membership, Organization, Role, User
from apps.accounts.services import admin_ensure, membership_remove, membership_set, organization_ensure
from apps.core.errors import BadInput
from apps.events.models import Event
from tests.engine.flows import at_once

pytestmark = pytest.mark.django_db


def test_an_organization_is_made_once() -> None:
    first = organization_ensure(name="  Acme Labs ")
    assert organization_ensure(name="acme labs") == first
    assert (first.name, first.slug) == ("Acme Labs", "acme-labs")
    assert Event.objects.get(kind="organization.created").organization_id == first.pk


def test_a_name_needs_letters() -> None:
    with pytest.raises(BadInput, match="no name for an organization"):
        organization_ensure(name="!!!")


@pytest.mark.django_db(transaction=True)
def test_an_organization_is_made_once_even_at_the_same_moment() -> None:
    at_once(*[lambda: organization_ensure(name="acme")] * 5)
    assert Organization.objects.count() == 1
    assert Event.objects.filter(kind="organization.created").count() == 1


def test_a_person_has_one_role_in_an_organization() -> None:
    user, organization = User.objects.create_user("ann"), organization_ensure(name="acme")
    membership_set(user=user, organization=organization, role=Role.VIEWER)
    membership_set(user=user, organization=organization, role=Role.ADMIN, actor="root")
    assert Membership.objects.get().role == Role.ADMIN
    assert [event.data["role"] for event in Event.objects.filter(kind="membership.set")] == [
        "viewer",
        "admin",
    ]
    with pytest.raises(BadInput, match="'king' is no role"):
        membership_set(user=user, organization=organization, role="king")


def test_a_member_is_removed_once_and_the_account_stays() -> None:
    user, organization = User.objects.create_user("ann"), organization_ensure(name="acme")
    membership = membership_set(user=user, organization=organization, role=Role.USER)
    membership_remove(membership=Membership.objects.get(), actor="root")
    membership_remove(membership=membership, actor="root")
    assert (Membership.objects.count(), User.objects.count()) == (0, 1)
    assert Event.objects.get(kind="membership.removed").actor == "root"


def test_the_first_start_makes_an_administrator_and_no_later_one_does() -> None:
    password = admin_ensure()
    assert password is not None
    assert len(password) >= 20
    admin = authenticate(username="admin", password=password)
    assert admin is not None
    assert admin.is_superuser
    assert Membership.objects.get().role == Role.ADMIN
    assert admin_ensure() is None


def test_a_first_start_leaves_an_account_of_that_name_alone() -> None:
    User.objects.create_user("admin", password="mine")
    assert admin_ensure() is None
    assert authenticate(username="admin", password="mine") is not None


@pytest.mark.django_db(transaction=True)
def test_two_first_starts_at_once_make_one_administrator() -> None:
    given = at_once(admin_ensure, admin_ensure)
    assert sorted(password is None for password in given) == [False, True]
    assert User.objects.count() == 1

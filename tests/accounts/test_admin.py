"""Admin pages of accounts: who may hand out what."""

from __future__ import annotations

from typing import ClassVar

import pytest
from django.db.models import Model
from django.test import Client

from apps.accounts.models import Membership, Organization, User
from apps.accounts.services import organization_ensure
from apps.events.models import Event
from tests.admin_battery import AdminBattery, page, superuser, world
from tests.world import World, staff_build

__all__ = ["superuser", "world"]


class TestPages(AdminBattery):
    models: ClassVar[list[type[Model]]] = [Organization, User, Membership]
    history: ClassVar[list[type[Model]]] = []

    def grow(self, world: World) -> None:
        for number in range(5):
            staff_build(world.organization, f"person-{number}")
            staff_build(organization_ensure(name=f"organization {number}"), f"stranger-{number}")

    def may_be_deleted(self) -> set[type[Model]]:
        return {Membership}


@pytest.mark.django_db
def test_an_organization_is_made_with_its_slug_and_event(client: Client, superuser: User) -> None:
    client.force_login(superuser)
    client.post(page(Organization, "add"), {"name": "New Firm", **NO_MEMBERS})
    assert Organization.objects.get(slug="new-firm").name == "New Firm"
    assert Event.objects.filter(kind="organization.created", subject="organization:new-firm").exists()


@pytest.mark.django_db
def test_a_name_the_service_refuses_is_answered_in_words(client: Client, superuser: User) -> None:
    client.force_login(superuser)
    response = client.post(page(Organization, "add"), {"name": "!!!", **NO_MEMBERS}, follow=True)
    assert "is no name for an organization" in response.content.decode()
    assert not Organization.objects.exists()


@pytest.mark.django_db
def test_members_are_added_changed_and_removed_with_events(
    client: Client, world: World, superuser: User
) -> None:
    client.force_login(superuser)
    person = User.objects.create_user(username="ann")
    fields = {"user": person.pk, "organization": world.organization.pk, "role": "viewer"}
    client.post(page(Membership, "add"), fields)
    membership = Membership.objects.get(user=person)
    client.post(page(Membership, "change", membership.pk), {"role": "admin"})
    membership.refresh_from_db()
    assert membership.role == "admin"
    client.post(page(Membership, "delete", membership.pk), {"post": "yes"})
    assert not Membership.objects.filter(user=person).exists()
    kinds = Event.objects.filter(subject=f"user:{person.pk}").order_by("id").values_list("kind", "actor")
    assert list(kinds) == [
        ("membership.set", "root"),
        ("membership.set", "root"),
        ("membership.removed", "root"),
    ]


@pytest.mark.django_db
def test_staff_add_members_to_their_own_organization_only(client: Client, world: World) -> None:
    other = Organization.objects.create(name="other", slug="other")
    client.force_login(world.staff)
    fields = {"user": world.staff.pk, "organization": other.pk, "role": "admin"}
    response = client.post(page(Membership, "add"), fields)
    assert "Select a valid choice" in response.content.decode()
    assert not Membership.objects.filter(organization=other).exists()


@pytest.mark.django_db
def test_staff_cannot_make_themselves_superuser(client: Client, world: World) -> None:
    client.force_login(world.staff)
    fields = {"username": world.staff.username, "is_superuser": "on", "is_active": "on"}
    assert client.post(page(User, "change", world.staff.pk), fields).status_code == 403
    world.staff.refresh_from_db()
    assert not world.staff.is_superuser


@pytest.mark.django_db
def test_staff_cannot_hand_out_powers_to_others(client: Client, world: World) -> None:
    client.force_login(world.staff)
    person = staff_build(world.organization, "ann")
    User.objects.filter(pk=person.pk).update(is_staff=False)
    fields = {
        "username": "ann",
        "is_superuser": "on",
        "is_staff": "on",
        "is_active": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "10:00:00",
        **NO_MEMBERS,
    }
    assert client.post(page(User, "change", person.pk), fields).status_code == 302
    person.refresh_from_db()
    assert (person.is_superuser, person.is_staff) == (False, False)


@pytest.mark.django_db
def test_staff_cannot_set_the_password_of_other_staff(client: Client, world: World) -> None:
    client.force_login(world.staff)
    colleague = staff_build(world.organization, "ann")
    address = f"{page(User, 'changelist')}{colleague.pk}/password/"
    fields = {"password1": "another long one", "password2": "another long one"}
    assert client.post(address, fields).status_code == 403
    colleague.refresh_from_db()
    assert not colleague.check_password("another long one")


@pytest.mark.django_db
def test_staff_do_not_see_superusers(client: Client, world: World, superuser: User) -> None:
    Membership.objects.create(user=superuser, organization=world.organization)
    client.force_login(world.staff)
    assert client.get(page(User, "change", superuser.pk)).status_code == 302


NO_MEMBERS = {
    "memberships-TOTAL_FORMS": "0",
    "memberships-INITIAL_FORMS": "0",
    "memberships-MIN_NUM_FORMS": "0",
    "memberships-MAX_NUM_FORMS": "0",
}

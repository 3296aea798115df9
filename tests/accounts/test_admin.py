"""Admin pages of accounts: who may hand out what."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.invitation_services import invitation_create
from apps.accounts.key_services import key_create
from apps.accounts.login_services import tokens_give
from apps.accounts.models import ApiKey, BrowserSession, Login, Membership, Organization, User
from apps.accounts.services import membership_set, organization_ensure
from apps.events.models import Event
from tests.admin_pages import page, superuser, world
from tests.world import World, staff_build

__all__ = ["superuser", "world"]


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
def test_staff_cannot_set_the_password_of_members_of_other_organizations(
    client: Client, world: World
) -> None:
    client.force_login(world.staff)
    person = User.objects.create_user(username="ann")
    for organization in (world.organization, organization_ensure(name="elsewhere")):
        membership_set(user=person, organization=organization, role="user")
    fields = {"password1": "another long one", "password2": "another long one"}
    address = f"{page(User, 'changelist')}{person.pk}/password/"
    assert client.post(address, fields).status_code == 403
    person.memberships.filter(organization__slug="elsewhere").delete()
    tokens_give(person=person)
    assert client.post(address, fields).status_code == 302
    assert Login.objects.get(user=person).end_reason == "password changed"


@pytest.mark.django_db
def test_a_password_set_by_staff_signs_out_all_browsers_but_the_one_it_is_set_in(
    client: Client, superuser: User
) -> None:
    person, theirs, other = User.objects.create_user(username="ann"), Client(), Client()
    theirs.force_login(person)
    for own in (client, other):
        own.force_login(superuser)
    fields = {"password1": "another long one", "password2": "another long one"}
    for user in (person, superuser):
        address = f"{page(User, 'changelist')}{user.pk}/password/"
        assert client.post(address, fields).status_code == 302
    assert client.get(page(User, "changelist")).status_code == 200
    assert [row.pk for row in BrowserSession.objects.all()] == [client.cookies["sessionid"].value]


@pytest.mark.django_db
def test_an_address_set_by_staff_voids_a_change_that_waits_and_the_old_one_is_told(
    client: Client, superuser: User
) -> None:
    client.force_login(superuser)
    person = User.objects.create_user(username="ann", email="old@x.example", pending_email="waits@x.example")
    fields = {
        "username": "ann", "first_name": "Ann", "email": "New@x.example", "is_active": "on",
        "date_joined_0": "2026-01-01", "date_joined_1": "10:00:00", **NO_MEMBERS,
    }  # fmt: skip
    assert client.post(page(User, "change", person.pk), fields).status_code == 302
    person.refresh_from_db()
    assert (person.first_name, person.email, person.pending_email) == ("Ann", "new@x.example", "")
    assert Event.objects.get(kind="user.email_changed").data["before"] == "old@x.example"


@pytest.mark.django_db
def test_keys_invitations_and_logins_are_ended_by_a_button(
    client: Client, world: World, superuser: User
) -> None:
    client.force_login(superuser)
    key, text = key_create(user=world.staff, organization=world.organization, name="ci", scopes=["*:read"])
    invitation, _ = invitation_create(organization=world.organization, role="user", by=world.staff)
    tokens_give(person=world.staff)
    for row in (key, invitation, Login.objects.get()):
        fields = {"action": "end", "_selected_action": str(row.pk), "sure": "yes"}
        assert client.post(page(type(row), "changelist"), fields).status_code == 302
    key.refresh_from_db()
    invitation.refresh_from_db()
    assert key.revoked_at is not None
    assert invitation.state == "revoked"
    assert Login.objects.get().end_reason == "ended by an administrator"
    assert text not in client.get(page(ApiKey, "change", key.pk)).content.decode()


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

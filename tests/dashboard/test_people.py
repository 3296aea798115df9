"""People, groups, shares, keys and one's own account, as they are managed on pages."""

from __future__ import annotations

import re
from typing import Any

from django.test import Client
from django.urls import reverse

from apps.accounts.login_services import tokens_give
from apps.accounts.models import ApiKey, Invitation, Login, Membership, PeopleGroup, Role, User
from apps.accounts.services import membership_set
from apps.projects.models import Project
from tests.dashboard.test_home import read
from tests.world import World, client_of


def send(client: Client, route: str, /, *args: Any, **data: Any) -> str:
    answer = client.post(reverse(route, args=args), {"next": "/people/", **data}, follow=True)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def test_somebody_is_invited_joins_and_is_removed(reader: Client, member: User, world: World) -> None:
    admin = client_of(world, Role.ADMIN, "root")
    given = {"organization": "acme", "role": "viewer", "days": "7"}
    assert reader.post(reverse("invite"), given).status_code == 404
    answer = admin.post(reverse("invite"), {**given, "email": "not one"})
    assert (answer.status_code, 'value="not one"' in answer.content.decode()) == (400, True)
    assert admin.post(reverse("invite"), {**given, "days": "9999"}).status_code == 400
    page = admin.post(reverse("invite"), given).content.decode()
    link = re.search(r'id="new-link">http://testserver([^<]+)<', page)
    assert link is not None
    page = read(admin, "/people/")
    assert link[1] not in page, "shown once"
    assert "Open invitations" in page
    guest = Client()
    account = {"username": "kim", "password": "a long password 1"}
    assert guest.post(link[1], account, follow=True).status_code == 200
    kim = Membership.objects.get(user__username="kim")
    assert kim.role == Role.VIEWER
    assert "Open invitations" not in read(admin, "/people/")
    ApiKey.objects.create(user=kim.user, organization=kim.organization, name="k", prefix="k", digest="k")
    assert "1 API key of it ends" in read(admin, "/people/")
    assert reader.post(reverse("member-end", args=[kim.pk])).status_code == 404
    assert "kim is no member" in send(admin, "member-end", kim.pk)
    assert ApiKey.objects.get(name="k").revoked_at is not None
    admin.post(reverse("invite"), given)
    assert "good for nothing" in send(admin, "invitation-end", Invitation.objects.latest("pk").pk)


def test_the_last_administrator_stays(world: World) -> None:
    Membership.objects.filter(role=Role.ADMIN).delete()
    admin = client_of(world, Role.ADMIN, "root")
    own = Membership.objects.get(user__username="root")
    for page in (send(admin, "member-end", own.pk), send(admin, "role-set", own.pk, role="viewer")):
        assert "is the last administrator of" in page
    assert Membership.objects.get(pk=own.pk).role == Role.ADMIN


def test_groups_of_people_get_projects(reader: Client, member: User, world: World) -> None:
    admin = client_of(world, Role.ADMIN, "root")
    friend = User.objects.create_user("friend")
    assert "is there" in send(admin, "group-add", organization="acme", name="Designers")
    assert "already" in send(admin, "group-add", organization="acme", name="Designers")
    group = PeopleGroup.objects.get()
    assert "ann is in Designers" in send(admin, "group-people", group.pk, "join", user=member.pk)
    assert "Choose somebody" in send(admin, "group-people", group.pk, "join", user=friend.pk)
    project = world.project.pk
    for given, said in (
        ({"group": group.pk, "role": "viewer"}, "is shared with Designers"),
        ({"username": "friend", "role": "user"}, "is shared with friend"),
        ({"username": "nobody", "role": "user"}, "There is no user"),
        ({"username": "friend", "group": group.pk, "role": "user"}, "Say with whom"),
        ({"username": "friend", "role": "admin"}, "cannot be shared as"),
    ):
        assert said in send(admin, "share-add", project=project, **given), given
    assert Project.objects.for_user(friend).count() == 1
    page = read(admin, "/people/groups/")
    assert "with friend" in page
    assert "with the group Designers" in page
    for name, args in (("group-end", [group.pk]), ("share-end", [project, "user", friend.pk])):
        assert reader.post(reverse(name, args=args)).status_code == 404
    assert "is shared with friend no more" in send(admin, "share-end", project, "user", friend.pk)
    assert "with Designers no more" in send(admin, "share-end", project, "group", group.pk)
    assert "ann is no more in" in send(admin, "group-people", group.pk, "leave", user=member.pk)
    assert "is gone" in send(admin, "group-end", group.pk)
    assert Project.objects.for_user(friend).count() == 0


def test_keys_have_the_permissions_that_were_ticked(reader: Client, world: World) -> None:
    given = {"organization": "acme", "name": "CI", "days": "30", "may": "some"}
    made = reader.post(reverse("key-add"), {**given, "scope": ["beads:read", "beads:write"]})
    assert made.status_code == 200
    key = ApiKey.objects.get()
    assert (key.scopes, key.expires_at is not None) == (["beads:read", "beads:write"], True)
    text = re.search(r'id="new-key">([^<]+)<', made.content.decode())
    assert text is not None
    answer = Client().get("/api/v1/beads", headers={"X-API-Key": text[1]})
    assert answer.status_code == 200
    assert Client().get("/api/v1/decisions", headers={"X-API-Key": text[1]}).status_code == 403
    for scope in ("users:write", "nonsense"):
        refused = reader.post(reverse("key-add"), {**given, "scope": [scope, "beads:read"]})
        page = refused.content.decode()
        assert refused.status_code in {400, 403}
        assert 'value="CI"' in page
        assert 'value="beads:read" aria-label="beads:read" checked' in page
    assert reader.post(reverse("key-add"), given).status_code == 400, "nothing ticked"


def test_forms_of_a_page_that_answered_a_form_lead_to_a_page(reader: Client, world: World) -> None:
    given = {"organization": "acme", "name": "CI", "may": "read", "next": "/people/keys/"}
    made = reader.post(reverse("key-add"), given).content.decode()
    assert 'hx-get="/people/keys/add/"' not in made, "it has no address to be read anew from"
    (back,) = set(re.findall(r'name="next" value="([^"]*)"', made))  # of all its forms
    done = reader.post(reverse("key-end", args=[ApiKey.objects.get().pk]), {"next": back}, follow=True)
    assert (done.status_code, done.redirect_chain) == (200, [("/people/keys/", 302)])


def test_one_changes_ones_address_and_signs_out_elsewhere(reader: Client, member: User, world: World) -> None:
    other = Client()
    other.force_login(member)
    tokens_give(person=member)
    stranger = User.objects.create_user("zed")
    membership_set(user=stranger, organization=world.organization, role=Role.USER)
    bystander = Client()
    bystander.force_login(stranger)
    answer = reader.post(reverse("account-save"), {"email": "not one"})
    assert (answer.status_code, 'value="not one"' in answer.content.decode()) == (400, True)
    assert "Saved." in send(reader, "account-save", email="Ann@Example.org")
    assert User.objects.get(pk=member.pk).email == "ann@example.org"
    assert "a program" in read(reader, "/account/").lower()
    first = Login.objects.get()
    assert bystander.post(reverse("login-end", args=[first.pk])).status_code == 404
    assert "signed out" in send(reader, "login-end", first.pk)
    tokens_give(person=member)
    assert "2 ended" in send(reader, "logins-end")
    assert other.get("/account/").status_code == 302
    assert reader.get("/account/").status_code == bystander.get("/account/").status_code == 200

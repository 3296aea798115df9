"""People, keys, organizations, groups, invitations, shares and the audit trail, through the API and pages."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import ApiKey, Invitation, Membership, Organization, Role, User
from apps.accounts.services import membership_set, organization_ensure
from apps.events.models import Event
from apps.projects.models import Project
from apps.projects.services import project_create

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough secret"


class Browser:
    """Somebody logged in, who sends and gets JSON."""

    def __init__(self, user: User) -> None:
        self.user, self.client = user, Client()
        self.client.force_login(user)

    def __call__(self, method: str, address: str, body: Any = None, status: int = 200) -> Any:
        raw = json.dumps(body or {}) if method != "get" else None
        send = getattr(self.client, method)
        given = {"content_type": "application/json"} if method != "get" else {}
        answer = send(f"/api/v1/{address}", raw, **given)
        assert answer.status_code == status, (answer.status_code, answer.content)
        return answer.json() if answer.content else None


def person(name: str, **roles: str) -> User:
    user = User.objects.create_user(name, password=PASSWORD)
    for slug, role in roles.items():
        membership_set(user=user, organization=organization_ensure(name=slug), role=role)
    return user


@pytest.fixture
def boss() -> Browser:
    return Browser(person("boss", ours=Role.ADMIN))


@pytest.fixture
def ours(boss: Browser) -> Organization:
    return Organization.objects.get(slug="ours")


def test_people_are_made_changed_closed_and_opened(boss: Browser, ours: Organization) -> None:
    body = {"username": "ann", "email": "Ann@Example.org", "role": "viewer", "password": PASSWORD}
    made = boss("post", "auth/users", body, 201)
    assert (made["username"], made["email"], made["role"]) == ("ann", "ann@example.org", "viewer")
    assert boss("post", "auth/users", body, 409)["details"] == {"field": "username"}
    for wrong in (
        {"username": "a b"},
        {"email": "x"},
        {"password": "short"},
        {"role": "king"},
        {"password": None},
    ):
        boss("post", "auth/users", {**body, "username": "bob", **wrong}, 400)
    assert [row["username"] for row in boss("get", "auth/users?search=ann")] == ["ann"]
    assert [row["role"] for row in boss("get", "auth/users?ordering=username")] == ["viewer", "admin"]
    one = f"auth/users/{made['id']}"
    assert boss("patch", one, {"role": "user", "email": ""})["role"] == "user"
    token = login("ann")["token"]
    boss("delete", one, status=204)
    assert boss("get", one)["is_active"] is False
    assert Client().get("/api/v1/auth/me", headers={"authorization": f"Bearer {token}"}).status_code == 401
    assert boss("patch", one, {"is_active": True})["is_active"] is True
    kinds = Event.objects.filter(subject=f"user:{made['id']}").values_list("kind", flat=True)
    assert {"user.created", "user.updated", "user.deactivated", "user.activated", "membership.set"} <= set(
        kinds
    )


def login(name: str, password: str = PASSWORD) -> Any:
    body = json.dumps({"username": name, "password": password})
    answer = Client().post("/api/v1/auth/login", body, content_type="application/json")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_an_administrator_resets_a_password_that_is_shown_once(boss: Browser) -> None:
    ann = person("ann", ours=Role.USER)
    made = boss("post", f"auth/users/{ann.pk}/reset-password")
    assert login("ann", made["password"])["user"]["id"] == str(ann.pk)
    boss("post", f"auth/users/{ann.pk}/reset-password", {"new_password": "password12"}, 400)


def test_accounts_of_other_organizations_too_are_not_one_organizations_to_change(boss: Browser) -> None:
    shared, root = person("ann", ours=Role.USER, theirs=Role.USER), User.objects.create_superuser("root")
    membership_set(user=root, organization=organization_ensure(name="ours"), role=Role.USER)
    for user in (shared, root):
        boss("post", f"auth/users/{user.pk}/reset-password", status=403)
        boss("delete", f"auth/users/{user.pk}", status=403)
        boss("patch", f"auth/users/{user.pk}", {"email": "x@example.org"}, 403)
    boss("patch", f"auth/users/{shared.pk}", {"role": "viewer"})  # the role here is theirs to change


def test_the_last_administrator_cannot_go(boss: Browser, ours: Organization) -> None:
    me, member = boss.user.pk, f"organizations/{ours.pk}/members/{boss.user.pk}"
    for method, address, body in (
        ("delete", member, None),
        ("patch", member, {"role": "user"}),
        ("delete", f"auth/users/{me}", None),
    ):
        assert "last administrator" in boss(method, address, body, 409)["error"]
    second = person("second", ours=Role.ADMIN)
    User.objects.filter(pk=second.pk).update(is_active=False)
    boss("delete", member, status=409)
    User.objects.filter(pk=second.pk).update(is_active=True)
    boss("delete", member, status=204)
    assert not Membership.objects.filter(user=boss.user).exists()


def test_keys_are_shown_once_listed_masked_and_revoked(boss: Browser, ours: Organization) -> None:
    body = {"name": "ci", "permissions": ["beads:read"], "expires_in": 3600}
    made = boss("post", "auth/api-keys", body, 201)
    assert set(made) == {"id", "name", "key", "expires_at"}
    (listed,) = boss("get", "auth/api-keys")
    assert made["key"] not in json.dumps(listed)
    assert listed["prefix"] in made["key"]
    boss("delete", f"auth/api-keys/{made['id']}", status=204)
    assert boss("get", f"auth/api-keys/{made['id']}")["revoked_at"] is not None
    refused: list[dict[str, Any]] = [{"permissions": []}]
    for wrong in (*refused, {"permissions": ["x"]}, {"expires_in": -1}, {"name": ""}):
        boss("post", "auth/api-keys", {**body, **wrong}, 400)
    boss("post", "auth/api-keys", {**body, "project_id": 10**6}, 404)


def test_administrators_make_keys_of_service_accounts_only(boss: Browser, ours: Organization) -> None:
    robot = boss("post", "auth/users", {"username": "robot", "role": "service"}, 201)
    ann, body = person("ann", ours=Role.USER), {"name": "ci", "permissions": ["runs:read"]}
    text = boss("post", "auth/api-keys", {**body, "user_id": int(robot["id"])}, 201)["key"]
    assert Client().get("/api/v1/runs", headers={"x-api-key": text}).status_code == 200
    boss("post", "auth/api-keys", {**body, "user_id": ann.pk}, 404)
    Browser(ann)("post", "auth/api-keys", {**body, "user_id": int(robot["id"])}, 403)
    assert {row["username"] for row in boss("get", "auth/api-keys")} == {"robot"}
    assert Browser(ann)("get", "auth/api-keys") == []


def test_members_lose_what_they_could_reach(boss: Browser, ours: Organization) -> None:
    ann = person("ann", ours=Role.USER)
    browser = Browser(ann)
    browser("post", "auth/api-keys", {"name": "ci", "permissions": ["*:*"]}, 201)
    group = boss("post", f"organizations/{ours.pk}/groups", {"name": "Writers"}, 201)
    address = f"organizations/{ours.pk}/groups/{group['id']}/members"
    assert boss("post", address, {"user_id": ann.pk})["members"] == ["ann"]
    boss("delete", f"organizations/{ours.pk}/members/{ann.pk}", status=204)
    browser("get", "runs", status=403)
    assert ApiKey.objects.get().revoked_at is not None
    assert boss("get", f"organizations/{ours.pk}/groups")[0]["members"] == []
    boss("delete", f"organizations/{ours.pk}/groups/{group['id']}", status=204)


def test_an_organization_is_renamed_and_made_by_operators(boss: Browser, ours: Organization) -> None:
    assert boss("patch", f"organizations/{ours.pk}", {"name": "Ours & Co"})["slug"] == "ours"
    boss("patch", f"organizations/{ours.pk}", {"name": "!!!"}, 400)
    boss("post", "organizations", {"name": "Mine"}, 403)
    root = Browser(User.objects.create_superuser("root"))
    made = root("post", "organizations", {"name": "New Firm"}, 201)
    assert (made["slug"], made["role"]) == ("new-firm", "admin")
    root("post", "organizations", {"name": "new  firm"}, 409)


def test_one_looks_at_one_organization_of_several() -> None:
    ann = person("ann", ours=Role.USER, theirs=Role.ADMIN)
    for slug in ("ours", "theirs"):
        project_create(organization=Organization.objects.get(slug=slug), name=f"{slug} links")
    browser = Browser(ann)

    def seen() -> list[str]:
        return sorted(row["name"] for row in browser("get", "projects"))

    assert seen() == ["ours links", "theirs links"]
    assert browser("post", "auth/switch", {"organization": "theirs"}) == {"organization": "theirs"}
    assert (seen(), browser("get", "auth/me")["role"]) == (["theirs links"], "admin")
    browser.client.post("/account/organization/", {"organization": "ours"})
    assert (seen(), browser("get", "auth/me")["role"]) == (["ours links"], "user")
    assert browser.client.get("/api/v1/projects", headers={"x-organization": "theirs"}).status_code == 404
    browser("post", "auth/switch", {"organization": "nowhere"}, 404)
    browser.client.post("/account/organization/", {"organization": ""})
    assert len(seen()) == 2
    browser("post", "auth/switch", {"organization": "theirs"})
    Membership.objects.filter(user=ann, organization__slug="theirs").delete()
    assert seen() == ["ours links"]  # what one is in no more is forgotten


def test_programs_switch_by_new_tokens_or_a_header() -> None:
    person("ann", ours=Role.USER, theirs=Role.ADMIN)
    headers = {"authorization": f"Bearer {login('ann')['token']}"}
    for slug in ("ours", "theirs"):
        body = json.dumps({"organization": slug})
        answer = Client().post("/api/v1/auth/switch", body, content_type="application/json", headers=headers)
        headers = {"authorization": f"Bearer {answer.json()['token']}"}
        assert Client().get("/api/v1/auth/me", headers=headers).json()["role"] == {
            "ours": "user", "theirs": "admin",
        }[slug]  # fmt: skip


# -- invitations ---------------------------------------------------------------------------------------


def invite(boss: Browser, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = boss("post", "auth/invitations", {"role": "viewer", **more}, 201)
    return made


def test_somebody_new_joins_by_a_link_once(boss: Browser, client: Client) -> None:
    made = invite(boss, email="ann@example.org")
    link = made["link"].removeprefix("http://testserver")
    assert made["token"] in link
    assert made["token"] not in json.dumps(boss("get", "auth/invitations"))
    page = client.get(link).content.decode()
    assert "You are invited as viewer." in page
    weak = client.post(link, {"username": "ann", "password": "short"})
    assert (weak.status_code, "too short" in weak.content.decode()) == (400, True)
    assert client.post(link, {"username": "ann", "password": PASSWORD}).status_code == 302
    ann = User.objects.get(username="ann")
    assert (ann.email, ann.memberships.get().role) == ("ann@example.org", "viewer")
    assert client.get("/api/v1/auth/me").json()["username"] == "ann"
    again = Client().get(link)
    assert (again.status_code, "not open any more" in again.content.decode()) == (404, True)
    assert boss("get", "auth/invitations")[0]["state"] == "accepted"
    kinds = ["invitation.created", "invitation.accepted"]
    assert list(Event.objects.filter(kind__startswith="invit").values_list("kind", flat=True)) == kinds


def test_somebody_with_an_account_joins_with_it(boss: Browser) -> None:
    browser, made = Browser(person("ann", theirs=Role.USER)), invite(boss)
    link = made["link"].removeprefix("http://testserver")
    assert "You are signed in as ann." in browser.client.get(link).content.decode()
    joined = browser("post", "auth/invitations/accept", {"token": made["token"]})
    assert joined == {"organization": "ours", "role": "viewer"}
    browser("post", "auth/invitations/accept", {"token": made["token"]}, 404)
    other = invite(boss, role="admin")
    browser("post", "auth/invitations/accept", {"token": other["token"]}, 409)  # a member already


def test_programs_register_by_a_token(boss: Browser) -> None:
    token = invite(boss)["token"]
    body = {"token": token, "username": "ann", "password": PASSWORD}

    def register(**more: str) -> Any:
        raw = json.dumps({**body, **more})
        return Client().post("/api/v1/auth/invitations/register", raw, content_type="application/json")

    assert register(username="boss").status_code == 409
    answer = register()
    assert (answer.status_code, answer.json()["user"]["username"]) == (201, "ann")
    assert register(username="bob").status_code == 404


def test_links_end_when_revoked_or_too_old(boss: Browser) -> None:
    revoked, old = invite(boss), invite(boss)
    boss("delete", f"auth/invitations/{revoked['id']}", status=204)
    Invitation.objects.filter(pk=old["id"]).update(expires_at=timezone.now() - timedelta(seconds=1))
    for made in (revoked, old):
        assert Client().get(made["link"].removeprefix("http://testserver")).status_code == 404
    assert [row["state"] for row in boss("get", "auth/invitations")] == ["expired", "revoked"]
    boss("post", "auth/invitations", {"expires_in": 5}, 400)
    boss("post", "auth/invitations", {"email": "nobody"}, 400)


# -- one's password, shares, the audit trail -----------------------------------------------------------


def test_a_password_is_changed_on_its_page(client: Client) -> None:
    ann = person("ann", ours=Role.USER)
    client.force_login(ann)
    address = "/account/password/"
    assert "Change your password" in client.get(address).content.decode()
    wrong = client.post(address, {"current": "x", "new": "another long secret"})
    assert "not right" in wrong.content.decode()
    assert client.post(address, {"current": PASSWORD, "new": "another long secret"}).status_code == 302
    assert client.get("/api/v1/auth/me").status_code == 200
    ann.refresh_from_db()
    assert ann.check_password("another long secret")


def test_a_project_is_shared_with_people_and_groups(boss: Browser, ours: Organization) -> None:
    project = project_create(organization=ours, name="Links")
    project_create(organization=ours, name="Hidden")
    ann, bob = person("ann", theirs=Role.USER), person("bob", theirs=Role.USER)
    admin = Browser(person("admin", theirs=Role.ADMIN))
    address = f"projects/{project.pk}/shares"
    share = boss("post", address, {"username": "ann", "role": "user"}, 201)
    assert share == {"id": f"user-{ann.pk}", "kind": "user", "name": "ann", "role": "user"}
    boss("post", address, {"username": "ann", "role": "viewer"}, 201)  # in place of the other
    assert [row["role"] for row in boss("get", address)] == ["viewer"]
    assert Project.objects.for_user(ann).get() == project
    refused: list[tuple[dict[str, Any], int]] = [
        ({}, 400),
        ({"username": "x"}, 404),
        ({"group_id": 10**6}, 404),
        ({"username": "ann", "role": "admin"}, 400),
    ]
    for wrong, status in refused:
        boss("post", address, wrong, status)
    group = boss("post", f"organizations/{ours.pk}/groups", {"name": "Friends"}, 201)
    boss("post", f"organizations/{ours.pk}/groups/{group['id']}/members", {"user_id": bob.pk}, 404)
    membership_set(user=bob, organization=ours, role=Role.SERVICE)
    boss("post", f"organizations/{ours.pk}/groups/{group['id']}/members", {"user_id": bob.pk})
    boss("post", address, {"group_id": int(group["id"]), "role": "user"}, 201)
    assert [row["id"] for row in boss("get", address)] == [f"user-{ann.pk}", f"group-{group['id']}"]
    admin("get", address, status=404)
    boss("delete", f"{address}/user-{ann.pk}", status=204)
    boss("delete", f"{address}/user-{ann.pk}", status=404)
    boss("delete", f"{address}/x", status=404)
    assert not Project.objects.for_user(ann).exists()
    boss("delete", f"{address}/group-{group['id']}", status=204)
    kinds = Event.objects.filter(project_id=project.pk, kind__contains="shared").values_list(
        "kind", flat=True
    )
    assert list(kinds) == ["project.shared"] * 3 + ["project.unshared"] * 2


def test_a_group_of_others_brings_its_members_what_is_shared_with_it(
    boss: Browser, ours: Organization
) -> None:
    project, ann = project_create(organization=ours, name="Links"), person("ann", ours=Role.SERVICE)
    group = boss("post", f"organizations/{ours.pk}/groups", {"name": "Friends"}, 201)
    boss("post", f"organizations/{ours.pk}/groups/{group['id']}/members", {"user_id": ann.pk})
    browser = Browser(ann)
    browser("get", "projects", status=403)
    boss("post", f"projects/{project.pk}/shares", {"group_id": int(group["id"])}, 201)
    assert [row["name"] for row in browser("get", "projects")] == ["Links"]


def test_administrators_read_who_did_what_from_where(boss: Browser, ours: Organization) -> None:
    ann = person("ann", ours=Role.USER)
    Client().post("/login/", {"username": "ann", "password": "wrong"}, headers={"x-request-id": "abc"})
    made = boss("post", "auth/invitations", {"role": "viewer"}, 201)
    (failed,) = boss("get", "audit?type=login.failed")
    assert (failed["address"], failed["request_id"], failed["subject"]) == (
        "127.0.0.1",
        "abc",
        f"user:{ann.pk}",
    )
    newest = boss("get", f"audit?user_id={boss.user.pk}&limit=1")[0]
    assert (newest["type"], newest["credential"]) == ("invitation.created", "session")
    assert newest["subject"] == f"invitation:{made['id']}"
    assert boss("get", "audit?request_id=nothing") == []
    boss("get", "audit?colour=red", status=400)
    Browser(ann)("get", "audit", status=403)
    assert Browser(person("stranger", theirs=Role.ADMIN))("get", "audit?type=login.failed") == []

"""Accounts as somebody sees them who means ill: what each way in gives, and what it leaves behind."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from django.db.models import Max
from django.test import Client

from apps.accounts.invitation_services import invitation_accept, invitation_create
from apps.accounts.key_services import key_create
from apps.accounts.models import Login, Organization, Role, User
from apps.accounts.services import group_create, membership_remove, membership_set, organization_ensure
from apps.accounts.user_services import user_deactivate, user_update
from apps.core.origin import address_of, network_of
from apps.events.models import Event
from apps.projects.models import Project
from apps.projects.services import project_create
from apps.projects.sharing import share_set, shares_of
from tests.accounts.test_accounts_api import PASSWORD, Browser, login, person
from tests.engine.flows import at_once

pytestmark = pytest.mark.django_db
NEW = "quite another secret"


@pytest.fixture
def boss() -> Browser:
    return Browser(person("boss", ours=Role.ADMIN))


@pytest.fixture
def ours(boss: Browser) -> Organization:
    return Organization.objects.get(slug="ours")


def send(method: str, address: str, body: Any = None, **headers: str) -> Any:
    raw = json.dumps(body or {})
    return Client().generic(method, f"/api/v1/{address}", raw, "application/json", headers=headers or None)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


# -- keys -------------------------------------------------------------------------------------------------


def test_a_key_lets_nobody_in_who_may_do_more_than_the_key(boss: Browser, ours: Organization) -> None:
    root, ann = User.objects.get(username="boss"), person("ann", ours=Role.ADMIN)
    bob = person("bob", ours=Role.VIEWER)

    def key(*scopes: str) -> dict[str, str]:
        return {"x-api-key": key_create(user=root, organization=ours, name="k", scopes=scopes)[1]}

    narrow = key("users:read", "users:write", "organizations:read", "organizations:write")
    new = {"username": "mallory", "password": NEW, "role": "admin"}
    member = f"organizations/{ours.pk}/members/{bob.pk}"
    for method, address, body in (
        ("POST", "auth/users", new),
        ("POST", "auth/users", {**new, "role": "viewer"}),
        ("POST", "auth/invitations", {"role": "admin"}),
        ("PATCH", f"auth/users/{bob.pk}", {"role": "admin"}),
        ("PATCH", member, {"role": "admin"}),
        ("POST", f"auth/users/{ann.pk}/reset-password", {}),
    ):
        answer = send(method, address, body, **narrow)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, address)
    assert bob.memberships.get().role == Role.VIEWER
    assert send("POST", "auth/users", {"username": "robot", "role": "service"}, **narrow).status_code == 201
    reader = key("users:write", "*:read")
    assert send("POST", "auth/users", {**new, "role": "viewer"}, **reader).status_code == 201
    assert send("POST", "auth/invitations", {"role": "admin"}, **reader).status_code == 403
    assert send("PATCH", member, {"role": "admin"}, **key("*:*")).status_code == 200


def test_a_key_resets_the_password_of_no_operator(boss: Browser, ours: Organization) -> None:
    root, robot = User.objects.create_superuser("root"), User.objects.create_superuser("robot")
    staff = person("staff", ours=Role.VIEWER)
    User.objects.filter(pk=staff.pk).update(is_staff=True)
    for user in (root, robot):
        membership_set(user=user, organization=ours, role=Role.VIEWER)
    for scopes in (["users:read", "users:write", "*:read"], ["*:*"]):
        _, key = key_create(user=robot, organization=ours, name="k", scopes=scopes)
        for user in (root, staff):
            answer = send("POST", f"auth/users/{user.pk}/reset-password", **{"x-api-key": key})
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (scopes, user)
    assert Browser(robot)("post", f"auth/users/{root.pk}/reset-password")["username"] == "root"


def test_a_key_resets_not_the_password_of_its_owner(boss: Browser, ours: Organization) -> None:
    robot = person("robot", ours=Role.ADMIN)
    _, key = key_create(user=robot, organization=ours, name="k", scopes=["*:*"])
    answer = send("POST", f"auth/users/{robot.pk}/reset-password", **{"x-api-key": key})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert Browser(robot)("post", f"auth/users/{robot.pk}/reset-password")["username"] == "robot"


def test_a_key_shares_nothing_with_who_may_then_do_more_than_the_key(
    boss: Browser, ours: Organization
) -> None:
    project, ann = project_create(organization=ours, name="Links"), person("ann", ours=Role.SERVICE)
    people = group_create(organization=ours, name="Friends")
    share, join = f"projects/{project.pk}/shares", f"organizations/{ours.pk}/groups/{people.pk}/members"

    def key(*scopes: str) -> dict[str, str]:
        return {"x-api-key": key_create(user=boss.user, organization=ours, name="k", scopes=scopes)[1]}

    narrow = key("projects:read", "projects:admin", "organizations:read", "organizations:write")
    reader = key("*:read", "projects:admin", "organizations:write")
    shared = {"username": "ann", "role": "viewer"}
    for keyed, address, body in (
        (narrow, share, shared),
        (reader, share, {**shared, "role": "user"}),
        (narrow, join, {"user_id": ann.pk}),
        (reader, join, {"user_id": ann.pk}),
    ):
        answer = send("POST", address, body, **keyed)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (address, body)
    assert not shares_of(project)
    assert not people.group.user_set.exists()
    assert send("POST", share, shared, **reader).status_code == 201
    assert send("POST", join, {"user_id": ann.pk}, **key("*:*")).status_code == 200


def test_ones_own_address_waits_to_be_confirmed_also_where_one_administers_accounts(
    boss: Browser, settings: Any
) -> None:
    settings.LOOM_EMAIL_URL = "smtp://mail.example:25"
    ann = person("ann", ours=Role.USER)
    for user, at_once_set in ((boss.user, False), (ann, True)):
        told = boss("patch", f"auth/users/{user.pk}", {"email": "new@x.example"})
        user.refresh_from_db()
        assert (told["email"] == "new@x.example", user.pending_email == "") == (at_once_set, at_once_set)


# -- logins -----------------------------------------------------------------------------------------------


def test_switching_gives_no_login_that_outlives_the_one_it_came_from() -> None:
    ann = person("ann", ours=Role.USER, theirs=Role.ADMIN)
    first = login("ann")
    switched = send("POST", "auth/switch", {"organization": "theirs"}, **bearer(first["token"])).json()
    (row,) = Login.objects.filter(user=ann)
    assert (row.organization and row.organization.slug, row.rotation) == ("theirs", 1)
    assert switched["refresh_expires_in"] <= first["refresh_expires_in"]
    # Whoever switched with a token that was lost is found out by its owner's next refresh, and both are out.
    assert send("POST", "auth/refresh", {"refresh_token": first["refresh_token"]}).status_code == 401
    assert send("POST", "auth/refresh", {"refresh_token": switched["refresh_token"]}).status_code == 401
    assert send("GET", "auth/me", **bearer(switched["token"])).status_code == 401


def test_logging_out_ends_what_was_switched_to_too() -> None:
    person("ann", ours=Role.USER, theirs=Role.ADMIN)
    token = login("ann")["token"]
    other = send("POST", "auth/switch", {"organization": "theirs"}, **bearer(token)).json()
    assert send("POST", "auth/logout", **bearer(token)).status_code == 200
    assert send("GET", "auth/me", **bearer(other["token"])).status_code == 401
    assert send("POST", "auth/refresh", {"refresh_token": other["refresh_token"]}).status_code == 401


def test_a_stolen_session_is_no_place_to_guess_the_password(settings: Any) -> None:
    settings.LOOM_LOGINS_PER_ACCOUNT = 3
    ann = person(f"ann-{User.objects.aggregate(Max('pk'))['pk__max']}", ours=Role.USER)
    browser = Browser(ann)
    for _ in range(3):
        browser("post", "auth/change-password", {"current_password": "x", "new_password": NEW}, 401)
    right = {"current_password": PASSWORD, "new_password": NEW}
    refused = browser.client.post(
        "/api/v1/auth/change-password", json.dumps(right), content_type="application/json"
    )
    assert (refused.status_code, int(refused["Retry-After"]) > 0) == (429, True)
    page = browser.client.post("/account/password/", {"current": PASSWORD, "new": NEW})
    assert (page.status_code, "Too many wrong passwords" in page.content.decode()) == (400, True)
    ann.refresh_from_db()
    assert ann.check_password(PASSWORD)
    assert browser.client.get("/admin/password_change/").headers["Location"] == "/account/password/"


def test_a_new_password_is_a_new_one() -> None:
    browser = Browser(person("ann", ours=Role.USER))
    same = {"current_password": PASSWORD, "new_password": PASSWORD}
    assert browser("post", "auth/change-password", same, 400)["details"] == {"field": "new_password"}


def test_an_endless_password_costs_no_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    person("ann", ours=Role.USER)
    monkeypatch.setattr(User, "check_password", lambda *_: pytest.fail("hashed"))
    page = Client().post("/login/", {"username": "ann", "password": "x" * 100_000})
    assert page.status_code == 200
    assert "sessionid" not in page.cookies


@pytest.mark.parametrize(
    ("forwarded", "proxies", "seen"),
    [
        ("6.6.6.6", 0, "10.0.0.1"),  # nobody is trusted: what a client says of itself does not count
        ("6.6.6.6, 9.9.9.9", 1, "9.9.9.9"),
        ("6.6.6.6, 9.9.9.9, 10.0.0.2", 2, "9.9.9.9"),
        ("6.6.6.6", 2, "10.0.0.1"),  # did not come through both
        ("", 1, "10.0.0.1"),
    ],
)
def test_an_address_is_what_our_own_proxy_saw(settings: Any, forwarded: str, proxies: int, seen: str) -> None:
    settings.LOOM_PROXIES = proxies
    meta = {"REMOTE_ADDR": "10.0.0.1", **({"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {})}
    assert address_of(meta) == seen


def test_who_has_a_whole_network_of_addresses_is_counted_once(settings: Any) -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff") != network_of("2001:db8:0:1::1")
    assert (network_of("10.0.0.1"), network_of("::ffff:10.0.0.1"), network_of("x")) == (
        "10.0.0.1",
        "10.0.0.1",
        "x",
    )
    settings.LOOM_LOGINS_PER_ADDRESS = 2
    body = json.dumps({"username": "nobody", "password": "x"})
    got = [
        Client(REMOTE_ADDR=f"2001:db8:77::{number}")
        .post("/api/v1/auth/login", body, content_type="application/json")
        .status_code
        for number in range(1, 4)
    ]
    assert got == [401, 401, 429]


def test_an_unknown_name_a_closed_account_and_a_wrong_password_look_alike() -> None:
    person("ann", ours=Role.USER)
    closed, service = person("closed", ours=Role.USER), person("service", ours=Role.SERVICE)
    user_deactivate(user=closed)
    service.set_unusable_password()
    service.save()
    answers = {
        send("POST", "auth/login", {"username": name, "password": secret}).content
        for name, secret in (("ann", "x"), ("nobody", PASSWORD), ("closed", PASSWORD), ("service", PASSWORD))
    }
    assert len(answers) == 1


# -- coming in, and being put out --------------------------------------------------------------------------


def test_an_invitation_to_somebody_is_for_nobody_else(boss: Browser) -> None:
    made = boss("post", "auth/invitations", {"email": "Ann@example.org", "role": "admin"}, 201)
    eve, ann = person("eve", theirs=Role.USER), person("ann", theirs=Role.USER)
    User.objects.filter(pk=eve.pk).update(email="eve@example.org")
    User.objects.filter(pk=ann.pk).update(email="ann@Example.org")
    refused = Browser(eve)("post", "auth/invitations/accept", {"token": made["token"]}, 403)
    assert "example.org" not in json.dumps(refused)
    page = Browser(eve).client.post(made["link"].removeprefix("http://testserver"))
    assert (page.status_code, "another e-mail address" in page.content.decode()) == (400, True)
    assert Browser(User.objects.get(pk=ann.pk))("post", "auth/invitations/accept", {"token": made["token"]})


def test_the_address_of_an_invitation_is_worth_nothing_without_its_link(boss: Browser) -> None:
    made = boss("post", "auth/invitations", {"email": "ann@example.org", "role": "admin"}, 201)
    eve = person("eve", theirs=Role.ADMIN)
    user_update(user=eve, email="ann@example.org", actor="eve")
    mine = Browser(User.objects.get(pk=eve.pk))
    assert mine("get", "auth/invitations") == []
    for guess in (str(made["id"]), "ann@example.org", made["token"][:-1]):
        mine("post", "auth/invitations/accept", {"token": guess}, 404)
    assert not eve.memberships.filter(organization__slug="ours").exists()


def test_who_was_put_out_comes_back_by_no_link_of_their_own(boss: Browser, ours: Organization) -> None:
    for leave in (
        lambda user: membership_remove(membership=user.memberships.get()),
        lambda user: membership_set(user=user, organization=ours, role=Role.USER),
        lambda user: user_deactivate(user=user),
    ):
        rogue = person(f"rogue-{User.objects.count()}", ours=Role.ADMIN)
        _, token = invitation_create(organization=ours, role=Role.ADMIN, by=rogue)
        leave(rogue)
        body = {"token": token, "username": "again", "password": PASSWORD}
        assert send("POST", "auth/invitations/register", body).status_code == 404
    assert Event.objects.filter(kind="invitation.revoked").count() == 3


def test_who_was_put_out_keeps_no_project_that_was_shared_with_them(
    boss: Browser, ours: Organization
) -> None:
    ann = person("ann", ours=Role.USER, theirs=Role.USER)
    here = project_create(organization=ours, name="Ours")
    there = project_create(organization=organization_ensure(name="third"), name="Third")
    for project in (here, there):
        share_set(project=project, to=ann, role="user")
    _, key = key_create(user=ann, organization=ours, name="k", scopes=["*:*"])
    boss("delete", f"organizations/{ours.pk}/members/{ann.pk}", status=204)
    assert list(Project.objects.for_user(User.objects.get(pk=ann.pk))) == [there]
    assert send("GET", "projects", **{"x-api-key": key}).status_code == 401


def test_nobody_takes_a_name_that_looks_like_anothers(boss: Browser) -> None:
    person("ann", theirs=Role.USER)
    for name in ("Ann", "ANN", "ａｎｎ"):
        boss("post", "auth/users", {"username": name, "password": PASSWORD}, 409)


# -- what is not theirs to set ------------------------------------------------------------------------------


def test_powers_are_not_among_what_a_body_can_set(boss: Browser, ours: Organization) -> None:
    powers = {"is_superuser": True, "is_staff": True, "id": 1, "groups": [1], "user_permissions": [1]}
    made = boss("post", "auth/users", {"username": "ann", "password": PASSWORD, **powers}, 201)
    boss("patch", f"auth/users/{made['id']}", {"email": "a@example.org", **powers, "password": "x"})
    ann = User.objects.get(username="ann")
    assert (ann.is_superuser, ann.is_staff, ann.groups.count(), ann.check_password(PASSWORD)) == (
        False, False, 0, True,
    )  # fmt: skip
    key = boss(
        "post", "auth/api-keys",
        {"name": "k", "permissions": ["beads:read"], "grants": True, "scopes": ["*:*"], "prefix": "x"}, 201,
    )  # fmt: skip
    assert boss("get", f"auth/api-keys/{key['id']}")["permissions"] == ["beads:read"]


def test_staff_is_not_an_organizations_to_take_over(boss: Browser) -> None:
    staff = person("staff", ours=Role.USER)
    User.objects.filter(pk=staff.pk).update(is_staff=True)
    boss("post", f"auth/users/{staff.pk}/reset-password", status=403)
    boss("patch", f"auth/users/{staff.pk}", {"email": "x@example.org"}, 403)


def test_a_change_that_fails_halfway_changes_nothing(boss: Browser) -> None:
    ann = person("ann", ours=Role.USER)
    boss("patch", f"auth/users/{ann.pk}", {"role": "viewer", "email": "nobody"}, 400)
    assert ann.memberships.get().role == Role.USER
    loner = person("loner")
    root = Browser(User.objects.create_superuser("root"))
    assert root("patch", f"auth/users/{loner.pk}", {"role": "viewer"}, 409)["details"] == {"field": "role"}


# -- what is left behind ------------------------------------------------------------------------------------


def test_each_act_leaves_one_row_with_its_origin_and_no_secret(boss: Browser, ours: Organization) -> None:
    ann = person("ann", ours=Role.USER)
    secrets = [PASSWORD, NEW]
    tokens = login("ann")
    steps: list[tuple[str, str, str, dict[str, Any]]] = [
        ("login.refreshed", "POST", "auth/refresh", {"refresh_token": tokens["refresh_token"]}),
        ("login.switched", "POST", "auth/switch", {"organization": "ours"}),
        ("login.ended", "POST", "auth/logout", {}),
    ]
    for kind, method, address, body in steps:
        before = Event.objects.aggregate(Max("pk"))["pk__max"]
        answer = send(method, address, body, **bearer(tokens["token"]), **{"x-request-id": f"did-{kind}"})
        assert answer.status_code == 200, answer.content
        tokens = {**tokens, **answer.json()}
        secrets += [tokens["token"], tokens["refresh_token"]]
        (row,) = Event.objects.filter(pk__gt=before)
        assert (row.kind, row.address, row.request_id, row.actor) == (kind, "127.0.0.1", f"did-{kind}", "ann")
    by_boss: list[tuple[str, str, str, dict[str, Any], int]] = [
        ("api_key.created", "post", "auth/api-keys", {"name": "k", "permissions": ["beads:read"]}, 201),
        ("invitation.created", "post", "auth/invitations", {}, 201),
        ("user.password_reset", "post", f"auth/users/{ann.pk}/reset-password", {"new_password": NEW}, 200),
        ("user.password_changed", "post", "auth/change-password",
         {"current_password": PASSWORD, "new_password": NEW}, 200),
        ("membership.set", "patch", f"organizations/{ours.pk}/members/{ann.pk}", {"role": "viewer"}, 200),
        ("request.made", "post", "auth/switch", {"organization": "ours"}, 200),
    ]  # fmt: skip
    for kind, method, address, body, status in by_boss:
        before = Event.objects.aggregate(Max("pk"))["pk__max"]
        told = boss(method, address, body, status)
        secrets += [told[name] for name in ("key", "token", "password") if name in told]
        (row,) = Event.objects.filter(pk__gt=before)
        assert (row.kind, row.user_id, row.credential) == (kind, boss.user.pk, "session")
    written = json.dumps([[*row.values()] for row in Event.objects.values()], default=str)
    assert [secret for secret in secrets if secret in written] == []


# -- at the same moment -----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_project_is_shared_with_somebody_in_one_role() -> None:
    project, eve = project_create(organization=organization_ensure(name="ours"), name="P"), person("eve")
    for _ in range(5):
        roles = (Role.USER, Role.VIEWER) * 2
        at_once(*(partial(share_set, project=project, to=eve, role=role) for role in roles))
        assert len(shares_of(project)) == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_links_that_one_person_follows_at_once_the_first_counts() -> None:
    ours, boss = organization_ensure(name="ours"), person("boss", ours=Role.ADMIN)
    for number in range(5):
        eve = person(f"eve{number}")
        tokens = [
            invitation_create(organization=ours, role=role, by=boss)[1] for role in (Role.USER, Role.VIEWER)
        ]
        given = at_once(*(partial(invitation_accept, token=token, user=eve) for token in tokens))
        joined = [one for one in given if not isinstance(one, BaseException)]
        assert [one.role for one in joined] == [eve.memberships.get().role]

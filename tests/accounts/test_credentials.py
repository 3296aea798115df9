"""Tokens, API keys and shared projects: what each lets in, and when it stops."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from apps.accounts.authentication import person_from, person_renew, stream_person, stream_token
from apps.accounts.key_services import key_create, key_revoke
from apps.accounts.models import ApiKey, BrowserSession, Login, Organization, Role, User
from apps.accounts.services import membership_remove, membership_set, organization_ensure
from apps.accounts.tasks import trim
from apps.accounts.tokens import ACCESS, token_sign
from apps.accounts.user_services import password_reset, user_activate, user_deactivate
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.core.errors import BadInput, Forbidden, NotFound
from apps.core.tenancy import Access
from apps.decisions.models import Decision
from apps.decisions.services import decision_request
from apps.engine.models import Run
from apps.events.models import Event
from apps.projects.models import Project
from apps.projects.services import project_create

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough secret"
OPTIONS = [{"key": "a", "label": "A"}, {"key": "b", "label": "B"}]


@pytest.fixture(autouse=True)
def ann(request: Any) -> User:
    """An ordinary member of `ours` and a looker-on of `theirs`, with a name of her own for each test."""
    user = User.objects.create_user(f"ann-{request.node.name[:100]}", password=PASSWORD)
    membership_set(user=user, organization=organization_ensure(name="ours"), role=Role.USER)
    membership_set(user=user, organization=organization_ensure(name="theirs"), role=Role.VIEWER)
    return user


@pytest.fixture
def ours(ann: User) -> Organization:
    return Organization.objects.get(slug="ours")


def post(address: str, body: Any = None, **headers: str) -> Any:
    client = Client(enforce_csrf_checks=True)
    text = json.dumps(body or {})
    return client.post(f"/api/v1/{address}", text, content_type="application/json", headers=headers or None)


def get(address: str, **headers: str) -> Any:
    return Client().get(f"/api/v1/{address}", headers=headers or None)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def log_in(user: User, **more: str) -> dict[str, Any]:
    answer = post("auth/login", {"username": user.username, "password": PASSWORD, **more})
    assert answer.status_code == 200, answer.content
    body: dict[str, Any] = answer.json()
    return body


# -- tokens ------------------------------------------------------------------------------------------


def test_a_login_gives_tokens_that_say_who_one_is(ann: User) -> None:
    body = log_in(ann, organization="theirs")
    assert set(body) == {"token", "expires_in", "refresh_token", "refresh_expires_in", "user"}
    assert set(body["user"]) == {"id", "username", "email", "role", "is_active", "created_at", "updated_at"}
    claims = jwt.decode(body["token"], options={"verify_signature": False})
    assert (claims["iss"], claims["user_id"], claims["username"]) == ("loom", str(ann.pk), ann.username)
    assert (claims["role"], claims["organization"]) == ("viewer", "theirs")
    assert claims["exp"] - claims["iat"] == body["expires_in"] == 900
    assert {"beads:read", "projects:read"} <= set(claims["permissions"])
    assert "beads:write" not in claims["permissions"]
    assert get("auth/me", **bearer(body["token"])).json()["role"] == "viewer"


@pytest.mark.parametrize(
    "body",
    [
        {"username": "nobody", "password": PASSWORD},
        {"username": "ann", "password": "wrong"},
        {"username": "ann\0", "password": PASSWORD},
    ],
)
def test_a_wrong_name_or_password_is_refused_alike(body: dict[str, str]) -> None:
    answer = post("auth/login", body)
    assert answer.status_code in {400, 401}
    if answer.status_code == 401:
        assert answer.json()["error"] == "This name and password do not fit together."


def test_a_body_that_is_no_login_is_a_400() -> None:
    for body in (
        {},
        {"username": "x"},
        {"username": ["x"], "password": {}},
        {"username": "x", "password": ""},
    ):
        assert post("auth/login", body).status_code == 400


def test_no_organization_of_others_can_be_named(ann: User) -> None:
    organization_ensure(name="foreign")
    answer = post("auth/login", {"username": ann.username, "password": PASSWORD, "organization": "foreign"})
    assert answer.status_code == 404
    token = log_in(ann)["token"]
    assert get("decisions", **bearer(token), **{"x-organization": "foreign"}).status_code == 404
    assert get("decisions", **bearer(token), **{"x-organization": "ours"}).status_code == 200


def test_a_refresh_token_is_good_once_and_its_second_use_ends_the_login(ann: User) -> None:
    first = log_in(ann)
    second = post("auth/refresh", {"refresh_token": first["refresh_token"]}).json()
    assert get("auth/me", **bearer(second["token"])).status_code == 200
    assert post("auth/refresh", {"refresh_token": first["refresh_token"]}).status_code == 401
    assert get("auth/me", **bearer(second["token"])).status_code == 401
    assert post("auth/refresh", {"refresh_token": second["refresh_token"]}).status_code == 401
    assert Login.objects.get(user=ann).end_reason == "refresh token used twice"
    assert Event.objects.get(kind="login.ended").data["reason"] == "refresh token used twice"


def test_refreshing_needs_a_refresh_token(ann: User) -> None:
    body = log_in(ann)
    for wrong in (body["token"], "x", body["refresh_token"][:-3] + "abc"):
        assert post("auth/refresh", {"refresh_token": wrong}).status_code == 401
    assert post("auth/refresh", {}, **{"x-user-id": str(ann.pk)}).status_code == 400


def test_logging_out_ends_the_tokens_of_that_login_only(ann: User) -> None:
    here, there = log_in(ann), log_in(ann)
    assert post("auth/logout", **bearer(here["token"])).json() == {"message": "Logged out"}
    assert get("auth/me", **bearer(here["token"])).status_code == 401
    assert post("auth/refresh", {"refresh_token": here["refresh_token"]}).status_code == 401
    assert get("auth/me", **bearer(there["token"])).status_code == 200


def test_a_new_password_ends_all_tokens_and_other_sessions(ann: User) -> None:
    token, browser = log_in(ann)["token"], Client()
    browser.force_login(ann)
    address = "auth/change-password"
    wrong = {"current_password": "nope", "new_password": "another long secret"}
    assert post(address, wrong, **bearer(token)).status_code == 401
    weak = post(address, {"current_password": PASSWORD, "new_password": "short"}, **bearer(token))
    assert weak.status_code == 400
    assert "too short" in weak.json()["error"]
    good = {"current_password": PASSWORD, "new_password": "another long secret"}
    assert post(address, good, **bearer(token)).json() == {"message": "Password changed successfully"}
    assert get("auth/me", **bearer(token)).status_code == 401
    assert browser.get("/api/v1/auth/me").status_code == 401
    assert {event.organization_id for event in Event.objects.filter(kind="user.password_changed")} == set(
        ann.memberships.values_list("organization_id", flat=True)
    )


def test_closed_accounts_and_forged_tokens_are_let_in_nowhere(ann: User) -> None:
    token = log_in(ann)["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    forged = jwt.encode(claims, "another secret of more than 32 bytes", algorithm="HS256")
    unsigned = jwt.encode(claims, "", algorithm="none")
    stale = token_sign(ACCESS, -1, sid=claims["sid"])
    for wrong in (forged, unsigned, stale, "x", "a.b.c", token_sign(ACCESS, 60), token_sign("stream", 60)):
        answer = get("auth/me", **bearer(wrong))
        assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed"), wrong
    assert get("auth/me", authorization="Bearer").status_code == 401
    assert get("auth/me", authorization="Basic YTpi").json()["code"] == "not_authenticated"
    browser = Client()
    browser.force_login(ann)
    user_deactivate(user=ann)
    assert get("auth/me", **bearer(token)).status_code == 401
    assert post("auth/login", {"username": ann.username, "password": PASSWORD}).status_code == 401
    user_activate(user=ann)
    assert browser.get("/api/v1/auth/me").status_code == 401, "nobody is let in again by being let in"


def test_tokens_need_no_csrf_token_and_sessions_do(ann: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ann)
    assert browser.post("/api/v1/auth/logout").status_code == 403
    assert post("auth/logout", **bearer(log_in(ann)["token"])).status_code == 200


# -- API keys ----------------------------------------------------------------------------------------


def key_of(user: User, organization: Organization, *scopes: str, **more: Any) -> str:
    return key_create(user=user, organization=organization, name="ci", scopes=scopes, **more)[1]


def test_a_key_is_kept_as_a_hash_and_known_by_its_prefix(ann: User, ours: Organization) -> None:
    text = key_of(ann, ours, "decisions:read")
    key = ApiKey.objects.get()
    assert text.startswith(f"loom_{key.prefix}_")
    assert text not in json.dumps([str(value) for value in ApiKey.objects.values().get().values()])
    told = Event.objects.get(kind="api_key.created")
    assert text.removeprefix(f"loom_{key.prefix}_") not in json.dumps(told.data)
    for headers in ({"x-api-key": text}, bearer(text)):
        assert get("decisions", **headers).status_code == 200
    key.refresh_from_db()
    assert key.last_used_at is not None
    assert key.last_address == "127.0.0.1"


def test_a_key_does_what_its_scopes_and_its_owners_role_allow_both(ann: User, ours: Organization) -> None:
    read, everything = key_of(ann, ours, "decisions:read"), key_of(ann, ours, "*:*")
    assert get("runs", **{"x-api-key": read}).json()["details"]["permission"] == "runs:read"
    assert post("decisions", **{"x-api-key": read}).status_code == 403
    assert get("runs", **{"x-api-key": everything}).status_code == 200
    with pytest.raises(Forbidden, match="projects:delete"):
        key_of(ann, ours, "projects:delete")
    for wrong in ((), ("beads",), ("beads:fly",), ("cars:read",), ("beads:read", "")):
        with pytest.raises(BadInput):
            key_of(ann, ours, *wrong)
    membership_set(user=ann, organization=ours, role=Role.VIEWER)
    assert post("decisions", **{"x-api-key": everything}).status_code == 403


def test_no_key_changes_its_owners_account(ann: User, ours: Organization) -> None:
    everything = {"x-api-key": key_of(ann, ours, "*:*")}
    assert get("auth/me", **everything).json()["username"] == ann.username
    assert post("auth/change-password", **everything).status_code == 403


def test_a_superusers_key_reaches_one_organization(ours: Organization) -> None:
    root = User.objects.create_superuser("root")
    membership_set(user=root, organization=ours, role=Role.ADMIN)
    foreign = project_create(organization=organization_ensure(name="foreign"), name="Secret")
    person = person_from({"X-API-Key": key_of(root, ours, "*:*")})
    assert person is not None
    assert not person.is_superuser
    assert foreign not in Project.objects.for_user(person)


def test_a_key_of_one_project_reaches_nothing_else(ann: User, ours: Organization) -> None:
    mine, other = (project_create(organization=ours, name=name) for name in ("Mine", "Other"))
    for project in (mine, other):
        decision_request(project=project, question="Which?", options=OPTIONS, requester="x")
    with pytest.raises(NotFound):
        key_of(ann, ours, "*:*", project_id=10**6)
    headers = {"x-api-key": key_of(ann, ours, "*:*", project_id=mine.pk)}
    (found,) = get("decisions", **headers).json()
    assert found["project_id"] == str(mine.pk)
    assert get(f"decisions/{Decision.objects.get(project=other).pk}", **headers).status_code == 404
    body = {"question": "Which?", "options": ["a", "b"]}
    assert post("decisions", {**body, "project_id": mine.pk}, **headers).status_code == 201
    assert post("decisions", {**body, "project_id": other.pk}, **headers).status_code == 404


def test_keys_end_when_revoked_expired_or_their_owner_is_gone(ann: User, ours: Organization) -> None:
    def lets_in(text: str) -> bool:
        return bool(get("decisions", **{"x-api-key": text}).status_code == 200)

    revoked, old, orphan = (key_of(ann, ours, "*:read", expires_in=60) for _ in range(3))
    assert lets_in(revoked)
    key = ApiKey.objects.order_by("pk")[0]
    assert key_revoke(key=key, actor="root")
    assert not key_revoke(key=key, actor="root")
    ApiKey.objects.filter(pk=key.pk + 1).update(expires_at=timezone.now() - timedelta(seconds=1))
    for text in (revoked, old, "loom_x", "loom_", old[:-1]):
        assert not lets_in(text)
    membership_remove(membership=ann.memberships.get(organization=ours))
    assert not lets_in(orphan)


def test_a_service_account_does_what_an_administrator_wrote_on_its_key(ours: Organization) -> None:
    robot, boss = User.objects.create_user("robot"), User.objects.create_user("boss")
    membership_set(user=robot, organization=ours, role=Role.SERVICE)
    membership_set(user=boss, organization=ours, role=Role.ADMIN)
    for scope in ("decisions:read", "*:*"):
        with pytest.raises(Forbidden):  # not what it wishes itself
            key_of(robot, ours, scope)
    text = key_of(robot, ours, "decisions:read", maker=boss)
    assert get("decisions", **{"x-api-key": text}).status_code == 200
    assert get("runs", **{"x-api-key": text}).status_code == 403


def test_a_key_from_before_its_owner_became_a_service_account_grants_nothing(
    ann: User, ours: Organization
) -> None:
    text = key_of(ann, ours, "*:*")
    membership_set(user=ann, organization=ours, role=Role.SERVICE)
    assert get("decisions", **{"x-api-key": text}).status_code == 403


def test_what_has_run_out_is_not_kept_for_ever(ann: User) -> None:
    for _ in range(2):
        Client().force_login(ann)
        log_in(ann)
    now = timezone.now()
    sessions = BrowserSession.objects.all()
    sessions.filter(pk=sessions[0].pk).update(expire_date=now - timedelta(seconds=1))
    first, second = Login.objects.order_by("created_at")
    Login.objects.filter(pk=first.pk).update(expires_at=now - timedelta(days=31))
    Login.objects.filter(pk=second.pk).update(expires_at=now - timedelta(days=1))
    trim()
    assert BrowserSession.objects.count() == 1
    assert list(Login.objects.all()) == [second]


# -- what outlives a request ---------------------------------------------------------------------------


def test_access_is_asked_for_again_by_what_outlives_its_request(ann: User, ours: Organization) -> None:
    keyed = person_from({"X-API-Key": key_of(ann, ours, "decisions:read")})
    assert keyed is not None
    again = stream_person(stream_token(keyed))
    assert again is not None
    assert (again.pk, again.access) == (ann.pk, keyed.access)
    key_revoke(key=ApiKey.objects.get())
    assert person_renew(keyed) is None
    assert stream_person(stream_token(keyed)) is None
    logged_in = person_from({"Authorization": f"Bearer {log_in(ann)['token']}"})
    assert logged_in is not None
    assert person_renew(logged_in) is not None
    assert person_renew(ann) is not None
    password_reset(user=ann, actor="root")
    assert person_renew(logged_in) is None
    assert person_renew(User(pk=ann.pk, password="old")) is None
    assert stream_person("x") is None
    assert stream_person(log_in_token_of(logged_in)) is None


def log_in_token_of(user: User) -> str:
    return token_sign(ACCESS, 60, user_id=user.pk)


# -- shared projects -----------------------------------------------------------------------------------


def test_a_shared_project_is_all_one_sees_of_its_organization(
    ann: User, django_assert_num_queries: Any
) -> None:
    foreign = organization_ensure(name="foreign")
    shared, hidden = (project_create(organization=foreign, name=name) for name in ("Shared", "Hidden"))
    for project in (shared, hidden):
        bead_create(project=project, title="Build", acceptance=["It works."])
        decision_request(project=project, question="Which?", options=OPTIONS, requester="x")
        Run.objects.create(key=f"r{project.pk}", flow="x", organization_id=foreign.pk, project_id=project.pk)
    assign_perm("projects.share_viewer", ann, shared)
    for model, path in ((Project, "pk"), (Bead, "project_id"), (Decision, "project_id"), (Run, "project_id")):
        with django_assert_num_queries(1):
            seen = list(model.objects.for_user(ann).values_list(path, flat=True))
        assert set(seen) == {shared.pk}, model
    told = set(Event.objects.for_user(ann).exclude(project_id=None).values_list("project_id", flat=True))
    assert told == {shared.pk}
    assert foreign not in Organization.objects.for_user(ann)


def test_a_share_lets_do_what_its_role_lets_do(ann: User) -> None:
    project = project_create(organization=organization_ensure(name="foreign"), name="Shared")
    decision = decision_request(project=project, question="Which?", options=OPTIONS, requester="x")
    browser = Client()
    browser.force_login(ann)
    address = f"/api/v1/decisions/{decision.pk}/decide"
    body = {"decision": "a", "rationale": "Because."}
    assert browser.post(address, body, content_type="application/json").status_code == 404
    assign_perm("projects.share_viewer", ann, project)
    assert len(browser.get("/api/v1/decisions").json()) == 1
    assert browser.post(address, body, content_type="application/json").status_code == 403
    assign_perm("projects.share_user", ann, project)
    assert browser.post(address, body, content_type="application/json").status_code == 200


def test_a_narrowed_person_sees_the_part_in_reach(ann: User, ours: Organization) -> None:
    theirs = Organization.objects.get(slug="theirs")
    for organization in (ours, theirs):
        project_create(organization=organization, name="Links")
    assert Project.objects.for_user(ann).count() == 2
    ann.access = Access(organization_id=theirs.pk)
    assert Project.objects.for_user(ann).get().organization == theirs
    ann.access = replace(ann.access, project_id=Project.objects.get(organization=ours).pk)
    assert not Project.objects.for_user(ann).exists()

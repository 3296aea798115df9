"""The browser's edge: ids, limits, who else may call, what a page may load, where a change came from."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest
import redis
from django.test import Client, override_settings
from django.urls import path

from apps.accounts.key_services import key_create
from apps.accounts.models import Organization, Role, User
from apps.accounts.services import membership_set, organization_ensure
from apps.core import limits
from apps.core.errors import Conflict, NotFound
from apps.core.inline import inline_hashes
from apps.core.limits import Limit, limit_forget, limit_return, limit_use
from apps.core.origin import RequestIdFilter
from apps.events.models import Event
from loom_site.urls import urlpatterns as site_patterns

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough secret"


def refuse(request: Any) -> Any:
    raise Conflict("That cannot be done.", hint="Try something else.")


def change_nothing(request: Any) -> Any:
    raise NotFound("x") if request.method == "GET" else RuntimeError("broken")


urlpatterns = [*site_patterns, path("refuse/", refuse), path("broken/", change_nothing)]
handler404 = "apps.core.pages.not_found"
handler500 = "apps.core.pages.server_error"


@pytest.fixture
def organization() -> Organization:
    return organization_ensure(name="ours")


@pytest.fixture
def ann(request: Any, organization: Organization) -> User:
    user = User.objects.create_user(f"ann-{request.node.name[:60]}", password=PASSWORD)
    membership_set(user=user, organization=organization, role=Role.ADMIN)
    return user


@pytest.fixture
def browser(ann: User) -> Client:
    client = Client()
    client.force_login(ann)
    return client


# -- request ids ---------------------------------------------------------------------------------------


@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    "address",
    ["/", "/api/v1/health", "/api/v1/decisions", "/nothing", "/static/nothing", "/refuse/", "/broken/"],
)
def test_every_answer_says_which_request_it_is_for(browser: Client, address: str) -> None:
    browser.raise_request_exception = False
    assert browser.get(address, headers={"x-request-id": "abc-1.2:3"})["X-Request-ID"] == "abc-1.2:3"
    assert browser.post(address, headers={"x-request-id": "abc"})["X-Request-ID"] == "abc"
    for wrong in ("", "a b", "<script>", "x" * 65, "-x", "ä"):
        made = browser.get(address, headers={"x-request-id": wrong})["X-Request-ID"]
        assert re.fullmatch("[0-9a-f]{32}", made), wrong


def test_log_lines_carry_the_id_of_their_request(browser: Client, caplog: Any) -> None:
    caplog.handler.addFilter(RequestIdFilter())
    browser.get("/api/v1/nothing", headers={"x-request-id": "abc"})
    assert {getattr(record, "request_id", "") for record in caplog.records} == {"abc"}
    logging.getLogger("x").warning("outside")
    assert caplog.records[-1].request_id == "-"


# -- limits --------------------------------------------------------------------------------------------


def test_a_count_ends_with_its_window_and_can_be_taken_back() -> None:
    limit_forget("test")
    limit = Limit(2, 100)
    assert [limit_use("test", limit) for _ in range(2)] == [0, 0]
    assert 0 < limit_use("test", limit) <= 100
    limit_return("test")
    limit_return("test")
    assert limit_use("test", limit) == 0
    limit_forget("test")
    limit_return("test")  # of what is not counted any more
    assert limit_use("test", limit) == 0
    assert [limit_use("free", Limit(0, 100)) for _ in range(3)] == [0, 0, 0]


def test_nothing_is_refused_without_a_broker(monkeypatch: Any, caplog: Any) -> None:
    gone = redis.Redis.from_url("unix:///nowhere/broker.sock")
    monkeypatch.setattr(limits, "_client", lambda url: gone)
    monkeypatch.setattr(limits, "_complained", [-1e9])
    assert [limit_use("x", Limit(1, 10)) for _ in range(3)] == [0, 0, 0]
    limit_forget("x")
    limit_return("x")
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "nothing is limited while the broker cannot be asked"
    ]


def test_who_asks_too_often_is_told_when_to_come_back(
    browser: Client, ann: User, organization: Organization
) -> None:
    with override_settings(LOOM_RATE_PER_USER=2, LOOM_RATE_PER_KEY=1):
        limit_forget(f"rate:user:{ann.pk}")
        assert [browser.get("/api/v1/runs").status_code for _ in range(3)] == [200, 200, 429]
        answer = browser.get("/api/v1/runs")
        assert answer.json()["code"] == "rate_limited"
        assert answer.json()["details"]["retry_after"] == int(answer["Retry-After"]) <= 60
        key, text = key_create(user=ann, organization=organization, name="ci", scopes=["*:read"])
        limit_forget(f"rate:key:{key.pk}")
        asked = [Client().get("/api/v1/runs", headers={"x-api-key": text}).status_code for _ in range(2)]
        assert asked == [200, 429]


def test_an_address_is_counted_before_anybody_is_known(client: Client) -> None:
    with override_settings(LOOM_RATE_PER_ADDRESS=2, LOOM_PROXIES=1):

        def ask(address: str, seen: str) -> int:
            return client.get(address, headers={"x-forwarded-for": seen}).status_code

        limit_forget("rate:address:10.1.1.1")
        limit_forget("rate:address:10.1.1.2")
        assert [ask("/login/", f"{n}.9.9.9, 10.1.1.1") for n in range(3)] == [200, 200, 429]
        assert ask("/api/v1/runs", "10.1.1.1") == 429
        assert ask("/api/v1/health", "10.1.1.1") == 200
        assert ask("/login/", "10.1.1.2") == 200
        page = client.get("/login/", headers={"x-forwarded-for": "10.1.1.1"})
        assert "Too many requests" in page.content.decode()
        assert 0 < int(page["Retry-After"]) <= 60


@pytest.mark.parametrize("door", ["/api/v1/auth/login", "/login/", "/admin/login/"])
def test_who_guesses_passwords_has_to_wait_behind_every_door(client: Client, ann: User, door: str) -> None:
    def try_password(password: str) -> Any:
        body: Any = {"username": ann.username, "password": password}
        if door.startswith("/api"):
            return client.post(door, json.dumps(body), content_type="application/json")
        return client.post(door, body)

    limit_forget(f"login:account:{ann.username.casefold()}")
    with override_settings(LOOM_LOGINS_PER_ACCOUNT=2, LOOM_LOGINS_PER_ADDRESS=0):
        assert try_password("wrong").status_code in {200, 401}
        assert try_password(PASSWORD).status_code in {200, 302}  # what went well counts no more
        client.logout()
        assert [try_password("wrong").status_code for _ in range(3)][-1] == 429
        refused = try_password(PASSWORD)
        assert (refused.status_code, "Too many wrong passwords" in refused.content.decode()) == (429, True)
        assert 0 < int(refused["Retry-After"]) <= 300
    limit_forget(f"login:account:{ann.username.casefold()}")
    told = Event.objects.filter(subject=f"user:{ann.pk}", kind="login.failed")
    assert {event.address for event in told} == {"127.0.0.1"}


# -- who else may call ---------------------------------------------------------------------------------


def test_other_sites_may_call_the_api_if_they_are_named(client: Client) -> None:
    asked = {"origin": "https://app.example.org", "access-control-request-method": "POST"}
    with override_settings(CORS_ALLOWED_ORIGINS=["https://app.example.org"]):
        answer = client.options("/api/v1/decisions", headers=asked)
        assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (200, asked["origin"])
        assert "x-api-key" in answer["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer
        assert "x-total-count" in client.get("/api/v1/runs", headers=asked)["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Origin" not in client.get("/", headers=asked)
        strange = {**asked, "origin": "https://evil.example.org"}
        assert "Access-Control-Allow-Origin" not in client.options("/api/v1/decisions", headers=strange)
    assert "Access-Control-Allow-Origin" not in client.options("/api/v1/decisions", headers=asked)


def test_pages_load_and_run_only_what_comes_from_here(browser: Client) -> None:
    policy = browser.get("/")["Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))  # in any order
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy
    assert "unsafe" not in browser.get("/admin/login/")["Content-Security-Policy"]


def test_pages_of_others_run_what_their_templates_hold_by_its_hash(client: Client) -> None:
    found = inline_hashes(("django_rq",))
    assert found["script-src"]
    assert found["style-src"]
    assert all(
        re.fullmatch(r"'sha256-[\w+/]{43}='", source) for sources in found.values() for source in sources
    )
    client.force_login(User.objects.create_superuser("root"))
    policy = client.get("/admin/")["Content-Security-Policy"]
    assert set(found["script-src"]) <= set(policy.replace(";", " ").split())
    assert inline_hashes(("no_such_package",)) == {"script-src": [], "style-src": []}


@pytest.mark.urls(__name__)
def test_what_no_view_handled_is_said_on_a_page(browser: Client) -> None:
    answer = browser.get("/refuse/")
    assert answer.status_code == 409
    assert "That cannot be done." in answer.content.decode()
    assert "Try something else." in answer.content.decode()


# -- where a change came from ----------------------------------------------------------------------------


def test_an_event_tells_who_did_it_from_where_with_what(ann: User, organization: Organization) -> None:
    key, text = key_create(user=ann, organization=organization, name="ci", scopes=["*:*"])
    assert Event.objects.get(kind="api_key.created").request_id == ""  # no request: nothing of one
    headers = {"x-api-key": text, "user-agent": "curl/8\0", "x-request-id": "abc"}
    body = {"kind": "external.release", "data": {}}
    answer = Client().post(
        "/api/v1/motivations/external", json.dumps(body), content_type="application/json", headers=headers
    )
    assert answer.status_code == 201, answer.content
    event = Event.objects.get(pk=answer.json()["event_id"])
    assert (event.user_id, event.credential) == (ann.pk, f"key:{key.pk}")
    assert (event.address, event.user_agent, event.request_id) == ("127.0.0.1", "curl/8", "abc")
    assert Event.objects.of_requests().get() == event


def test_a_change_that_tells_nothing_itself_is_told_of(client: Client, organization: Organization) -> None:
    root = User.objects.create_superuser("root")
    membership_set(user=root, organization=organization, role=Role.ADMIN)
    client.force_login(root)
    before = set(Event.objects.values_list("pk", flat=True))
    fields = {"name": "Writers", "permissions": []}
    assert client.post("/admin/auth/group/add/", fields).status_code == 302
    (event,) = Event.objects.exclude(pk__in=before)
    assert (event.kind, event.actor, event.credential) == ("request.made", "root", "session")
    assert event.data == {"method": "POST", "path": "/admin/auth/group/add/", "status": 302}
    assert event.organization_id == organization.pk
    client.get("/admin/auth/group/")
    client.post("/admin/auth/group/add/", {})  # not valid, so nothing was changed
    assert Event.objects.exclude(pk__in=before).count() == 2


def test_logins_are_told_to_the_organizations_concerned(client: Client, ann: User) -> None:
    client.post("/login/", {"username": ann.username, "password": "wrong"}, headers={"user-agent": "Fox"})
    client.post("/login/", {"username": "nobody-known", "password": "wrong"})
    client.post("/login/", {"username": ann.username, "password": PASSWORD})
    known, unknown = Event.objects.filter(kind="login.failed").order_by("pk")
    assert (known.organization_id, known.subject) == (ann.memberships.get().organization_id, f"user:{ann.pk}")
    assert (known.address, known.user_agent, known.user_id) == ("127.0.0.1", "Fox", None)
    assert (unknown.organization_id, unknown.data) == (None, {"username": "nobody-known"})
    assert Event.objects.get(kind="login.succeeded").actor == ann.username
    client.post("/logout/")
    assert Event.objects.get(kind="login.ended").data == {"reason": "logout"}

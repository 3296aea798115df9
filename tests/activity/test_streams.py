"""Streams of events, as real clients see them."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from django.db import connections, transaction
from django.test import Client

from apps.accounts.authentication import stream_token
from apps.accounts.models import BrowserSession, Organization, Role, User
from apps.accounts.services import membership_remove, membership_set, organization_ensure
from apps.activity import guard, sse
from apps.events import feed
from apps.events.bus import emit
from apps.events.models import Event
from tests.activity.serving import Listener, Site, cookies, serving

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class House:
    site: Site
    ours: Organization
    theirs: Organization
    ann: User

    @property
    def events(self) -> str:
        return f"{self.site.url}/api/v1/events/stream"

    def listen(self, query: str = "?type=test.*", **headers: str) -> Listener:
        return Listener(self.events + query, cookies=cookies(self.ann), **headers)


@pytest.fixture
def house() -> Iterator[House]:
    ours, theirs = organization_ensure(name="ours"), organization_ensure(name="theirs")
    ann = User.objects.create_user(username="ann", password="correct horse battery")
    membership_set(user=ann, organization=ours, role=Role.VIEWER)
    with serving() as site:
        yield House(site, ours, theirs, ann)


@transaction.atomic
def tell(tenant: Organization, kind: str = "test.a", project_id: int | None = None, **data: Any) -> Event:
    return emit(kind, organization_id=tenant.pk, project_id=project_id, subject="test", **data)


def test_a_stream_says_hello_and_tells_events_in_the_original_s_shape(house: House) -> None:
    with house.listen("?type=bead.created") as ann:
        headers = ann.response.headers
        assert headers["content-type"] == "text/event-stream"
        assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache", "no")
        assert "content-encoding" not in headers
        hello = ann.next()
        assert (hello.event, hello.json(), hello.retry) == (
            "connected",
            {"message": "Connected to event stream"},
            sse.RETRY_MS,
        )
        event = tell(house.ours, "bead.created", 7, title="Links")
        told = ann.next()
    assert told.event == "bead.created"
    assert told.json() == {
        "id": str(event.pk),
        "type": "bead.created",
        "timestamp": told.json()["timestamp"],
        "source": "beads-manager",
        "data": {"title": "Links"},
        "project_id": 7,
    }
    assert told.id.startswith(str(event.pk))


def test_a_reader_gets_only_what_is_theirs_and_what_they_asked_for(house: House) -> None:
    query = "?type=bead.*,decision.created&type=*.told&project_id=1&project=2"
    with house.listen(query) as ann:
        ann.told("connected")
        tell(house.theirs, "bead.created", 1)
        tell(house.ours, "bead.created", 3)
        tell(house.ours, "agent.spawned", 1)
        wanted = [
            tell(house.ours, "bead.created", 1),
            tell(house.ours, "decision.created", 2),
            tell(house.ours, "fortune.told", 2),
        ]
        assert [ann.next().json()["id"] for _ in wanted] == [str(event.pk) for event in wanted]


def test_a_reader_that_comes_back_is_told_what_it_missed_even_by_another_server(house: House) -> None:
    with house.listen() as ann:
        ann.told("connected")
        tell(house.ours)
        last = ann.next().id
    missed = [tell(house.ours, number=number) for number in range(3)]
    house.site.stop()
    house.site.start()
    missed += [tell(house.ours, number=3)]
    with house.listen(**{"Last-Event-ID": last}) as ann:
        ann.told("connected")
        assert [ann.next().json()["id"] for _ in missed] == [str(event.pk) for event in missed]
        live = tell(house.ours)
        assert ann.next().json()["id"] == str(live.pk)
    with house.listen(f"?type=test.*&last_event_id={last}") as ann:
        assert len(ann.told("test.a", 5)) == 5


def test_too_much_to_catch_up_with_is_told_by_a_resync(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_REPLAY", 2)
    first = tell(house.ours)
    for _ in range(3):
        tell(house.ours)
    with house.listen(**{"Last-Event-ID": str(first.pk)}) as ann:
        ann.told("connected")
        assert ann.told("resync")[0]["last_event_id"] == str(first.pk)
        live = tell(house.ours)
        assert ann.next().json()["id"] == str(live.pk)


def test_a_reader_that_is_too_slow_is_told_by_a_resync(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_EVENTS", 50)
    with house.listen() as ann:
        ann.told("connected")
        for _ in range(30):  # far more than the buffers between here and there hold
            with transaction.atomic():
                for number in range(40):
                    emit("test.big", organization_id=house.ours.pk, text="x" * 20_000, number=number)
        kinds = [ann.next().event]
        while kinds[-1] != "resync":
            kinds.append(ann.next().event)
        live = tell(house.ours)
        while (event := ann.next()).event != "test.a":
            pass
        assert event.json()["id"] == str(live.pk)


@pytest.mark.parametrize("end", ["deactivated", "removed", "logout", "password"])
def test_a_stream_ends_when_access_does(house: House, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "CHECK_SECONDS", 0.1)
    mine = cookies(house.ann)
    with Listener(house.events, cookies=mine) as ann, house.listen() as other:
        ann.told("connected")
        match end:
            case "deactivated":
                User.objects.filter(pk=house.ann.pk).update(is_active=False)
            case "removed":
                membership_remove(membership=house.ann.memberships.get())
            case "logout":
                BrowserSession.objects.filter(session_key=mine["sessionid"]).delete()
            case "password":
                house.ann.set_password("another horse battery")
                house.ann.save()
        assert ann.ends()
        if end == "logout":
            tell(house.ours)
            assert other.told("test.a"), "the other session goes on"
        else:
            assert other.ends()


def test_access_is_looked_at_again_after_a_look_that_broke(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "CHECK_SECONDS", 0.1)
    look, broken = guard.passes_renew, threading.Event()

    def odd(passes: Any) -> Any:
        if not broken.is_set():
            broken.set()
            raise ValueError("odd")
        return look(passes)

    monkeypatch.setattr(guard, "passes_renew", odd)
    with house.listen() as ann:
        ann.told("connected")
        assert broken.wait(30)
        User.objects.filter(pk=house.ann.pk).update(is_active=False)
        assert ann.ends()


def test_what_a_reader_sees_changes_while_they_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "CHECK_SECONDS", 0.1)
    with house.listen("?type=test.*") as ann:
        ann.told("connected")
        membership_set(user=house.ann, organization=house.theirs, role=Role.VIEWER)
        done = threading.Event()

        def go_on() -> None:
            while not done.wait(0.1):
                tell(house.theirs, "test.theirs")
            connections.close_all()

        teller = threading.Thread(target=go_on)
        teller.start()
        assert ann.told("test.theirs")
        done.set()
        teller.join()


def test_who_may_not_read_is_refused_in_json(house: House) -> None:
    with httpx.Client(trust_env=False) as client:
        nobody = client.get(house.events, headers={"Accept": "text/event-stream"})
        assert (nobody.status_code, nobody.headers["content-type"]) == (401, "application/json")
        client.cookies.update(cookies(User.objects.create_user(username="outsider")))
        assert client.get(house.events).json()["code"] == "forbidden"
        client.cookies.update(cookies(house.ann))
        for query in (
            "?type=a%0ab", "?project_id=x", "?last_event_id=x", "?type=" + "a," * 200,
            "?type=" + "*" * 70 + "z",  # which would take years to look for
            "?project_id=" + "0" * 20 + "9" * 30, "?project_id=" + "0" * 20 + "9" * 5000,
            "?last_event_id=1000~" + "1," * 900 + "1",
        ):  # fmt: skip
            answer = client.get(house.events + query)
            assert (answer.status_code, answer.json()["code"]) == (400, "bad_input"), query


def test_a_quiet_stream_is_kept_alive_without_events(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "TICK_SECONDS", 0.05)
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    session = cookies(house.ann)["sessionid"]
    command = [curl, "-sN", "-m", "1", "--noproxy", "*", "-b", f"sessionid={session}", house.events]
    heard = subprocess.run(command, capture_output=True, text=True, check=False)
    assert heard.returncode == 28, "curl stops by itself, not the stream"
    assert heard.stdout.startswith(f"retry: {sse.RETRY_MS}\nid: ")
    assert heard.stdout.count(": keepalive\n") >= 3
    assert heard.stdout.count("event: ") == 1


def test_waiting_readers_hold_neither_threads_nor_connections(house: House) -> None:
    before = threading.active_count()
    readers = [house.listen() for _ in range(20)]
    try:
        for reader in readers:
            reader.told("connected")
        assert threading.active_count() - before < 12
        tell(house.ours)
        assert all(reader.told("test.a") for reader in readers)
    finally:
        for reader in readers:
            reader.close()


def test_the_audit_trail_is_told_to_administrators_only(house: House) -> None:
    admin = User.objects.create_user(username="adam")
    membership_set(user=admin, organization=house.ours, role=Role.ADMIN)
    with house.listen("") as ann, Listener(house.events, cookies=cookies(admin)) as adam:
        ann.told("connected")
        tell(house.ours, "login.succeeded", username="zoe")
        tell(house.ours)
        assert adam.told("login.succeeded")
        assert ann.next().event == "test.a"
    with httpx.Client(trust_env=False, cookies=cookies(house.ann)) as client:
        kinds = {event["type"] for event in client.get(f"{house.site.url}/api/v1/events").json()["events"]}
    assert "test.a" in kinds
    assert not {kind for kind in kinds if kind.startswith(("login.", "user."))}


def test_a_short_lived_token_opens_a_stream_without_headers(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "CHECK_SECONDS", 0.1)
    browser = Client()
    browser.force_login(house.ann)
    answer = browser.post("/api/v1/auth/stream-token")
    assert (answer.status_code, answer.json()["expires_in"]) == (201, 60)
    with Listener(f"{house.events}?type=test.*&token={answer.json()['token']}") as ann:
        ann.told("connected")
        tell(house.ours)
        assert ann.told("test.a")
        User.objects.filter(pk=house.ann.pk).update(is_active=False)
        assert ann.ends()
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"{house.events}?token={answer.json()['token']}").status_code == 401
        assert client.get(f"{house.events}?token=nonsense").status_code == 401


@pytest.mark.parametrize("end", ["logout", "password"])
def test_a_stream_token_is_as_good_as_the_session_it_comes_from(
    house: House, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has a copy of it is sent off with everybody else, before it was used and after."""
    monkeypatch.setattr(guard, "CHECK_SECONDS", 0.1)
    browser = Client()
    browser.force_login(house.ann)
    token = browser.post("/api/v1/auth/stream-token").json()["token"]
    with Listener(f"{house.events}?type=test.*&token={token}") as ann:
        ann.told("connected")
        if end == "logout":
            browser.logout()
        else:
            house.ann.set_password("another horse battery")
            house.ann.save()
        assert ann.ends()
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"{house.events}?token={token}").status_code == 401


def test_a_stream_token_changes_nothing(house: House) -> None:
    token = stream_token(house.ann)
    with httpx.Client(trust_env=False) as client:
        for at in ("pair", "pair/1/stop"):
            assert client.post(f"{house.site.url}/api/v1/{at}?token={token}").status_code == 401


@pytest.mark.parametrize(
    "asked", ["events/stream?type=%00", "activity-feed/stream?resource_type=a%00", "logs/stream?source=%00"]
)
def test_nonsense_in_the_query_is_refused(house: House, asked: str) -> None:
    with httpx.Client(trust_env=False, cookies=cookies(house.ann)) as client:
        assert client.get(f"{house.site.url}/api/v1/{asked}").status_code == 400


def test_a_fact_with_an_odd_number_is_told_like_any_other(house: House) -> None:
    with house.listen() as ann:
        ann.told("connected")
        tell(house.ours, number=10**30)
        assert ann.told("test.a")[0]["data"]["number"] == 10**30

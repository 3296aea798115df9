"""Events over WebSocket, through a real client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from apps.accounts.models import Organization, Role, User
from apps.accounts.services import membership_remove, membership_set, organization_ensure
from apps.activity import guard, sockets
from apps.events import feed
from apps.events.bus import emit
from apps.events.models import Event
from tests.activity.serving import SECONDS, Site, cookies, serving

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ours() -> Organization:
    return organization_ensure(name="ours")


@pytest.fixture
def ann(ours: Organization) -> User:
    ann = User.objects.create_user(username="ann", password="correct horse battery")
    membership_set(user=ann, organization=ours, role=Role.VIEWER)
    return ann


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@transaction.atomic
def tell(organization: Organization, kind: str = "test.a", **about: Any) -> Event:
    return emit(kind, organization_id=organization.pk, **about)


@contextmanager
def talking(
    site: Site, user: User | None = None, *, path: str = "/ws/events/", **headers: str
) -> Iterator[ClientConnection]:
    if user is not None:
        headers["Cookie"] = f"sessionid={cookies(user)['sessionid']}"
    url = f"ws://127.0.0.1:{site.port}{path}"
    with connect(url, additional_headers=headers, proxy=None, open_timeout=SECONDS) as socket:
        yield socket


def said(socket: ClientConnection) -> dict[str, Any]:
    heard: dict[str, Any] = json.loads(socket.recv(SECONDS))
    return heard


def ask(socket: ClientConnection, **message: Any) -> dict[str, Any]:
    socket.send(json.dumps(message))
    return said(socket)


def test_a_conversation(site: Site, ours: Organization, ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hello, subscribe, other filters, resume, nonsense, unsubscribe."""
    theirs = organization_ensure(name="theirs")
    with talking(site, ann) as socket:
        assert said(socket)["kind"] == "connected"
        assert ask(socket, action="subscribe", type=["test.*"], project_id=[1])["kind"] == "subscribed"
        tell(ours, project_id=2)
        tell(theirs, project_id=1)
        first = tell(ours, project_id=1)
        heard = said(socket)
        assert (heard["kind"], heard["event"]["id"], heard["event"]["type"]) == (
            "event",
            str(first.pk),
            "test.a",
        )
        for nonsense in ("{", "[]", '{"action": "dance"}', '{"action": "subscribe", "type": {"a": 1}}'):
            socket.send(nonsense)
            answer = said(socket)
            assert (answer["kind"], answer["code"]) == ("error", "bad_input"), nonsense
        assert ask(socket, action="ping") == {"kind": "pong"}
        assert ask(socket, action="unsubscribe") == {"kind": "unsubscribed"}
        missed = [tell(ours), tell(ours, "other.kind"), tell(ours)]
        assert (
            ask(socket, action="subscribe", type="test.*", last_event_id=heard["id"])["kind"] == "subscribed"
        )
        assert [said(socket)["event"]["id"] for _ in range(2)] == [str(missed[0].pk), str(missed[2].pk)]
        monkeypatch.setattr(sockets, "MAX_REPLAY", 1)
        ask(socket, action="subscribe", last_event_id=str(first.pk))
        assert said(socket)["kind"] == "resync"
        socket.send(b"\x00bytes")
        assert said(socket)["kind"] == "error"


def test_one_that_broke_inside_is_closed_so_that_its_client_comes_again(
    site: Site, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("a row that cannot be told")

    monkeypatch.setattr(sockets.SOCKETS, "_replay", broken)
    with talking(site, ann) as socket:
        said(socket)
        ask(socket, action="subscribe", last_event_id="0")
        with pytest.raises(ConnectionClosed) as ended:
            said(socket)
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == sockets.BROKEN


def test_a_client_that_is_too_slow_is_told_so(
    site: Site, ours: Organization, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MAX_EVENTS", 3)
    with talking(site, ann) as socket:
        said(socket)
        ask(socket, action="subscribe", type="test.*")
        with transaction.atomic():
            for _ in range(5):
                emit("test.a", organization_id=ours.pk)
        assert said(socket)["kind"] == "resync"
        later = tell(ours)
        assert said(socket)["event"]["id"] == str(later.pk)


def test_it_ends_when_access_does(
    site: Site, ours: Organization, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "CHECK_SECONDS", 0.05)
    with talking(site, ann) as socket:
        said(socket)
        ask(socket, action="subscribe", type="test.*")
        User.objects.filter(pk=ann.pk).update(is_active=False)
        with pytest.raises(ConnectionClosed) as ended:
            said(socket)
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == sockets.ENDED


def test_who_lost_access_before_they_subscribed_is_told_nothing(
    site: Site, ours: Organization, ann: User
) -> None:
    with talking(site, ann) as socket:
        said(socket)
        membership_remove(membership=ann.memberships.get())
        tell(ours)
        socket.send(json.dumps({"action": "subscribe", "last_event_id": "0"}))
        with pytest.raises(ConnectionClosed) as ended:
            said(socket)
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == sockets.ENDED


def test_a_browser_that_looks_at_one_organization_hears_of_that_one(
    site: Site, ours: Organization, ann: User
) -> None:
    theirs = organization_ensure(name="theirs")
    membership_set(user=ann, organization=theirs, role=Role.VIEWER)
    browser = Client()
    browser.force_login(ann)
    session = browser.session
    session["organization"] = ours.pk
    session.save()
    with talking(site, Cookie=f"sessionid={session.session_key}") as socket:
        said(socket)
        ask(socket, action="subscribe", type="test.*")
        tell(theirs)
        mine = tell(ours)
        assert said(socket)["event"]["id"] == str(mine.pk)


def test_strangers_and_pages_of_other_sites_are_refused(site: Site, ann: User) -> None:
    own, foreign = f"http://127.0.0.1:{site.port}", "https://evil.example"
    with talking(site, ann, Origin=own) as socket:
        assert said(socket)["kind"] == "connected"
    for user, headers, path in (
        (None, {}, "/ws/events/"),
        (ann, {"Origin": foreign}, "/ws/events/"),
        (ann, {"Origin": "https://[evil"}, "/ws/events/"),
        (ann, {}, "/ws/other/"),
        (None, {"Authorization": "Bearer nonsense"}, "/ws/events/"),
        (None, {}, "/ws/events/?token=nonsense"),
    ):
        with pytest.raises(InvalidStatus), talking(site, user, path=path, **headers):
            pass

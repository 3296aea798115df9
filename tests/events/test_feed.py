"""Live readers of a table: nothing is lost, whatever comes late, breaks or is slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.core.broker import broker_url
from apps.core.pubsub import publish
from apps.events import bus, feed
from apps.events.feed import Feed, Reader
from apps.events.models import Event
from apps.events.position import Position

pytestmark = pytest.mark.django_db(transaction=True)

SECONDS = 20


@dataclass(frozen=True)
class Kind:
    kind: str = ""

    def wants(self, row: Event) -> bool:
        return not self.kind or row.kind == self.kind

    def filter(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(kind=self.kind) if self.kind else rows


def encoded(placed: Sequence[tuple[Event, Position]]) -> list[bytes]:
    return [f"{event.pk}:{position} ".encode() for event, position in placed]


@pytest.fixture
def events() -> Feed:
    return Feed(bus.CHANNEL, Event.objects.all, encoded)


@pytest.fixture(autouse=True)
def no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes in time was told by a bell."""
    monkeypatch.setattr(feed, "POLL_SECONDS", 60.0)


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scene(), SECONDS)

    asyncio.run(bounded())


def emit(*kinds: str) -> list[int]:
    with transaction.atomic():
        return [bus.emit(kind, organization_id=None).pk for kind in kinds]


def insert(number: int) -> None:
    """A row that another transaction numbered, and committed now."""
    Event.objects.create(pk=number, kind="test.a", created_at=timezone.now())
    publish(bus.CHANNEL)


@asynccontextmanager
async def reading(events: Feed, kind: str = "") -> AsyncIterator[Reader]:
    with events.reader(Kind(kind)) as reader:
        reader.sent = await events.ready()
        yield reader


async def numbers(reader: Reader, count: int) -> list[int]:
    return [int(word.partition(":")[0]) for word in await words(reader, count)]


async def words(reader: Reader, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        found += (await reader.get()).decode().split()
    return found


async def called(function: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.to_thread(_closing, function, *args)


def _closing(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    finally:
        connections.close_all()


def test_each_reader_gets_what_it_wants_in_order(events: Feed) -> None:
    async def scene() -> None:
        async with reading(events) as all_of_it, reading(events, "test.b") as some:
            made = await called(emit, "test.a", "test.b", "test.a")
            assert await numbers(all_of_it, 3) == made
            assert await numbers(some, 1) == made[1:2]
            assert not some._chunks

    play(scene)


def test_events_that_commit_late_come_when_they_come_and_not_twice(events: Feed) -> None:
    async def scene() -> None:
        await called(insert, 1)
        async with reading(events) as reader:
            await called(insert, 5)
            assert await words(reader, 1) == ["5:5~2-4"]
            await called(insert, 3)
            assert await words(reader, 1) == ["3:5~2,4"]
            await called(insert, 6)
            assert await words(reader, 1) == ["6:6~2,4"]

    play(scene)


def test_a_replay_goes_on_exactly_where_a_reader_was_cut(events: Feed) -> None:
    async def scene() -> None:
        await called(insert, 1)
        async with reading(events) as reader:
            for number in (5, 3, 8):
                await called(insert, number)
                await numbers(reader, 1)
            here = events.position
            again = await events.replay(Kind(), Position.parse("5~2-4"), here, limit=10)
            assert again is not None
            assert [frame.number for frame in again] == [3, 8]
            assert again[-1].position == here
            assert await events.replay(Kind(), here, here, limit=10) == []
            assert await events.replay(Kind(), Position(1), here, limit=2) is None, "too many"
            assert await events.replay(Kind(), Position(99), here, limit=2) is None, "another table"
            assert await events.replay(Kind("test.b"), Position(1), here, limit=2) == []

    play(scene)


def test_a_cut_in_the_middle_of_a_replay_loses_nothing() -> None:
    since, until = Position(14, ((11, 13),)), Position(17, ((13, 13), (16, 16)))
    left = {number: feed._after(number, since, until) for number in (11, 12, 15, 17)}
    unseen = {
        at: {n for n in range(10, 18) if n > p.last or any(a <= n <= b for a, b in p.missing)}
        for at, p in left.items()
    }
    assert unseen == {11: {12, 13, 15, 16, 17}, 12: {13, 15, 16, 17}, 15: {13, 16, 17}, 17: {13, 16}}


def test_who_is_too_slow_is_told_since_when(events: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_EVENTS", 5)

    async def scene() -> None:
        async with reading(events) as slow, reading(events) as quick:
            first = await called(emit, "test.a")
            assert await numbers(slow, 1) == first
            for _ in range(4):
                await called(emit, "test.a", "test.a")
                await numbers(quick, 2)
            assert await slow.get() == b""
            assert slow.lost is not None
            assert slow.lost.last == first[0]
            slow.found_again(events.position)
            made = await called(emit, "test.a")
            assert await numbers(slow, 1) == made

    play(scene)


def test_nothing_is_missed_when_the_broker_forgets_everybody(events: Feed) -> None:
    client = redis.Redis.from_url(broker_url(Path(settings.LOOM_DATA_DIR)))

    async def scene() -> None:
        async with reading(events) as reader:
            await called(client.execute_command, "CLIENT", "KILL", "TYPE", "pubsub")
            made = await called(emit, "test.a", "test.b")
            assert await numbers(reader, 2) == made

    play(scene)


def test_without_any_bell_a_slow_look_finds_what_there_is(
    events: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(bus, "publish", lambda channel: None)

    async def scene() -> None:
        async with reading(events) as reader:
            made = await called(emit, "test.a")
            assert await numbers(reader, 1) == made

    play(scene)


def test_a_database_that_is_away_for_a_while_is_asked_again(
    events: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "POLL_SECONDS", 0.05)
    failures = iter([DatabaseError("away")] * 3)

    def rows() -> QuerySet[Event]:
        if (failure := next(failures, None)) is not None:
            raise failure
        return Event.objects.all()

    events._rows = rows

    async def scene() -> None:
        async with reading(events) as reader:
            made = await called(emit, "test.a")
            assert await numbers(reader, 1) == made

    play(scene)


def test_a_feed_that_breaks_ends_its_streams_so_that_they_come_again(
    events: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(placed: Any) -> list[bytes]:
        raise ValueError("cannot be told")

    async def scene() -> None:
        events._encode = broken
        async with reading(events) as reader:
            await called(emit, "test.a")
            assert await reader.get() == b""
            assert reader.is_closed
        events._encode = encoded
        async with reading(events) as reader:
            made = await called(emit, "test.a")
            assert await numbers(reader, 1) == made

    play(scene)
    assert "the stream of events has ended" in caplog.text

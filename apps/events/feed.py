"""The end of an append-only table, read once per process for all who watch it live.

The database is the truth. A bell (`apps.core.pubsub`) tells that there may be more, a slow poll covers what
the bell missed, and each read takes all rows not seen yet in the order of their ids. Rows that depend on each
other are committed one after the other, so that they are read in that order too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

from django.db import Error as DatabaseError
from django.db import close_old_connections, connections
from django.db.models import Max, QuerySet

from apps.core.pubsub import Subscription, subscribe
from apps.events.position import MAX_GAPS, Position, Tail

POLL_SECONDS = 3.0
TICK_SECONDS = 15.0
READ_ROWS = 1000
MAX_EVENTS = 2000  # that wait for one reader, before it counts as too slow
MAX_BYTES = 4_000_000
READER_THREADS = 4

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

# Reads on behalf of one reader: a few connections to the database, however many readers there are.
_side = ThreadPoolExecutor(READER_THREADS, "loom-replay")


@dataclass(frozen=True, slots=True)
class Frame:
    """One row as its readers get it: encoded once, shared by all."""

    number: int
    row: Any
    data: bytes
    position: Position


class Interest(Protocol):
    """What a reader wants of the rows and may see; readers with equal interests are served together."""

    def __hash__(self) -> int: ...

    def wants(self, row: Any) -> bool: ...

    def filter(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The same for rows of the database."""
        ...


class Reader:
    """A bounded queue of bytes for one client; `lost` says where it was when it became too slow."""

    def __init__(self, interest: Interest) -> None:
        self.interest = interest
        self.is_closed = False
        self.sent = Position(0)  # up to here everything was given out
        self.lost: Position | None = None
        self._chunks: deque[bytes] = deque()
        self._events = self._bytes = 0
        self._position = Position(0)
        self._waiter: asyncio.Future[None] | None = None

    def put(self, data: bytes, events: int, position: Position) -> None:
        if self.lost is not None:
            return
        self._chunks.append(data)
        self._events += events
        self._bytes += len(data)
        self._position = position
        if self._events > MAX_EVENTS or self._bytes > MAX_BYTES:
            self.lost = self.sent
            self._clear()
        self.wake()

    def close(self) -> None:
        self.is_closed = True
        self.wake()

    async def get(self) -> bytes:
        """All that waits, joined; nothing when something was lost, at the end, and now and then in quiet.

        Its feed wakes it for that: a timer for each reader and event would cost as much as the event.
        """
        if not self._chunks and self.lost is None and not self.is_closed:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if not self._chunks:
            return b""
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self.sent = self._position
        self._clear()
        return data

    def found_again(self, position: Position) -> None:
        """The client was told that it missed something; from now on it is given what follows."""
        self.lost, self.sent = None, position

    def _clear(self) -> None:
        self._chunks.clear()
        self._events = self._bytes = 0

    def wake(self) -> None:
        if (waiter := self._waiter) is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)


class Feed:
    """`rows` are the rows of the table, `encode` makes the bytes of many at once (it may read more)."""

    def __init__(
        self,
        channel: str,
        rows: Callable[[], QuerySet[Any]],
        encode: Callable[[Sequence[tuple[Any, Position]]], list[bytes]],
    ) -> None:
        self.channel, self._rows, self._encode = channel, rows, encode
        self._groups: defaultdict[Interest, set[Reader]] = defaultdict(set)
        self._tail = Tail()
        self._task: asyncio.Task[None] | None = None
        self._is_ready = asyncio.Event()

    @property
    def count(self) -> int:
        """How many readers this process has."""
        return sum(len(readers) for readers in self._groups.values())

    @property
    def position(self) -> Position:
        return self._tail.position

    @contextmanager
    def reader(self, interest: Interest) -> Iterator[Reader]:
        """A reader of all that comes from now on; see `ready`."""
        reader = Reader(interest)
        self._groups[interest].add(reader)
        if self._task is None or self._task.done():
            self._start()
        try:
            yield reader
        finally:
            self._leave(reader)

    async def ready(self) -> Position:
        """Where the feed stands, once it stands anywhere."""
        await self._is_ready.wait()
        return self.position

    def readers(self) -> Iterator[Reader]:
        for group in list(self._groups.values()):
            yield from list(group)

    def change(self, reader: Reader, interest: Interest) -> None:
        """From now on the reader wants, or may see, something else."""
        self._forget(reader)
        reader.interest = interest
        self._groups[interest].add(reader)

    async def replay(
        self, interest: Interest, since: Position, until: Position, *, limit: int
    ) -> list[Frame] | None:
        """Rows committed when the feed stood at `until` that who stands at `since` has not seen.

        None if there are more than `limit`, or the table does not reach as far as `since`.
        """
        return await in_thread(self._replay, interest, since, until, limit)

    async def latest(self, interest: Interest, until: Position, count: int) -> list[Frame]:
        """The last rows before `until`, oldest first, for who begins there."""
        return await in_thread(self._latest, interest, until, count)

    def _latest(self, interest: Interest, until: Position, count: int) -> list[Frame]:
        rows = interest.filter(self._rows().exclude(until.unseen())).order_by("-pk")[:count]
        return self._framed([(row, until) for row in reversed(rows)])

    def snapshot(
        self, interest: Interest, since: Position | None, *, limit: int
    ) -> tuple[Position, list[Frame] | None]:
        """Where the table ends now, and what who stands at `since` has not seen; blocks, needs no loop."""
        here = self._begin().position
        return here, self._replay(interest, since, here, limit) if since is not None else []

    def _replay(self, interest: Interest, since: Position, until: Position, limit: int) -> list[Frame] | None:
        if since.last > until.last:
            return None
        rows = self._rows().filter(since.unseen()).exclude(until.unseen()).order_by("pk")
        found = list(interest.filter(rows)[: limit + 1])
        if len(found) > limit:
            return None
        placed = [(row, _after(row.pk, since, until)) for row in found]
        return self._framed(placed)

    def _start(self) -> None:
        self._is_ready = asyncio.Event()
        self._task = asyncio.create_task(self._run(self._is_ready), name=f"loom-feed-{self.channel}")

    def _leave(self, reader: Reader) -> None:
        self._forget(reader)
        if not self._groups and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _tick(self) -> None:
        """Wake all readers now and then, so that their connections are not taken for dead."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for reader in self.readers():
                reader.wake()

    def _forget(self, reader: Reader) -> None:
        group = self._groups[reader.interest]
        group.discard(reader)
        if not group:
            del self._groups[reader.interest]

    async def _run(self, is_ready: asyncio.Event) -> None:
        thread = ThreadPoolExecutor(1, f"loom-{self.channel}")
        begin = partial(asyncio.get_running_loop().run_in_executor, thread, self._begin)
        ticks = asyncio.create_task(self._tick(), name=f"loom-tick-{self.channel}")
        try:
            async with subscribe(self.channel) as bells:
                self._tail = await _until_possible(begin)
                is_ready.set()
                while True:
                    await _bell(bells)
                    await self._read_all(thread)
        except Exception:
            log.exception("the stream of %s has ended; its readers may come again", self.channel)
            for reader in self.readers():
                reader.close()
        finally:
            ticks.cancel()
            thread.submit(connections.close_all)
            thread.shutdown(wait=False)

    async def _read_all(self, thread: ThreadPoolExecutor) -> None:
        read = partial(asyncio.get_running_loop().run_in_executor, thread, self._read)
        while True:
            self._tail, frames = await _until_possible(read)
            self._fan_out(frames)
            if len(frames) < READ_ROWS:
                return

    def _begin(self) -> Tail:
        """The end of the table now, with the gaps of changes that may still be under way."""
        rows, now = self._rows().order_by(), time.monotonic()
        last = rows.aggregate(last=Max("pk"))["last"] or 0
        tail = Tail(max(0, last - MAX_GAPS))
        for number in rows.filter(pk__gt=tail.last, pk__lte=last).order_by("pk").values_list("pk", flat=True):
            tail.take(number, now)
        return tail

    def _read(self) -> tuple[Tail, list[Frame]]:
        close_old_connections()
        now, placed = time.monotonic(), []
        tail = self._tail.settled(now)
        for row in self._rows().filter(tail.position.unseen()).order_by("pk")[:READ_ROWS]:
            tail.take(row.pk, now)
            placed.append((row, tail.position))
        return tail, self._framed(placed)

    def _framed(self, placed: Sequence[tuple[Any, Position]]) -> list[Frame]:
        encoded = self._encode(placed)
        return [
            Frame(row.pk, row, data, position) for (row, position), data in zip(placed, encoded, strict=True)
        ]

    def _fan_out(self, frames: list[Frame]) -> None:
        for interest, readers in self._groups.items():
            wanted = [frame for frame in frames if interest.wants(frame.row)]
            if wanted:
                data = b"".join(frame.data for frame in wanted)
                for reader in readers:
                    reader.put(data, len(wanted), wanted[-1].position)


def _after(number: int, since: Position, until: Position) -> Position:
    """Where a reader stands that began at `since` and was given everything up to `number` of the replay."""
    if number >= since.last:
        return Position(number, until.gaps_to(number - 1))
    return Position(since.last, tuple({*since.gaps_from(number + 1), *until.gaps_to(since.last)}))


async def _bell(bells: Subscription) -> None:
    try:
        async with asyncio.timeout(POLL_SECONDS):
            await bells.get()
    except TimeoutError:
        pass


async def _until_possible(read: Callable[[], asyncio.Future[T]]) -> T:
    """Try again while the database is away."""
    while True:
        try:
            return await read()
        except DatabaseError:
            await asyncio.sleep(POLL_SECONDS / 3)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run something that reads the database in one of a few threads, without leaving a connection behind."""

    def work() -> T:
        try:
            return function(*args, **kwargs)
        finally:
            connections.close_all()

    return await asyncio.get_running_loop().run_in_executor(_side, work)

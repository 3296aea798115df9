"""Server-sent events: frames, and the body of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, Self

from apps.activity.guard import Pass, guard
from apps.activity.sight import Sight
from apps.activity.wire import dumped, event_body
from apps.core.bodies import Receive
from apps.events.bus import CHANNEL
from apps.events.feed import Feed, Interest, Reader
from apps.events.models import Event
from apps.events.position import Position

RETRY_MS = 2000
KEEP_ALIVE = b": keepalive\n"  # no blank line: with one, some clients see an empty event
MAX_REPLAY = 5000  # events; who missed more is told to read everything anew
CHUNK_FRAMES = 200

Send = Callable[[bytes], Awaitable[None]]


class Seeing(Interest, Protocol):
    """An interest that says what its reader may see."""

    def seeing(self, sight: Sight) -> Self: ...


def frame(kind: str, body: bytes, position: Position) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (str(position).encode(), kind.encode(), body)


def hello(message: str, position: Position) -> bytes:
    return b"retry: %d\n" % RETRY_MS + frame("connected", dumped({"message": message}), position)


def resync(since: Position, position: Position) -> bytes:
    """What was missed is not sent again, unless the client comes back with this `last_event_id`."""
    said = {"message": "Some events were left out; read again what you show.", "last_event_id": str(since)}
    return frame("resync", dumped(said), position)


def event_frames(placed: Sequence[tuple[Event, Position]]) -> list[bytes]:
    return [frame(event.kind, dumped(event_body(event)), position) for event, position in placed]


class Stream:
    """The body of a client's stream: what it missed since `since`, or the `recent` last, then what comes."""

    def __init__(
        self,
        feed: Feed,
        interest: Seeing,
        given: Pass,
        *,
        message: str,
        since: Position | None = None,
        recent: int = 0,
    ) -> None:
        self._feed, self._interest, self._pass = feed, interest, given
        self._message, self._since, self._recent = message, since, recent

    async def __call__(self, receive: Receive, send: Send) -> None:
        with self._feed.reader(self._interest) as reader:
            gone = asyncio.create_task(_closed_when_gone(receive, reader))
            try:
                with guard().watch(self._pass, lambda sight: self._see(reader, sight)):
                    await self._send_all(reader, send)
            finally:
                gone.cancel()

    async def _send_all(self, reader: Reader, send: Send) -> None:
        here = reader.sent = await self._feed.ready()
        await send(hello(self._message, self._since or here))
        if self._since is not None:
            await self._catch_up(self._since, here, send)
        elif self._recent:
            latest = await self._feed.latest(self._interest, here, self._recent)
            await send(b"".join(frame.data for frame in latest))
        while not reader.is_closed:
            data = await reader.get()
            if reader.lost is not None:
                data = resync(reader.lost, self._feed.position)
                reader.found_again(self._feed.position)
            if not reader.is_closed:
                await send(data or KEEP_ALIVE)

    async def _catch_up(self, since: Position, here: Position, send: Send) -> None:
        missed = await self._feed.replay(self._interest, since, here, limit=MAX_REPLAY)
        if missed is None:
            await send(resync(since, here))
            return
        for start in range(0, len(missed), CHUNK_FRAMES):
            await send(b"".join(frame.data for frame in missed[start : start + CHUNK_FRAMES]))

    def _see(self, reader: Reader, sight: Sight | None) -> None:
        if sight is None:
            reader.close()
            return
        interest = self._interest.seeing(sight)
        if interest != reader.interest:
            self._feed.change(reader, interest)


async def _closed_when_gone(receive: Receive, reader: Reader) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.close()


EVENTS = Feed(CHANNEL, Event.objects.all, event_frames)

"""How an answer is streamed: server-sent events with ids, from what is kept and then as it comes.

The body is sent outside of Django (`apps.core.streaming`): neither a thread nor a database connection waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.conf import settings
from django.utils import timezone

from apps.activity.guard import Pass, guard
from apps.activity.sight import Sight
from apps.core.bodies import Receive
from apps.core.http import json_bytes
from apps.core.pubsub import Subscription, subscribe
from apps.events.feed import in_thread
from apps.pairing.models import Exchange, Piece
from apps.pairing.pieces import channel_of
from apps.pairing.services import exchange_heard, exchange_stop

KEEP_ALIVE = b": keepalive\n"
KEEP_ALIVE_SECONDS = 15.0
LOOK_SECONDS = 3.0  # between looks into the database, when nothing is heard
RETRY_MS = 2000

Send = Callable[[bytes], Awaitable[None]]
_ending: set[asyncio.Task[None]] = set()


def frame(kind: str, data: dict[str, Any], number: int | None = None) -> bytes:
    place = b"id: %d\n" % number if number is not None else b""
    return place + b"event: %s\ndata: %s\n\n" % (kind.encode(), json_bytes(data))


def chunk_body(exchange_id: int, model: str, created: int, data: dict[str, Any]) -> dict[str, Any]:
    """Some text, as OpenAI's clients expect it."""
    return {
        "id": f"chatcmpl-{exchange_id}",
        "object": "chat.completion.chunk",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "delta": {"content": data["text"]}, "finish_reason": None}],
    }


@dataclass
class Told:
    """What one reader was told so far."""

    exchange_id: int
    created: int
    model: str
    seq: int = 0
    is_over: bool = False
    frames: list[bytes] = field(default_factory=list)

    def take(self, seq: int, kind: str, data: dict[str, Any]) -> None:
        """Add the next piece; what was told already is left out."""
        if seq <= self.seq or self.is_over:
            return
        self.seq = seq
        if kind == Piece.Kind.CHUNK:
            data = chunk_body(self.exchange_id, self.model, self.created, data)
        if kind == Piece.Kind.DONE:
            data = {"message": "Stream complete", **data}
            self.is_over = True
        self.frames.append(frame(kind, data, seq))

    def flush(self) -> bytes:
        data = b"".join(self.frames)
        self.frames.clear()
        return data


def pieces_after(exchange_id: int, seq: int) -> tuple[list[tuple[int, str, dict[str, Any]]], bool]:
    """The pieces that are kept after that one; and whether no more will come."""
    over = not Exchange.objects.filter(pk=exchange_id, status=Exchange.Status.ANSWERING).exists()
    rows = Piece.objects.filter(exchange_id=exchange_id, seq__gt=seq).order_by("seq")
    return list(rows.values_list("seq", "kind", "data")), over


class AnswerStream:
    """The body of one reader's stream. A reader who leaves stops the answer, unless somebody else listens."""

    def __init__(
        self, exchange: Exchange, hello: dict[str, Any], given: Pass, *, after: int = 0, stops: bool = True
    ) -> None:
        self._told = Told(exchange.pk, int(exchange.created_at.timestamp()), exchange.model, after)
        self._hello, self._pass, self._stops = hello, given, stops
        self._place = (exchange.organization_id, exchange.project_id)

    async def __call__(self, receive: Receive, send: Send) -> None:
        talk = asyncio.create_task(self._talk(send))
        gone = asyncio.create_task(_gone(receive))

        def see(sight: Sight | None) -> None:
            if sight is None or not sight.allows(*self._place):
                talk.cancel()

        try:
            with guard().watch(self._pass, see):
                await asyncio.wait({talk, gone}, return_when=asyncio.FIRST_COMPLETED)
            if talk.done() and not talk.cancelled():
                talk.result()
        finally:
            talk.cancel()
            gone.cancel()
            if self._stops and not self._told.is_over:
                stop_soon(self._told.exchange_id)

    async def _talk(self, send: Send) -> None:
        told, quiet = self._told, 0.0
        async with subscribe(channel_of(told.exchange_id)) as heard:
            await in_thread(exchange_heard, told.exchange_id)
            await send(b"retry: %d\n" % RETRY_MS + frame("connected", self._hello))
            await self._look()
            while not told.is_over:
                if data := told.flush():
                    await send(data)
                    quiet = 0.0
                elif quiet >= KEEP_ALIVE_SECONDS:
                    await send(KEEP_ALIVE)
                    quiet = 0.0
                quiet += await self._hear(heard)
            await send(told.flush())

    async def _hear(self, heard: Subscription) -> float:
        """Take what is said; the seconds that nothing was."""
        try:
            messages = await asyncio.wait_for(heard.get(), LOOK_SECONDS)
        except TimeoutError:
            await self._look()
            return LOOK_SECONDS
        for message in messages:
            piece = orjson.loads(message) if message else None
            if piece is not None and piece["seq"] <= self._told.seq + 1:
                self._told.take(piece["seq"], piece["kind"], piece["data"])
            else:
                await self._look()
        return 0.0

    async def _look(self) -> None:
        pieces, over = await in_thread(pieces_after, self._told.exchange_id, self._told.seq)
        for seq, kind, data in pieces:
            self._told.take(seq, kind, data)
        if over and not self._told.is_over:  # an older answer, whose pieces are gone
            self._told.take(self._told.seq + 1, Piece.Kind.DONE, {})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def stop_soon(exchange_id: int) -> None:
    task = asyncio.get_running_loop().create_task(_stop_unless_heard(exchange_id))
    _ending.add(task)
    task.add_done_callback(_ending.discard)


async def _stop_unless_heard(exchange_id: int) -> None:
    left = timezone.now()
    await asyncio.sleep(settings.LOOM_PAIR_GRACE_SECONDS)

    def stop() -> None:
        exchange = Exchange.objects.filter(pk=exchange_id).first()
        if exchange is not None and (exchange.heard_at is None or exchange.heard_at <= left):
            exchange_stop(exchange=exchange, actor="its reader, who left")

    await in_thread(stop)


def all_at_once(exchange: Exchange, hello: dict[str, Any], after: int = 0) -> bytes:
    """All there is now, for servers without long answers: the client comes again after a while."""
    told = Told(exchange.pk, int(exchange.created_at.timestamp()), exchange.model, after)
    pieces, _ = pieces_after(exchange.pk, after)
    for seq, kind, data in pieces:
        told.take(seq, kind, data)
    return b"retry: %d\n" % RETRY_MS + frame("connected", hello) + told.flush()


async def answered(exchange_id: int) -> None:
    """Wait until an exchange has ended."""
    async with subscribe(channel_of(exchange_id)) as heard:
        while True:
            _, over = await in_thread(pieces_after, exchange_id, 2**31)
            if over:
                return
            try:
                await asyncio.wait_for(heard.get(), LOOK_SECONDS)
            except TimeoutError:
                continue

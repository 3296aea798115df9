"""Events over WebSocket at /ws/events/: the same feed as the stream of server-sent events.

The client sends {"action": "subscribe", "type": [...], "project_id": [...], "last_event_id": "..."} and
{"action": "unsubscribe"}; both are answered, and what a new subscription says holds from then on. It is told
{"kind": "event", "id": <place>, "event": {...}}, and "resync" as streams are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.http.cookie import parse_cookie
from django.utils.datastructures import MultiValueDict
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from apps.accounts.middleware import OrganizationMiddleware
from apps.accounts.permissions import READ
from apps.activity.guard import Pass, guard, passes_renew
from apps.activity.interests import EventInterest, kinds, numbers
from apps.activity.sight import Sight, sight_of
from apps.activity.sse import MAX_REPLAY
from apps.activity.streams_api import StreamView
from apps.activity.wire import dumped, event_body
from apps.core.errors import BadInput, LoomError
from apps.events.bus import CHANNEL
from apps.events.feed import Feed, Reader, in_thread
from apps.events.models import Event
from apps.events.position import Position

PERMISSION: Final = f"events:{READ}"
MAX_MESSAGE = 20_000  # characters that a client may send at once
# Codes of the close, of the range that is ours to give meanings.
REFUSED, ENDED = 4401, 4403
BROKEN = 1011  # the server's fault

log = logging.getLogger(__name__)


def event_lines(placed: Sequence[tuple[Event, Position]]) -> list[bytes]:
    return [
        dumped({"kind": "event", "id": str(position), "event": event_body(event)}) + b"\n"
        for event, position in placed
    ]


SOCKETS = Feed(CHANNEL, Event.objects.all, event_lines)


class EventSocket(AsyncWebsocketConsumer):  # type: ignore[misc]
    channel_layer_alias = "none"  # no layer: it would hold a connection to the broker for every client

    async def connect(self) -> None:
        self._work: asyncio.Task[None] | None = None
        found = await in_thread(_let_in, self.scope)
        if found is None:
            await self.close(code=REFUSED)
            return
        self._pass = found
        await self.accept()
        await self._say({"kind": "connected", "message": "Connected to event stream"})

    async def disconnect(self, code: int) -> None:
        await self._unsubscribe()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            message = _message(text_data)
            match message.get("action"):
                case "subscribe":
                    await self._subscribe(message)
                case "unsubscribe":
                    await self._unsubscribe()
                    await self._say({"kind": "unsubscribed"})
                case "ping":
                    await self._say({"kind": "pong"})
                case _:
                    raise BadInput("action must be subscribe, unsubscribe or ping.")
        except LoomError as error:
            await self._say({"kind": "error", **error.body()})

    async def _subscribe(self, message: Mapping[str, Any]) -> None:
        asked = MultiValueDict({name: _texts(message, name) for name in ("type", "project_id", "project")})
        given = message.get("last_event_id")
        since = Position.parse(str(given)) if given not in (None, "") else None
        wanted = kinds(asked, "type"), numbers(asked, "project_id", "project")
        await self._unsubscribe()
        # Who was let in long ago and listened to nothing since was not looked at either.
        sight = (await in_thread(passes_renew, {self._pass}))[self._pass]
        if sight is None:
            await self.close(code=ENDED)
            return
        interest = EventInterest(sight, *wanted)
        self._work = asyncio.create_task(self._run(interest, since))

    async def _unsubscribe(self) -> None:
        if self._work is not None:
            self._work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._work
            self._work = None

    async def _run(self, interest: EventInterest, since: Position | None) -> None:
        try:
            await self._tell_all(interest, since)
        except Exception:
            # Its client would wait for ever, and believe that nothing happens; so it can come again.
            log.exception("a socket's events could not be told")
            await self.close(code=BROKEN)
        else:
            await self.close(code=ENDED)

    async def _tell_all(self, interest: EventInterest, since: Position | None) -> None:
        with (
            SOCKETS.reader(interest) as reader,
            guard().watch(self._pass, lambda sight: self._see(reader, sight)),
        ):
            here = reader.sent = await SOCKETS.ready()
            await self._say({"kind": "subscribed", "id": str(since or here)})
            if since is not None:
                await self._catch_up(interest, since, here)
            while not reader.is_closed:
                data = await reader.get()
                if reader.lost is not None:
                    await self._resync(reader.lost, SOCKETS.position)
                    reader.found_again(SOCKETS.position)
                await self._lines(data)

    async def _catch_up(self, interest: EventInterest, since: Position, here: Position) -> None:
        missed = await SOCKETS.replay(interest, since, here, limit=MAX_REPLAY)
        if missed is None:
            await self._resync(since, here)
            return
        for frame in missed:
            await self._lines(frame.data)

    async def _resync(self, since: Position, here: Position) -> None:
        await self._say({"kind": "resync", "last_event_id": str(since), "id": str(here)})

    async def _lines(self, data: bytes) -> None:
        for line in data.splitlines():
            await self.send(text_data=line.decode())

    async def _say(self, said: dict[str, Any]) -> None:
        await self.send(text_data=dumped(said).decode())

    def _see(self, reader: Reader, sight: Sight | None) -> None:
        if sight is None:
            reader.close()
            return
        if isinstance(interest := reader.interest, EventInterest) and interest.sight != sight:
            SOCKETS.change(reader, interest.seeing(sight))


def _let_in(scope: Mapping[str, Any]) -> Pass | None:
    """Whoever the API would let in by the same headers, cookies or token."""
    request = HttpRequest()
    request.method = "GET"
    request.META = {
        "HTTP_" + name.decode("latin-1").upper().replace("-", "_"): value.decode("latin-1")
        for name, value in scope["headers"]
    }
    request.META["REMOTE_ADDR"] = (scope.get("client") or ("",))[0]
    request.GET = QueryDict(scope.get("query_string", b""))
    request.COOKIES = parse_cookie(request.META.get("HTTP_COOKIE", ""))
    for middleware in (SessionMiddleware, AuthenticationMiddleware, OrganizationMiddleware):
        middleware(_no_answer).process_request(request)
    asked = Request(request, authenticators=StreamView().get_authenticators())
    try:
        person: Any = asked.user
        sight = sight_of(person, PERMISSION)
    except (APIException, LoomError):
        return None
    return Pass.of(asked, PERMISSION) if sight is not None else None


def _no_answer(request: HttpRequest) -> HttpResponseBase:
    raise NotImplementedError("Nobody asks for an answer.")


def _message(text: str | None) -> dict[str, Any]:
    if text is None or len(text) > MAX_MESSAGE:
        raise BadInput(f"A message is text of at most {MAX_MESSAGE:,} characters.")
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadInput("A message must be JSON.") from None
    if not isinstance(message, dict):
        raise BadInput("A message must be a JSON object.")
    return message


def _texts(message: Mapping[str, Any], name: str) -> list[str]:
    given = message.get(name) or []
    items = given if isinstance(given, list) else [given]
    if not all(isinstance(item, str | int) and not isinstance(item, bool) for item in items):
        raise BadInput(f"{name} must be a list of words or numbers.", details={"field": name})
    return [str(item) for item in items]

"""A limit on request bodies, before anything keeps them: Django itself writes them to disk first."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from apps.core.origin import request_id_of

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class TooLong(Exception):
    """More has come than a body may hold."""


class BoundedBodies:
    """Answers 413 to a request whose body is announced, or turns out, to be larger than `limit` bytes."""

    def __init__(self, application: Application, limit: int) -> None:
        self._application, self._limit = application, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        if _announced(scope) > self._limit:
            await self._refuse(scope, send)
            return
        came, answering = 0, False

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self._limit:
                raise TooLong
            return message

        async def noted(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            await self._application(scope, counted, noted)
        except TooLong:
            if not answering:
                await self._refuse(scope, send)

    async def _refuse(self, scope: Scope, send: Send) -> None:
        sentence = f"A request may have {self._limit:,} bytes at most."
        body = json.dumps({"error": sentence, "code": "too_large", "details": {}}).encode()
        given = dict(scope.get("headers", ())).get(b"x-request-id", b"").decode("latin-1")
        headers = [
            (b"content-type", b"application/json"),
            (b"connection", b"close"),
            (b"x-request-id", request_id_of(given).encode()),
        ]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _announced(scope: Scope) -> int:
    for name, value in scope.get("headers", ()):
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0

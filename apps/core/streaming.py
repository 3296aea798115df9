"""Answers that go on for hours. A view decides who gets one, with all that views have; then the body is sent
from here, outside of Django, so that neither a thread nor a database connection waits with its reader.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from apps.core.bodies import Application, Message, Receive, Scope, Send

# Sends chunks of the body until it returns or is canceled, which happens when the reader is gone.
Body = Callable[[Receive, Callable[[bytes], Awaitable[None]]], Awaitable[None]]

SLOT = "loom.stream"
EVENT_STREAM = "text/event-stream"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class Streams:
    """Lets views give their answer a body by `stream_open`."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        slot: list[Body] = []
        scope[SLOT] = slot

        async def send_unless_body(message: Message) -> None:
            if slot and message["type"] == "http.response.start":
                if message["status"] != 200:  # something above the view thought otherwise
                    slot.clear()
                kept = [pair for pair in message["headers"] if pair[0].lower() != b"content-length"]
                message = {**message, "headers": kept} if slot else message
            if not slot or message["type"] != "http.response.body":
                await send(message)

        async def send_chunk(chunk: bytes) -> None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

        await self._application(scope, receive, send_unless_body)
        if slot:
            await slot[0](receive, send_chunk)
            await send({"type": "http.response.body", "body": b""})


def stream_open(request: Any, body: Body) -> bool:
    """Have the answer to this request go on with `body`; False where the server cannot do that (WSGI)."""
    slot: list[Body] | None = getattr(request, "scope", {}).get(SLOT)
    if slot is None:
        return False
    slot[:] = [body]
    return True

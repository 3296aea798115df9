"""A model server that costs next to nothing and stamps each request: when it was in, when it was answered.

It runs on a thread of the measuring process; both sides of a comparison are processes of their own. Stamps
are `time.monotonic()`, one clock for all processes of a machine.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import orjson

Answer = Callable[[bytes], bytes | None]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
MODELS = orjson.dumps({"object": "list", "data": [{"id": "script", "object": "model"}]})


@dataclass(frozen=True)
class Stamp:
    received: float  # the whole request was here
    answered: float  # just before the answer was sent
    size: int  # bytes of the request's body


class ModelServer:
    """`answer` makes a completion of a request's body, or None: then the answer waits for `release`.

    Each answer is thought about for `delay` seconds.
    """

    def __init__(self, answer: Answer, delay: float = 0.0) -> None:
        self.answer, self.delay = answer, delay
        self.stamps: list[Stamp] = []
        self.url = ""
        self._held: list[_Line] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="model-server", daemon=True)

    def take(self) -> list[Stamp]:
        """The stamps since the last time, in order."""
        taken, self.stamps = self.stamps, []
        return taken

    def hold(self, line: _Line) -> None:
        self._held.append(line)

    def release(self, completion: bytes) -> None:
        """Answer everything that was held back."""
        held, self._held = self._held, []
        for line in held:
            self._loop.call_soon_threadsafe(line.reply, completion)

    def _run(self) -> None:
        with suppress(OSError):  # root may: requests are stamped when they come, however busy the machine is
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_RR, os.sched_param(1))
        asyncio.set_event_loop(self._loop)
        listening = self._loop.create_server(lambda: _Line(self), "127.0.0.1", 0, backlog=512)
        server = self._loop.run_until_complete(listening)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        self._loop.run_forever()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class _Line(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, server: ModelServer) -> None:
        self.server = server
        self.parts: list[bytes] = []
        self.missing: int | None = None  # bytes of the body; None while the head is incomplete
        self.wire: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.wire = transport

    def data_received(self, data: bytes) -> None:
        self.parts.append(data)
        if self.missing is None:
            self._read_head()
        else:
            self.missing -= len(data)
        if self.missing is not None and self.missing <= 0:
            received = time.monotonic()
            body, self.parts, self.missing = b"".join(self.parts), [], None
            self._serve(body, received)

    def _read_head(self) -> None:
        head, end, body = b"".join(self.parts).partition(b"\r\n\r\n")
        if end:
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self.parts, self.missing = [body], int(length or 0) - len(body)

    def _serve(self, body: bytes, received: float) -> None:
        completion = self.server.answer(body) if body else MODELS
        if completion is None:
            self.server.hold(self)
            return
        if body and self.server.delay:
            asyncio.get_running_loop().call_later(self.server.delay, self._answer, completion, body, received)
        elif body:
            self._answer(completion, body, received)
        else:
            self.reply(completion)

    def _answer(self, completion: bytes, body: bytes, received: float) -> None:
        self.server.stamps.append(Stamp(received, time.monotonic(), len(body)))
        self.reply(completion)

    def reply(self, completion: bytes) -> None:
        self.wire.write(HEAD % len(completion) + completion)


def completion(action: str, arguments: dict[str, Any], *, request_bytes: int, number: int) -> bytes:
    """A chat completion with one tool call; tokens are a quarter of the bytes."""
    call = {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": action, "arguments": orjson.dumps(arguments).decode()},
    }
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "Looking.", "tool_calls": [call]},
        "finish_reason": "tool_calls",
    }
    usage = {"prompt_tokens": request_bytes // 4, "completion_tokens": 30}
    usage["total_tokens"] = sum(usage.values())
    shared = {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": 0, "model": "script"}
    return orjson.dumps({**shared, "choices": [choice], "usage": usage})

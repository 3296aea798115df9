"""Requests are answered in a few threads that stay; the event loop moves bytes and holds the streams.

Django's own ASGI handler hands each request back and forth between the loop and threads, and gives each a
database connection of its own. A thread that answers whole requests, as under WSGI, does many more.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from tempfile import SpooledTemporaryFile
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest

from apps.core.bodies import Application, Receive, Scope, Send

SPOOL = 1024 * 1024  # bytes of a body that stay in memory
SCOPE = "loom.scope"


class Request(WSGIRequest):
    """Knows the scope of the connection it came by."""

    @property
    def scope(self) -> Scope:
        scope: Scope = self.environ[SCOPE]
        return scope


class Pages(WSGIHandler):
    request_class = Request


class Threads:
    """Answers http requests in `threads` threads; all else is left to `application`."""

    def __init__(self, application: Application, *, threads: int) -> None:
        self._application, self._handler = application, Pages()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="web")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        with SpooledTemporaryFile(SPOOL) as body:
            size = await _read(receive, body.write)
            if size is not None:  # else the client went away
                body.seek(0)
                await self._answer(_Answer(self._handler, _environ(scope, body, size)), send)

    async def _answer(self, answer: _Answer, send: Send) -> None:
        run = asyncio.get_running_loop().run_in_executor
        try:
            chunk, more = await run(self._pool, answer.begin)
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            if answer.is_async:
                async for part in answer.response:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            while more:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                chunk, more = await run(self._pool, answer.next)
            await send({"type": "http.response.body", "body": chunk})
        finally:
            if not answer.is_closed:
                await run(self._pool, answer.close)


class _Answer:
    """One request at Django; `begin` makes the whole of an ordinary answer, in one thread at one go."""

    def __init__(self, handler: Pages, environ: dict[str, Any]) -> None:
        self._handler, self._environ = handler, environ
        self._chunks: Iterator[bytes] = iter(())
        self.response: Any = None
        self.status, self.headers = 500, list[tuple[bytes, bytes]]()
        self.is_async = self.is_closed = False

    def begin(self) -> tuple[bytes, bool]:
        """The first chunk, and whether more may follow."""
        self.response = self._handler(self._environ, self._start)  # type: ignore[arg-type]
        if getattr(self.response, "is_async", False):
            self.is_async = True
            return b"", False
        self._chunks = iter(self.response)
        if getattr(self.response, "streaming", True):  # also a file
            return self.next()
        whole = b"".join(self._chunks)
        self.close()
        return whole, False

    def next(self) -> tuple[bytes, bool]:
        for chunk in self._chunks:
            return chunk, True
        self.close()
        return b"", False

    def close(self) -> None:
        self.is_closed = True
        if close := getattr(self.response, "close", None):
            close()

    def _start(self, status: str, headers: list[tuple[str, str]], error: Any = None) -> None:
        self.status = int(status.split(" ", 1)[0])
        self.headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _read(receive: Receive, write: Callable[[bytes], object]) -> int | None:
    """Keep the body; its size, or None if the client went away."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        size, more = size + len(chunk), message.get("more_body", False)
        if chunk:
            write(chunk)
    return size


def _environ(scope: Scope, body: Any, size: int) -> dict[str, Any]:
    """The request as PEP 3333 has it."""
    server, client = scope.get("server") or ("localhost", 80), scope.get("client") or ("", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": scope.get("root_path", ""),
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 0),
        "REMOTE_ADDR": client[0],
        SCOPE: scope,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw, value in scope["headers"]:
        if b"_" in raw:
            continue  # X_User is not X-User
        name = raw.decode("latin-1").upper().replace("-", "_")
        key = name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"
        text = value.decode("latin-1")
        between = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{between}{text}" if key in environ else text
    environ |= {"CONTENT_LENGTH": str(size)}  # also of a body that came in chunks
    return environ

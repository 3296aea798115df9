"""The web process: whole requests in threads, streams in the event loop."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from apps.core.serving import SCOPE, Threads

pytestmark = [pytest.mark.urls(__name__), pytest.mark.filterwarnings("ignore:No directory at")]
closed: list[str] = []


@csrf_exempt
def told(request: HttpRequest, name: str) -> HttpResponse:
    return JsonResponse(
        {
            "thread": threading.current_thread().name.rpartition("_")[0],
            "method": request.method,
            "path": request.path,
            "query": request.GET.get("q"),
            "body": request.body.decode(),
            "cookies": request.COOKIES,
            "host": request.get_host(),
            "address": request.META["REMOTE_ADDR"],
            "spoofed": request.META.get("HTTP_X_USER"),
            "is_known": request.META[SCOPE] is request.scope,  # type: ignore[attr-defined]
        },
        headers={"X-Name": "grün".encode().decode("latin-1")},
    )


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(Path(__file__).open("rb"))


def forever(request: HttpRequest) -> StreamingHttpResponse:
    async def ticks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick"
                await asyncio.sleep(0)
        finally:
            closed.append("forever")

    return StreamingHttpResponse(ticks())


def broken(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


urlpatterns = [
    path("told/<name>", told),
    path("file", file),
    path("forever", forever),
    path("broken", broken),
]


class Gone(Exception):
    """The reader went away."""


def play(method: str, address: str, *chunks: bytes, headers: Any = (), most: int = 1000) -> list[Any]:
    """What is sent for a request whose body comes in chunks; the reader leaves after `most` messages."""

    async def run() -> list[Any]:
        sent: list[Any] = []
        coming = [
            {"type": "http.request", "body": chunk, "more_body": at < len(chunks)}
            for at, chunk in enumerate(chunks, 1)
        ]

        async def receive() -> Any:
            return coming.pop(0) if coming else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if len(sent) >= most:
                raise Gone
            sent.append(message)

        where, _, query = address.partition("?")
        scope = {
            "type": "http", "method": method, "path": where, "query_string": query.encode(),
            "http_version": "1.1", "scheme": "http", "server": ("localhost", 80), "client": ("10.0.0.9", 5),
            "headers": [(b"host", b"localhost"), *headers],
        }  # fmt: skip
        await Threads(_nobody, threads=1)(scope, receive, send)
        return sent

    return asyncio.run(run())


async def _nobody(scope: Any, receive: Any, send: Any) -> None:
    await send({"scope": scope["type"]})


def body_of(sent: list[Any]) -> bytes:
    return b"".join(message.get("body", b"") for message in sent)


def test_a_request_is_answered_in_one_of_the_threads() -> None:
    headers = [(b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"x_user", b"root")]
    sent = play("POST", "/told/gr%C3%BCn?q=%20x".replace("%C3%BC", "ü"), b"ab", b"", b"cd", headers=headers)
    assert json.loads(body_of(sent)) == {
        "thread": "web", "method": "POST", "path": "/told/grün", "query": " x", "body": "abcd",
        "cookies": {"a": "1", "b": "2"}, "host": "localhost", "address": "10.0.0.9", "spoofed": None,
        "is_known": True,
    }  # fmt: skip
    assert sent[0]["status"] == 200
    assert dict(sent[0]["headers"])[b"x-name"] == "grün".encode()
    assert len(sent) == 2


def test_files_are_sent() -> None:
    sent = play("GET", "/file", b"")
    assert body_of(sent) == Path(__file__).read_bytes()
    assert play("GET", "/nothing", b"")[0]["status"] == 404


def test_an_answer_without_end_leaves_the_thread_free_and_ends_with_its_reader() -> None:
    with pytest.raises(Gone):
        play("GET", "/forever", b"", most=20)
    assert closed == ["forever"]


@override_settings(DEBUG_PROPAGATE_EXCEPTIONS=False)
def test_what_breaks_is_an_answer_and_who_left_gets_none() -> None:
    assert play("GET", "/broken", b"")[0]["status"] == 500
    assert play("GET", "/told/x") == []


def test_other_connections_are_left_to_the_application_inside() -> None:
    async def run() -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {}

        await Threads(_nobody, threads=1)({"type": "websocket"}, receive, send)
        return sent

    assert asyncio.run(run()) == [{"scope": "websocket"}]

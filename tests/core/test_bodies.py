"""Bodies of requests have a limit, announced or not; what is within it passes untouched."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from apps.core.bodies import BoundedBodies, Message, Receive, Scope, Send

LIMIT = 10


def play(chunks: list[bytes], *, announced: str = "", kind: str = "http", early: bool = False) -> list[Any]:
    """What is sent by an application that echoes the body, behind the limit."""
    sent: list[Any] = []
    left = list(chunks)

    async def receive() -> Message:
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message: Message) -> None:
        sent.append(message)

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        if early:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        await send({"type": "http.response.body", "body": body})

    headers = [(b"content-length", announced.encode())] if announced else []
    asyncio.run(BoundedBodies(echo, LIMIT)({"type": kind, "headers": headers}, receive, send))
    return sent


def test_a_body_within_the_limit_passes() -> None:
    assert play([b"12345", b"67890"], announced="10")[0]["body"] == b"1234567890"
    assert play([b""])[0]["body"] == b""


def test_a_body_that_is_announced_too_large_is_not_read() -> None:
    start, body = play([], announced="11")
    assert start["status"] == 413
    assert json.loads(body["body"])["code"] == "too_large"


def test_a_body_that_grows_too_large_is_cut_off_whatever_was_announced() -> None:
    for announced in ("", "5", "x"):
        start, body = play([b"12345", b"678901", b"never read"], announced=announced)
        assert (start["status"], json.loads(body["body"])["details"]) == (413, {})


def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    sent = play([b"12345678901"], early=True)
    assert [message["status"] for message in sent] == [200]


def test_other_connections_are_left_alone() -> None:
    assert play([b"12345678901"], announced="99", kind="websocket")[0]["body"] == b"12345678901"

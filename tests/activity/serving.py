"""The site under uvicorn, in a thread of the test process and on its database."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from django.test import Client
from httpx_sse import ServerSentEvent, connect_sse

from apps.accounts.models import User

SECONDS = 10.0


@dataclass
class Site:
    """`server` is another one after a restart, at the same address."""

    port: int
    server: uvicorn.Server = field(init=False)
    _thread: threading.Thread = field(init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        from loom_site.asgi import application  # noqa: PLC0415 - settings are those of the test by now

        config = uvicorn.Config(
            application,
            host="127.0.0.1",
            port=self.port,
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=0,
        )
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()
        until = time.monotonic() + SECONDS
        while not self.server.started:
            assert time.monotonic() < until, "the site does not start"
            time.sleep(0.01)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(SECONDS)


@contextlib.contextmanager
def serving() -> Iterator[Site]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        site = Site(probe.getsockname()[1])
    site.start()
    try:
        yield site
    finally:
        site.stop()


def cookies(user: User) -> dict[str, str]:
    client = Client()
    client.force_login(user)
    return {"sessionid": client.cookies["sessionid"].value}


class Listener:
    """A client of a stream; what it was told is kept until it is asked for."""

    def __init__(self, url: str, *, cookies: dict[str, str] | None = None, **headers: str) -> None:
        self._client = httpx.Client(cookies=cookies, timeout=SECONDS, trust_env=False)
        self._open = connect_sse(self._client, "GET", url, headers={**headers})
        self.source = self._open.__enter__()
        self.response = self.source.response
        self._events = self.source.iter_sse()

    def next(self) -> ServerSentEvent:
        return next(self._events)

    def told(self, kind: str, count: int = 1) -> list[Any]:
        """The data of the next `count` events of that type; others are passed over."""
        found: list[Any] = []
        while len(found) < count:
            event = self.next()
            if event.event == kind:
                found.append(json.loads(event.data))
        return found

    def ends(self) -> bool:
        """Whether the server ends the stream; reads all that comes until then."""
        try:
            for _ in self._events:
                pass
        except httpx.RemoteProtocolError:  # cut, as by a server that goes down
            return True
        return True

    def close(self) -> None:
        self._open.__exit__(None, None, None)
        self._client.close()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

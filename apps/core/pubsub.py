"""Live messages between processes: one broker subscription per process, fanned out in memory.

A message is a hint: it is lost when the broker is away or nobody listens. What must not be lost stands in the
database, and who reads it re-reads whenever a subscription says that something may have been missed (`None`).
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.connection import parse_url

from apps.core.broker import broker_url

MAX_WAITING = 10_000  # messages of a process that the broker has not taken yet; the oldest go first
MAX_BATCH = 500
BROKER_SECONDS = 2.0
PACE_SECONDS = 0.03  # between two batches of a process: many messages that follow each other cost as one
RETRY_SECONDS = 0.5
QUIET_SECONDS = 15.0
FLUSH_SECONDS = 1.0  # that the end of a process waits for its last messages

log = logging.getLogger(__name__)


def publish(channel: str, message: bytes = b"") -> None:
    """Send a message to the subscribers in all processes, in order per sender; never blocks, never fails.

    Empty messages are mere bells: several of one channel that wait together are sent as one.
    """
    _publisher.put(channel, message)


@contextlib.asynccontextmanager
async def subscribe(channel: str, *, size: int = 1000) -> AsyncIterator[Subscription]:
    """Listen to a channel from now on; when more than `size` messages wait, they are dropped for a `None`.

    The first item is a `None` too, as soon as the broker is heard: read what is there already.
    """
    switchboard = _switchboard()
    subscription = Subscription(size)
    switchboard.join(channel, subscription)
    try:
        yield subscription
    finally:
        switchboard.leave(channel, subscription)


class Subscription:
    """A bounded queue of one channel's messages; `None` where some may have been lost."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[bytes | None] = deque()
        self._bell = asyncio.Event()

    def put(self, message: bytes | None) -> None:
        if len(self._waiting) >= self._size:
            self._waiting.clear()
            message = None
        self._waiting.append(message)
        self._bell.set()

    async def get(self) -> list[bytes | None]:
        """All that waits, at least one item."""
        while not self._waiting:
            self._bell.clear()
            await self._bell.wait()
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    def __aiter__(self) -> AsyncIterator[bytes | None]:
        return self._each()

    async def _each(self) -> AsyncIterator[bytes | None]:
        while True:
            for message in await self.get():
                yield message


def broker_named() -> tuple[str, str]:
    """The broker's URL, and what the names of this installation's channels begin with.

    Messages of Redis know no database numbers, so the number is part of the name.
    """
    url = broker_url(Path(settings.LOOM_DATA_DIR))
    return url, f"loom:live:{parse_url(url).get('db', 0)}:"


class Broker:
    """A client of the broker that is known just now, with time limits in seconds; threads may share it."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._client: redis.Redis | None = None
        self._url = ""
        self._lock = threading.Lock()

    def client(self) -> tuple[Any, str]:
        """The client, and what the names of this installation begin with."""
        with self._lock:
            url, prefix = broker_named()
            if self._client is None or self._url != url:
                limits = {"socket_timeout": self._seconds, "socket_connect_timeout": self._seconds}
                self._client, self._url = redis.Redis.from_url(url, **limits), url
            return self._client, prefix


class _Publisher:
    """Sends from a thread of its own: whoever publishes has just committed, and has other things to do."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=MAX_WAITING)
        self._bell = threading.Event()
        self._idle = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, channel: str, message: bytes) -> None:
        self._idle.clear()
        self._waiting.append((channel, message))
        if self._thread is None:
            self._start()
        self._bell.set()

    def flush(self) -> None:
        if self._thread is not None:
            self._idle.wait(FLUSH_SECONDS)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="loom-publish", daemon=True)
                self._thread.start()
                atexit.register(self.flush)

    def _run(self) -> None:
        broker = Broker(seconds=BROKER_SECONDS)
        was_here = is_away = False
        while True:
            self._bell.wait()
            self._bell.clear()
            while batch := self._take():
                try:
                    _send(*broker.client(), batch)
                    was_here, is_away = True, False
                    time.sleep(PACE_SECONDS)
                except redis.RedisError as error:
                    if not is_away:
                        # Before a command has started the broker itself, nobody listens either.
                        level = logging.WARNING if was_here else logging.DEBUG
                        log.log(level, "live messages are lost, since the broker does not answer: %s", error)
                    is_away = True
                    time.sleep(RETRY_SECONDS)
            self._idle.set()

    def _take(self) -> list[tuple[str, bytes]]:
        batch: list[tuple[str, bytes]] = []
        bells: set[str] = set()
        while self._waiting and len(batch) < MAX_BATCH:
            channel, message = self._waiting.popleft()
            if message or channel not in bells:
                batch.append((channel, message))
            if not message:
                bells.add(channel)
        return batch


def _send(client: redis.Redis, prefix: str, batch: list[tuple[str, bytes]]) -> None:
    with client.pipeline(transaction=False) as pipeline:
        for channel, message in batch:
            pipeline.publish(prefix + channel, message)
        pipeline.execute()


class _Switchboard:
    """The subscription of one event loop: hears all channels and passes on to those who listen."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self._is_heard = False

    def join(self, channel: str, subscription: Subscription) -> None:
        self._listeners[channel].add(subscription)
        if self._is_heard:
            subscription.put(None)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="loom-subscribe")

    def leave(self, channel: str, subscription: Subscription) -> None:
        self._listeners[channel].discard(subscription)
        if not self._listeners[channel]:
            del self._listeners[channel]
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        is_away = False
        while True:
            try:
                await self._listen()
            except (redis.RedisError, OSError) as error:
                if not is_away:
                    log.warning("live messages are not heard, since the broker does not answer: %s", error)
                is_away = True
            else:
                is_away = False
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        url, prefix = broker_named()
        client = redis.asyncio.Redis.from_url(url, socket_connect_timeout=BROKER_SECONDS)
        try:
            async with client.pubsub() as messages:
                await messages.psubscribe(prefix + "*")
                while True:
                    said = await messages.get_message(timeout=QUIET_SECONDS)
                    if said is None:
                        await messages.ping()  # a broker whose machine is gone says nothing either
                    else:
                        self._hear(said, len(prefix))
        finally:
            self._is_heard = False
            await client.aclose()

    def _hear(self, said: dict[str, Any], skip: int) -> None:
        if said["type"] == "psubscribe":
            self._is_heard = True
            for listeners in self._listeners.values():
                for subscription in listeners:
                    subscription.put(None)
        elif said["type"] == "pmessage":
            for subscription in self._listeners.get(said["channel"].decode()[skip:], ()):
                subscription.put(said["data"])


_publisher = _Publisher()
_switchboards: WeakKeyDictionary[asyncio.AbstractEventLoop, _Switchboard] = WeakKeyDictionary()


def _switchboard() -> _Switchboard:
    return _switchboards.setdefault(asyncio.get_running_loop(), _Switchboard())


def _after_fork() -> None:
    global _publisher  # noqa: PLW0603 - its thread and its connection are the parent's
    _publisher = _Publisher()


os.register_at_fork(after_in_child=_after_fork)

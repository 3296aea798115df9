"""Pacing: of a crew's many threads only a few compete for the processor, first come, first served.

Python runs one thread at a time. When hundreds of them have something to do, most of the time goes into
taking turns; so whoever works holds one of a few lanes, and leaves it while it waits for the world outside.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from apps.engine.lending import lend

LANES = 2  # while one waits for the database the other works; a third costs each turn more than it gains
PATIENCE_S = 0.25  # who waits for something without saying so no longer holds others up after that

_here = threading.local()


class Lanes:
    """Places for threads that work."""

    def __init__(self, size: int = 0) -> None:
        self._size = size or LANES
        self._lock = threading.Lock()
        self._until: dict[int, float] = {}  # thread -> when its place counts as free
        self._queue: deque[tuple[int, threading.Lock]] = deque()

    def free(self) -> int:
        now = time.monotonic()
        return self._size - sum(until > now for until in self._until.values())

    def enter(self) -> None:
        """Wait for a place behind those who came before, and take it."""
        ticket = threading.Lock()
        ticket.acquire()
        with self._lock:
            self._queue.append((threading.get_ident(), ticket))
            self._admit()
            ahead = len(self._queue)
        # Somebody's patience may run out meanwhile; the further back, the longer others look after that.
        while not ticket.acquire(timeout=PATIENCE_S * (1 + ahead / self._size)):
            with self._lock:
                self._admit()

    def leave(self) -> None:
        """Give the calling thread's place to the next; again does no harm."""
        with self._lock:
            if self._until.pop(threading.get_ident(), None) is not None:
                self._admit()

    def _admit(self) -> None:
        while self._queue and self.free() > 0:
            thread, ticket = self._queue.popleft()
            self._until[thread] = time.monotonic() + PATIENCE_S
            ticket.release()


@contextmanager
def paced(lanes: Lanes) -> Iterator[None]:
    """In the block the thread works, in a lane while it is not `outside`."""
    lanes.enter()
    _here.lanes = lanes
    try:
        yield
    finally:
        del _here.lanes
        lanes.leave()


@contextmanager
def outside() -> Iterator[None]:
    """In the block the thread waits for the world outside: others may have its lane and its connection."""
    lanes: Lanes | None = getattr(_here, "lanes", None)
    if lanes is None:
        yield
        return
    lanes.leave()
    lend()
    try:
        yield
    finally:
        lanes.enter()

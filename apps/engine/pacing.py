"""Pacing: of many runs that begin at once only a few compete for the processor, first come, first served."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from apps.engine.lending import lend

LANES = 2
PATIENCE_S = 0.25  # a run that takes longer to get under way no longer holds others up

_here = threading.local()


class Lanes:
    """Places for runs that are being taken up; all calls but `leave` need the lock of `changed`."""

    def __init__(self, changed: threading.Condition, size: int = 0) -> None:
        self._changed, self._size = changed, size or LANES
        self._until: dict[int, float] = {}  # thread -> when its place counts as free

    def free(self) -> int:
        now = time.monotonic()
        return self._size - sum(until > now for until in self._until.values())

    def enter(self) -> None:
        """The calling thread takes a place."""
        self._until[threading.get_ident()] = time.monotonic() + PATIENCE_S

    def leave(self) -> None:
        """The calling thread gives its place to the next; again does no harm."""
        with self._changed:
            if self._until.pop(threading.get_ident(), None) is not None:
                self._changed.notify()


@contextmanager
def paced(lanes: Lanes) -> Iterator[None]:
    """In the block a run is advanced; its place is free again at `under_way`, or at the end."""
    _here.lanes = lanes
    try:
        yield
    finally:
        del _here.lanes
        lanes.leave()


def under_way() -> None:
    """This run waits for the outside world now: the next one may begin."""
    lanes: Lanes | None = getattr(_here, "lanes", None)
    if lanes is not None:
        lanes.leave()
        lend()

"""Attempts with a time limit: what takes longer is given up, and nothing it still does counts.

Python cannot stop a function from outside. So an attempt with a limit runs in a thread of its own, and one
that is given up goes on there until it returns by itself; only its handle is dead: whatever it begins or
finishes is refused and rolled back. A long function may look at `handle.is_abandoned` and stop early.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import Context, copy_context
from typing import TypeVar

from django.db import connections

from apps.core.errors import Unavailable
from apps.engine.errors import TimedOut

T = TypeVar("T")

MAX_ABANDONED = 100  # threads of one process that still work on attempts nobody waits for

log = logging.getLogger(__name__)
_abandoned: set[threading.Thread] = set()
_lock = threading.Lock()


def within(seconds: float, work: Callable[[], T], *, name: str) -> T:
    """What the work returns or raises in time; TimedOut if it takes longer, and it is left to itself."""
    if (count := abandoned_count()) >= MAX_ABANDONED:
        raise Unavailable(
            f"{count} attempts that took too long are still at work in this process.",
            hint="Restart the worker, and see why these calls neither answer nor end.",
        )
    future: Future[T] = Future()
    thread = threading.Thread(
        target=_play, args=(future, copy_context(), work), name=f"attempt-{name}"[:60], daemon=True
    )
    thread.start()
    if not wait([future], seconds).done:
        with _lock:
            _abandoned.add(thread)
        log.warning("%s gave no answer within %g s and is left to itself", name, seconds)
        raise TimedOut(f"No answer within {seconds:g} s.")
    return future.result()


def _play(future: Future[T], context: Context, work: Callable[[], T]) -> None:
    try:
        future.set_result(context.run(work))
    except BaseException as error:  # noqa: BLE001 - whoever waits raises it
        future.set_exception(error)
    finally:
        connections.close_all()


def abandoned_count() -> int:
    """How many attempts that were given up are still at work in this process."""
    with _lock:
        _abandoned.difference_update([thread for thread in _abandoned if not thread.is_alive()])
        return len(_abandoned)

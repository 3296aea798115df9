"""Looks after answers under way: one that is stopped ends at once, also while its model says nothing."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from apps.pairing.models import Exchange
from apps.providers.scissors import Scissors, cuttable

LOOK_SECONDS = 0.4

log = logging.getLogger(__name__)

_watched: dict[int, Scissors] = {}
_lock = threading.Lock()
_over = threading.Event()  # nothing is watched any more
_is_looking = False


@contextmanager
def stoppable(exchange_id: int, scissors: Scissors) -> Iterator[None]:
    """The model's call within the block ends when the exchange does."""
    global _is_looking  # noqa: PLW0603 - one thread per process
    with _lock:
        _watched[exchange_id] = scissors
        _over.clear()
        if not _is_looking:
            _is_looking = True
            threading.Thread(target=_look_on, name="pair-stops", daemon=True).start()
    try:
        with cuttable(scissors):
            yield
    finally:
        with _lock:
            _watched.pop(exchange_id, None)
            if not _watched:
                _over.set()


def _look_on() -> None:
    global _is_looking  # noqa: PLW0603
    while True:
        _over.wait(LOOK_SECONDS)
        with _lock:
            watched = dict(_watched)
            if not watched:
                _is_looking = False
                break
        for exchange_id in _ended(watched):
            watched[exchange_id].cut()
    connection.close()


def _ended(watched: dict[int, Scissors]) -> set[int]:
    try:
        going = Exchange.objects.filter(pk__in=watched, status=Exchange.Status.ANSWERING)
        return watched.keys() - set(going.values_list("pk", flat=True))
    except Exception:  # a look that fails must not be the last one: nobody would be stopped any more
        log.warning("answers under way could not be looked after", exc_info=True)
        connection.close()
        return set()


def _forget_parent() -> None:
    """A forked child answers nothing yet, and has no thread that looks."""
    global _lock, _over, _is_looking
    _lock, _over, _is_looking = threading.Lock(), threading.Event(), False
    _watched.clear()


os.register_at_fork(after_in_child=_forget_parent)

"""The doorbell: a hint to some worker that runs want attention. A lost or doubled ring is harmless."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from celery import current_app
from kombu.exceptions import OperationalError

AT_ONCE = 16  # runs of one message: few messages tell of many, and several workers may share them

Ringer = Callable[[Sequence[int]], object]

log = logging.getLogger(__name__)


def ring_celery(run_ids: Sequence[int]) -> None:
    """Tell whichever worker comes first."""
    try:
        for start in range(0, len(run_ids), AT_ONCE):
            some = list(run_ids[start : start + AT_ONCE])
            current_app.send_task("engine.advance", args=some, retry=False, ignore_result=True)
    except (OperationalError, OSError) as error:
        log.warning("the broker does not answer (%s); the sweep will find runs %s", error, run_ids)


_ringer: Ringer = ring_celery


def ring(run_id: int) -> None:
    _ringer([run_id])


def ring_all(run_ids: Sequence[int]) -> None:
    if run_ids:
        _ringer(run_ids)


def use(ringer: Ringer | None) -> None:
    """Replace the doorbell (None: Celery again); for processes that advance runs themselves."""
    global _ringer  # noqa: PLW0603 - one doorbell per process
    _ringer = ringer or ring_celery

"""Celery's door to the engine: a message is a hint, the database says what to do."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.signals import worker_init, worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings

from apps.engine import doorbell, leases, runner
from apps.engine.crew import Crew
from apps.engine.lookout import Lookout

_crew: Crew | None = None
_lookout: Lookout | None = None


@shared_task(name="engine.advance")
def advance(*run_ids: int) -> None:
    if _crew is not None and _crew.is_here():
        _crew.take(run_ids)
        return
    for run_id in run_ids:
        runner.advance(run_id)


@shared_task(name="engine.sweep")
def sweep() -> None:
    runner.sweep()


@worker_init.connect
def _muster(**_: Any) -> None:
    global _crew, _lookout  # noqa: PLW0603 - one of each per process
    leases.resume()
    _crew = Crew(settings.LOOM_WORKER_THREADS)
    _lookout = Lookout(_crew)
    doorbell.use(_crew.ring)


@worker_ready.connect
def _take_over(**_: Any) -> None:
    """What a dead worker of this host left is taken up at once, not when its lease runs out."""
    runner.sweep()


@worker_shutting_down.connect
def _hand_over(**_: Any) -> None:
    leases.stop()


@worker_shutdown.connect
def _dismiss(**_: Any) -> None:
    global _crew, _lookout  # noqa: PLW0603 - as above
    doorbell.use(None)
    if _lookout is not None:
        _lookout.stop()
        _lookout = None
    if _crew is not None:
        _crew.stop()
        _crew = None

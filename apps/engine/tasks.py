"""Celery's door to the engine: a message is a hint, the database says what to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery import shared_task
from celery.signals import worker_init, worker_ready, worker_shutdown, worker_shutting_down
from celery.worker import strategy
from django.conf import settings

from apps.engine import doorbell, leases, runner
from apps.engine.crew import Crew
from apps.engine.lookout import Lookout

# The thread that is told needs so long to wake; else this one would hold the interpreter for its next look.
GIVE_WAY_S = 0.0001

_crew: Crew | None = None
_lookout: Lookout | None = None


def hear(task: Any, app: Any, consumer: Any, **more: Any) -> Callable[..., Any]:
    """Celery's strategy for `engine.advance`: the crew is told by the thread that heard the message.

    The ordinary one makes a request, has a thread of the pool take it, and traces it: half a millisecond for
    which a run waits. Whatever is no plain list of runs goes that way. Nothing is acknowledged, since the
    broker keeps no account of this queue (`no_ack`): that would ask it in vain, while the run is to begin.
    """
    ordinary = strategy.default(task, app, consumer, **more)

    def handle(message: Any, body: Any, ack: Any, *others: Any, **options: Any) -> Any:
        run_ids = _plain(message) if _crew is not None and _crew.is_here() else []
        if not run_ids or _crew is None:
            return ordinary(message, body, ack, *others, **options)
        _crew.take(run_ids)
        time.sleep(GIVE_WAY_S)
        return None

    return handle


def _plain(message: Any) -> list[int]:
    """The runs of a message as the doorbell sends it, else none."""
    match message.payload:
        case [[*run_ids], kwargs, _] if not kwargs and not message.headers.get("eta"):
            return run_ids if all(isinstance(one, int) for one in run_ids) else []
    return []


@shared_task(name="engine.advance")
def advance(*run_ids: int) -> None:
    if _crew is not None and _crew.is_here():
        _crew.take(run_ids)
        return
    for run_id in run_ids:
        runner.advance(run_id)


advance.Strategy = f"{__name__}:hear"


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

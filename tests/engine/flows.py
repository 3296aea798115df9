"""Small flows, and what tests do with them. Notes are events: an effect that came twice shows twice."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import F
from django.utils import timezone

from apps.engine import leases, runner
from apps.engine.flow import FLOWS, Flow
from apps.engine.models import Run, Step
from apps.engine.services import run_start
from apps.events.bus import emit
from apps.events.models import Event

PATIENCE_S = 30.0
_numbers = itertools.count(1)


def note(*, text: str) -> str:
    """A step's effect on the database."""
    emit("test.note", organization_id=None, subject=text)
    return text


def notes() -> list[str]:
    return list(Event.objects.filter(kind="test.note").order_by("id").values_list("subject", flat=True))


def start(function: Callable[..., Any], /, *, key: str = "", **input: Any) -> Run:  # noqa: A002 - the field's word
    """A run of a flow that is given right here."""
    name = f"test.{function.__qualname__}"[:80]
    FLOWS[name] = Flow(name=name, function=function, version=1)
    return run_start(flow=name, key=key or f"{name[:120]}:{next(_numbers)}", input=input)


def run(function: Callable[..., Any], /, **input: Any) -> Run:  # noqa: A002 - the field's word
    """The same, as far as it goes now."""
    started = start(function, **input)
    runner.drain()
    return fresh(started)


def fresh(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)


def steps(run: Run) -> list[tuple[str, str]]:
    return list(Step.objects.filter(run=run).order_by("seq").values_list("name", "status"))


def let_time_pass(run: Run, seconds: float = 3600.0) -> None:
    """Move every moment of a run into the past."""
    gone = timedelta(seconds=seconds)
    row = fresh(run)
    moments = {
        name: value - gone
        for name in ("wake_at", "lease_until", "updated_at")
        if (value := getattr(row, name)) is not None
    }
    Run.objects.filter(pk=run.pk).update(**moments)
    for step in Step.objects.filter(run=run, wake_at__isnull=False):
        Step.objects.filter(pk=step.pk).update(wake_at=(step.wake_at or timezone.now()) - gone)


def crash(run: Run, *, owner: str = "") -> None:
    """Leave the run as a worker leaves it that dies now."""
    Run.objects.filter(pk=run.pk).update(
        status=Run.Status.RUNNING,
        lease_owner=owner or "elsewhere:1:1",
        lease_until=timezone.now() + leases.LEASE,
        fence=F("fence") + 1,
        attempts=F("attempts") + 1,
    )


def at_once(*targets: Callable[[], Any]) -> list[Any]:
    """Run functions in threads that begin together; what they gave or raised."""
    barrier = threading.Barrier(len(targets))
    given: list[Any] = [None] * len(targets)

    def play(index: int, target: Callable[[], Any]) -> None:
        try:
            barrier.wait(PATIENCE_S)
            given[index] = target()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            given[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=play, args=pair, daemon=True) for pair in enumerate(targets)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "a thread hangs"
    return given

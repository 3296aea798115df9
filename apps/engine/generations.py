"""Bounded history: a flow that goes on for long ends its history and begins another with what it needs."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db.models import F, Q

from apps.core.crash import crashpoint
from apps.core.storable import storable
from apps.engine import doorbell
from apps.engine.errors import Canceled, Suspended
from apps.engine.execution import Execution, current
from apps.engine.flow import FLOWS
from apps.engine.models import CHILD, Run, Signal, Step
from apps.engine.telling import tell


def continue_as_new(**input: Any) -> NoReturn:  # noqa: A002 - the field's own word
    """Begin this run's flow again, with this input and no steps; never returns.

    It stays the same run: whoever waits for it goes on waiting, its children stay its children, and signals
    it did not ask for yet are there for the next generation, which takes the newest version of the flow.
    """
    execution = current()
    execution.refuse_in_step("continue_as_new")
    execution.refuse_unasked()
    if execution.canceling:
        raise Canceled
    kept = storable(input)
    with execution.transaction(interruptible=True):
        _begin_anew(execution, kept)
        crashpoint("before_continue")
    crashpoint("after_continue")
    doorbell.ring(execution.run.pk)
    raise Suspended


def _begin_anew(execution: Execution, kept: dict[str, Any]) -> None:
    run = execution.run
    # What a child says when it ends only wakes; whoever joins it reads the child's own row.
    Signal.objects.filter(~Q(consumed_at=None) | Q(name__startswith=CHILD), run_id=run.pk).delete()
    taken, _ = Step.objects.filter(run_id=run.pk).delete()
    version = FLOWS[run.flow].version
    execution.release(Run.Status.READY, input=kept, version=version, generation=F("generation") + 1)
    tell(run, "run.continued", generation=run.generation + 1, steps=taken, version=version)

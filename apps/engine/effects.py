"""What a database step does: its effects and its row are one transaction, as short as it can be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import connection

from apps.core.crash import crashpoint
from apps.core.storable import storable
from apps.engine.execution import Execution
from apps.engine.models import Step


def perform(execution: Execution, seq: int, name: str, work: Callable[[], Any], *, started: datetime) -> Any:
    """Do the work and record its output, which is returned as JSON keeps it.

    The run is held from the work's first query on. Where there was none, one statement holds the run and
    records the step: it is a transaction by itself, and costs a fraction of one with four of them.
    """
    first = _FirstQuery(execution)
    with execution.transaction(lazily=True):
        with execution.working(), connection.execute_wrapper(first):
            output = storable(work())
        if first.was_made or connection.run_on_commit:
            first.prepare()
            execution.write(seq, name, Step.Status.DONE, started=started, output=output)
            crashpoint("before_step_commit")
            return output
    crashpoint("before_step_commit")
    execution.write_alone(seq, name, Step.Status.DONE, started=started, output=output)
    return output


class _FirstQuery:
    """Holds the run before the first query that the work makes."""

    def __init__(self, execution: Execution) -> None:
        self.was_made = False
        self._execution = execution

    def __call__(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self.prepare()
        return execute(*arguments)

    def prepare(self) -> None:
        if not self.was_made:
            self.was_made = True  # first, since holding is a query too
            self._execution.hold(interruptible=True)

"""Asking a flow: it is called again as far as its steps have ended, and then says what it knows.

Nothing is written and nobody is disturbed: not the worker that has the run, nor one that comes for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NoReturn

from django.db import connection

from apps.core.errors import Conflict, NotFound
from apps.core.storable import storable
from apps.engine.errors import Diverged, Interruption, Suspended
from apps.engine.execution import ENDED, Execution, executing
from apps.engine.models import Run, Step
from apps.engine.runner import flow_required

READS = ("SELECT", "WITH", "EXPLAIN")

log = logging.getLogger(__name__)


class Replay(Execution):
    """An execution that ends where the run has come to."""

    def next(self, name: str) -> tuple[int, Step | None]:
        known = self.recall(name)
        if known is None or known.status not in ENDED:
            raise Suspended
        return self.seq, known

    def transaction(self, *, interruptible: bool = False, lazily: bool = False) -> NoReturn:
        raise Suspended


def run_ask(run: Run, name: str) -> Any:
    """What the flow of a run answers to a question (`answers`); NotFound if it does not know the question."""
    replay = Replay(run=run, steps={step.seq: step for step in run.steps.all()})
    with executing(replay), connection.execute_wrapper(_only_reads):
        _play(replay)
        answer = replay.answers.get(name)
        if answer is None:
            known = ", ".join(sorted(replay.answers)) or "nothing"
            raise NotFound(f"The run {run.key} does not answer {name!r}; it can be asked for: {known}.")
        with replay.working():
            return storable(answer())


def _play(replay: Replay) -> None:
    run = replay.run
    try:
        flow_required(run).function(**run.input)
    except Diverged as error:
        raise Conflict(f"The run {run.key} cannot be asked: {error}") from None
    except Interruption:
        return
    except Exception as error:  # noqa: BLE001 - it failed, as it did when it ran; what it said before counts
        log.debug("run %s fails when it is asked: %s", run.key, error)


def _only_reads(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    if not sql.lstrip(" \n(").upper().startswith(READS):
        raise RuntimeError(f"A question to a run writes nothing, but this was tried: {sql[:80]}")
    return execute(sql, params, many, context)

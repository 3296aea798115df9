"""The statements that taking a run up and every step are made of.

By hand, because the ORM takes several times longer to build them than a database to run them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection
from django.utils import timezone

from apps.core.together import ONE, Sent, Then, send
from apps.engine.models import Run

CLAIMED_AT_ONCE = 16

# What may be claimed is what RunQuerySet.due says.
_DUE = """
(status = 'ready' OR status = 'waiting' AND wake_at <= %s OR status = 'running' AND lease_until < %s)
"""
_CLAIM = """
UPDATE engine_run SET
    status = 'running', lease_owner = %s, lease_until = %s, fence = fence + 1, attempts = attempts + 1,
    wake_at = NULL, waits_for = '', updated_at = %s
WHERE {which}
RETURNING {columns}
"""
_CLAIMED = (
    "id", "key", "flow", "version", "generation", "input", "parent_id", "organization_id", "project_id",
    "bead_id", "fence", "attempts",
)  # fmt: skip
CLAIM_RUN = _CLAIM.format(which=f"id = %s AND {_DUE}", columns=", ".join(_CLAIMED))
# Those that others have locked are left out: two workers that claim the same runs must not wait in a circle.
_AMONG = f"id IN ({', '.join(['%s'] * CLAIMED_AT_ONCE)}) AND {_DUE}"
CLAIM_RUNS = _CLAIM.format(
    which=f"id IN (SELECT id FROM engine_run WHERE {_AMONG} {{lock}})",  # noqa: S608 - put together from constants
    columns=", ".join(_CLAIMED),
)

# NO KEY: rows that point at the run, such as a child's last signal, can be inserted meanwhile.
LOCK_RUN = """
SELECT cancel_requested, pause_requested FROM engine_run WHERE id = %s AND fence = %s AND status = 'running'
"""
FOR_UPDATE = " FOR NO KEY UPDATE"
RELEASE_RUN = """
UPDATE engine_run SET
    status = %s, wake_at = %s, waits_for = %s, lease_owner = '', lease_until = NULL, updated_at = %s
WHERE id = %s AND fence = %s AND status = 'running'
"""

# What has ended is never written again.
_INTO = """
INSERT INTO engine_step (run_id, seq, name, attempt, status, output, error, wake_at, started_at, ended_at)
"""
_PLACES = "%s, %s, %s, %s, %s, %s, %s, %s, %s, %s"
_INSTEAD = """
ON CONFLICT (run_id, seq) DO UPDATE SET
    name = excluded.name, attempt = excluded.attempt, status = excluded.status, output = excluded.output,
    error = excluded.error, wake_at = excluded.wake_at, started_at = excluded.started_at,
    ended_at = excluded.ended_at
WHERE engine_step.status NOT IN ('done', 'failed')
"""
WRITE_STEP = f"{_INTO} VALUES ({_PLACES}) {_INSTEAD}"

# The lock of the run and the row of its step in one.
_FROM_HELD = "FROM engine_run WHERE id = %s AND fence = %s AND status = 'running'"
_WANTED = "NOT cancel_requested AND NOT pause_requested"
WRITE_STEP_HELD = f"{_INTO} SELECT {_PLACES} {_FROM_HELD}{{lock}} {_INSTEAD}"
WRITE_STEP_UNDISTURBED = f"{_INTO} SELECT {_PLACES} {_FROM_HELD} AND {_WANTED}{{lock}} {_INSTEAD}"


def run_claim(run_id: int, *, owner: str, now: datetime, until: datetime) -> Run | None:
    """Take the lease of a run that is due; None if it is not, or not any more. Other columns are deferred."""
    moment, end = map(connection.ops.adapt_datetimefield_value, (now, until))
    rows = send(CLAIM_RUN, [owner, end, moment, run_id, moment, moment]).rows
    return _claimed(rows[0]) if rows else None


def runs_claim(run_ids: Sequence[int], *, owner: str, now: datetime, until: datetime) -> list[Run]:
    """The same for up to CLAIMED_AT_ONCE runs in one statement, in their order.

    What is not among them may only be locked just now.
    """
    moment, end = map(connection.ops.adapt_datetimefield_value, (now, until))
    lock = "ORDER BY id FOR NO KEY UPDATE SKIP LOCKED" if connection.features.has_select_for_update else ""
    places = [*run_ids, *[run_ids[-1]] * (CLAIMED_AT_ONCE - len(run_ids))]
    rows = send(CLAIM_RUNS.format(lock=lock), [owner, end, moment, *places, moment, moment]).rows
    claimed = {run.pk: run for run in map(_claimed, rows)}
    return [claimed[run_id] for run_id in run_ids if run_id in claimed]


def _claimed(row: Sequence[Any]) -> Run:
    values = dict(zip(_CLAIMED, row, strict=True))
    values["input"] = json.loads(values["input"])
    return Run.from_db(connection.alias, list(values), list(values.values()))


def run_lock(run_id: int, fence: int) -> tuple[bool, bool] | None:
    """Lock a run until the transaction ends; whether to cancel and to pause it, None if the lease is over."""
    sql = LOCK_RUN + FOR_UPDATE if connection.features.has_select_for_no_key_update else LOCK_RUN
    rows = send(sql, [run_id, fence]).rows
    return (bool(rows[0][0]), bool(rows[0][1])) if rows else None


def run_release(run: Run, status: str, *, wake_at: datetime | None, waits_for: str) -> bool:
    """Let go of a run; False if it was not ours any more."""
    adapt = connection.ops.adapt_datetimefield_value
    wake = None if wake_at is None else adapt(wake_at)
    return send(RELEASE_RUN, [status, wake, waits_for, adapt(timezone.now()), run.pk, run.fence]).count == 1


@dataclass(frozen=True)
class StepRow:
    """A step as it is written."""

    seq: int
    name: str
    status: str
    started: datetime
    attempt: int = 1
    ended: datetime | None = None
    wake_at: datetime | None = None
    output: Any = None
    error: str = ""

    def values(self, run: Run) -> list[Any]:
        adapt = connection.ops.adapt_datetimefield_value
        moments = (self.wake_at, self.started, self.ended)
        return [
            run.pk,
            self.seq,
            self.name,
            self.attempt,
            self.status,
            None if self.output is None else connection.ops.adapt_json_value(self.output, None),
            self.error,
            *(None if moment is None else adapt(moment) for moment in moments),
        ]


def step_write(run: Run, step: StepRow) -> None:
    """Insert the row of a step, or replace that of an attempt which has not ended."""
    if send(WRITE_STEP, step.values(run)).count != 1:
        raise RuntimeError(
            f"Step {step.seq} ({step.name}) of run {run.pk} has ended and is never written again."
        )


def step_write_held(
    run: Run,
    step: StepRow,
    *,
    undisturbed: bool = False,
    then: Then | None = None,
    always: bool = True,
) -> Sent:
    """The same and the lock of the run in one; it counts 0 if there is a reason to look closer.

    Such as that the lease is over, that the step has ended or, if `undisturbed`, that somebody wants the run
    canceled or paused. `then` is called once it ran; if not `always`, maybe only if there is such a reason.
    """
    statement = _with_lock(WRITE_STEP_UNDISTURBED if undisturbed else WRITE_STEP_HELD)
    values = [*step.values(run), run.pk, run.fence]
    return send(statement, values, then=then, sure="" if always else ONE)


@cache
def _with_lock(statement: str) -> str:
    return statement.format(lock=FOR_UPDATE if connection.features.has_select_for_no_key_update else "")

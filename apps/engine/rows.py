"""The statements that taking a run up and every step are made of.

By hand, because the ORM takes several times longer to build them than a database to run them.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.db import connection

from apps.core.sql import direct
from apps.engine.models import Run

# What may be claimed is what RunQuerySet.due says.
CLAIM_RUN = """
UPDATE engine_run SET
    status = 'running', lease_owner = %s, lease_until = %s, fence = fence + 1, attempts = attempts + 1,
    wake_at = NULL, waits_for = '', updated_at = %s
WHERE id = %s AND (status = 'ready' OR status = 'waiting' AND wake_at <= %s
                   OR status = 'running' AND lease_until < %s)
RETURNING id, key, flow, version, generation, input, parent_id, organization_id, project_id, bead_id, fence,
          attempts
"""

# NO KEY: rows that point at the run, such as a child's last signal, can be inserted meanwhile.
LOCK_RUN = """
SELECT cancel_requested, pause_requested FROM engine_run WHERE id = %s AND fence = %s AND status = 'running'
"""
FOR_UPDATE = " FOR NO KEY UPDATE"

# What has ended is never written again.
WRITE_STEP = """
INSERT INTO engine_step (run_id, seq, name, attempt, status, output, error, wake_at, started_at, ended_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (run_id, seq) DO UPDATE SET
    name = excluded.name, attempt = excluded.attempt, status = excluded.status, output = excluded.output,
    error = excluded.error, wake_at = excluded.wake_at, started_at = excluded.started_at,
    ended_at = excluded.ended_at
WHERE engine_step.status NOT IN ('done', 'failed')
"""

# A finished step and the lock of its run in one: nothing is written unless the run is ours and shall go on.
WRITE_STEP_HELD = """
INSERT INTO engine_step (run_id, seq, name, attempt, status, output, error, started_at, ended_at)
SELECT id, %s, %s, 1, 'done', %s, '', %s, %s FROM engine_run
WHERE id = %s AND fence = %s AND status = 'running' AND NOT cancel_requested
      AND NOT pause_requested{lock}
ON CONFLICT (run_id, seq) DO NOTHING
"""


def run_claim(run_id: int, *, owner: str, now: datetime, until: datetime) -> Run | None:
    """Take the lease of a run that is due; None if it is not, or not any more. Other columns are deferred."""
    moment, end = map(connection.ops.adapt_datetimefield_value, (now, until))
    with direct() as cursor:
        cursor.execute(CLAIM_RUN, [owner, end, moment, run_id, moment, moment])
        row = cursor.fetchone()
        if row is None:
            return None
        values = dict(zip([column[0] for column in cursor.description], row, strict=True))
    values["input"] = json.loads(values["input"])
    return Run.from_db(connection.alias, list(values), list(values.values()))


def run_lock(run_id: int, fence: int) -> tuple[bool, bool] | None:
    """Lock a run until the transaction ends; whether to cancel and to pause it, None if the lease is over."""
    with direct() as cursor:
        cursor.execute(LOCK_RUN + _lock(), [run_id, fence])
        row = cursor.fetchone()
    return None if row is None else (bool(row[0]), bool(row[1]))


def step_write_held(
    run: Run, seq: int, name: str, *, started: datetime, ended: datetime, output: Any
) -> bool:
    """Insert a finished step of a run that is held; False if there is a reason to look closer."""
    adapt = connection.ops.adapt_datetimefield_value
    kept = None if output is None else connection.ops.adapt_json_value(output, None)
    values = [seq, name, kept, adapt(started), adapt(ended), run.pk, run.fence]
    with direct() as cursor:
        cursor.execute(WRITE_STEP_HELD.format(lock=_lock()), values)
        return bool(cursor.rowcount == 1)


def _lock() -> str:
    return FOR_UPDATE if connection.features.has_select_for_no_key_update else ""


def step_write(
    run_id: int,
    seq: int,
    name: str,
    status: str,
    *,
    attempt: int = 1,
    started: datetime,
    ended: datetime | None = None,
    wake_at: datetime | None = None,
    output: Any = None,
    error: str = "",
) -> None:
    """Insert the row of a step, or replace that of an attempt which has not ended."""
    adapt = connection.ops.adapt_datetimefield_value
    values = [
        run_id,
        seq,
        name,
        attempt,
        status,
        None if output is None else connection.ops.adapt_json_value(output, None),
        error,
        *(None if moment is None else adapt(moment) for moment in (wake_at, started, ended)),
    ]
    with direct() as cursor:
        cursor.execute(WRITE_STEP, values)
        if cursor.rowcount != 1:
            raise RuntimeError(f"Step {seq} ({name}) of run {run_id} has ended and is never written again.")

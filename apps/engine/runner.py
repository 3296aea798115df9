"""The runner: claim a run, call its flow, keep what came of it; and the sweep that finds forgotten runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import Error, connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from apps.core.commit import after_commit
from apps.core.crash import crashpoint
from apps.core.logs import Subject, logs_about
from apps.core.storable import storable
from apps.core.telemetry import span
from apps.engine import doorbell, leases
from apps.engine.errors import (
    Canceled,
    Diverged,
    Failure,
    HistoryFull,
    LeaseLost,
    Outage,
    Paused,
    StepFailed,
    Suspended,
    is_outage,
)
from apps.engine.execution import Execution, executing
from apps.engine.flow import FLOWS, Flow, flow_of, versions_of
from apps.engine.models import ANY_CHILD, CHILD, Run, Signal
from apps.engine.rows import CLAIMED_AT_ONCE, run_claim, runs_claim
from apps.engine.services import run_signal
from apps.engine.telling import tell

RING_AGAIN_AFTER = timedelta(seconds=5)
RING_AT_LEAST_EVERY = timedelta(seconds=60)
PAUSE_AFTER_OUTAGE = timedelta(seconds=2)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ending:
    """What a flow came to."""

    status: str
    output: Any = None
    error: str = ""
    failed_seq: int | None = None


def advance(run_id: int) -> bool:
    """Take the run if it is due and go on with it as far as it goes; False if somebody else has it."""
    execution = None if leases.is_stopping() else _claim(run_id)
    if execution is None:
        return False
    go_on(execution)
    return True


def go_on(execution: Execution) -> None:
    """Go on with a run that was claimed, as far as it goes."""
    run = execution.run
    story = f"bead:{run.bead_id}" if run.bead_id else run.key
    with (
        leases.held(run.pk, run.fence),
        span(f"run {run.flow}", story=story, loom__run=run.key, loom__attempt=run.attempts),
        logs_about(Subject(run.organization_id, run.project_id, run.bead_id)),
        executing(execution),
    ):
        _advance(execution)


def claim_all(run_ids: Sequence[int]) -> list[Execution]:
    """Take those of the runs that are due, in their order; who goes on with them does so soon.

    What is read of all of them at once is cheaper than what each reads for itself. Where some are free, those
    that others hold just then are left out: waiting for their rows would hold up the rest.
    """
    claimed: list[Execution] = []
    try:
        for execution in () if leases.is_stopping() else _claims(run_ids):
            leases.keep(execution.run.pk, execution.run.fence)
            claimed.append(execution)
    except Exception as error:  # noqa: BLE001 - those that were claimed before are kept, and have to go on
        log.warning("some of the runs %s were not taken up, the sweep will find them: %s", run_ids, error)
    _prepare(claimed)
    return claimed


def _claims(run_ids: Sequence[int]) -> Iterator[Execution]:
    now, taken = timezone.now(), set[int]()
    for first in range(0, len(run_ids) if len(run_ids) > 1 else 0, CLAIMED_AT_ONCE):
        some = run_ids[first : first + CLAIMED_AT_ONCE]
        runs = runs_claim(some, owner=leases.owner(), now=now, until=now + leases.LEASE)
        crashpoint("after_claim")
        taken |= {run.pk for run in runs}
        yield from map(_execution, runs)
    for run_id in () if taken else run_ids:
        if (execution := _claim(run_id)) is not None:
            yield execution


def _claim(run_id: int) -> Execution | None:
    now = timezone.now()
    run = run_claim(run_id, owner=leases.owner(), now=now, until=now + leases.LEASE)
    if run is None:
        return None
    crashpoint("after_claim")
    return _execution(run)


def _execution(run: Run) -> Execution:
    return Execution(run=run, steps={step.seq: step for step in run.steps.all()} if run.attempts > 1 else {})


def _prepare(executions: Sequence[Execution]) -> None:
    """Have read what runs that begin need first; what fails here is found by each of them itself."""
    beginning = [one for one in executions if one.run.attempts == 1]
    for name in {one.run.flow for one in beginning}:
        prepare = FLOWS[name].prepare if name in FLOWS else None
        theirs = [one for one in beginning if one.run.flow == name]
        if prepare is None:
            continue
        try:
            read = prepare([one.run for one in theirs])
        except Exception:
            log.warning("%s runs of %s read for themselves", len(theirs), name, exc_info=True)
            continue
        for execution in theirs:
            execution.scratch |= read.get(execution.run.pk, {})


def _advance(execution: Execution) -> None:
    run = execution.run
    try:
        _finish(execution, _call(execution))
    except Suspended:
        return
    except Paused:
        execution.pause()
    except LeaseLost:
        log.warning("run %s was taken over by another worker", run.key)
    except Outage as outage:
        log.warning("the database failed under run %s: %s", run.key, outage.__cause__)
        _park(execution)


def _call(execution: Execution) -> Ending:
    run = execution.run
    try:
        output = storable(flow_required(run).function(**run.input))
        execution.refuse_unasked()
    except Canceled:
        return Ending(Run.Status.CANCELED)
    except (Diverged, HistoryFull) as error:
        log.error("run %s: %s", run.key, error)
        return Ending(Run.Status.FAILED, error=str(error))
    except Exception as error:
        if is_outage(error):
            raise Outage from error
        log.exception("run %s failed", run.key)
        return Ending(Run.Status.FAILED, error=Failure.of(error).message, failed_seq=_failed_seq(error))
    return Ending(Run.Status.DONE, output=output)


def flow_required(run: Run) -> Flow:
    """The code that a run was started with; Diverged if it is not here."""
    flow, here = flow_of(run.flow, run.version), versions_of(run.flow)
    if not here:
        raise Diverged(f"The flow {run.flow!r} does not exist in this version of Loom.")
    if flow is None:
        raise Diverged(
            f"This run needs version {run.version} of the flow {run.flow!r}, which is missing in this Loom: "
            f"it has {', '.join(map(str, here))}. Retry the run when version {run.version} is back."
        )
    return flow


def _failed_seq(error: BaseException | None) -> int | None:
    """The step that made the flow fail, if it did not fail of itself."""
    while error is not None:
        if isinstance(error, StepFailed):
            return error.seq
        error = error.__cause__
    return None


def _finish(execution: Execution, ending: Ending) -> None:
    run, now = execution.run, timezone.now()
    with execution.transaction():
        Run.objects.filter(pk=run.pk).update(
            status=ending.status,
            output=ending.output,
            error=ending.error,
            failed_seq=ending.failed_seq,
            ended_at=now,
            updated_at=now,
            lease_owner="",
            lease_until=None,
            pause_requested=False,
        )
        tell(run, f"run.{ending.status}", error=ending.error)
        if run.parent_id:
            run_signal(run_id=run.parent_id, name=f"{CHILD}{run.pk}", data={"status": ending.status})
    crashpoint("after_finish")


def _park(execution: Execution) -> None:
    """Leave the run to be taken up again soon, by a worker that reads its rows anew."""
    try:
        connection.close()
        execution.release(Run.Status.WAITING, wake_at=timezone.now() + PAUSE_AFTER_OUTAGE)
    except (LeaseLost, Error) as error:
        log.warning("run %s goes on when its lease has run out: %s", execution.run.key, error)


# -- the sweep ------------------------------------------------------------------------------------


def sweep(limit: int = 500) -> int:
    """Ring again for every run that should be running and is not; how many. Never runs anything itself."""
    now = timezone.now()
    pending = Signal.objects.filter(run=OuterRef("pk"), consumed_at=None)
    told, of_child = pending.filter(name=OuterRef("waits_for")), pending.filter(name__startswith=CHILD)
    forgotten = (
        Run.objects.filter(status=Run.Status.WAITING, wake_at__lte=now),
        Run.objects.filter(status=Run.Status.RUNNING, lease_until__lt=now),
        Run.objects.filter(Exists(told), status=Run.Status.WAITING),
        Run.objects.filter(Exists(of_child), status=Run.Status.WAITING, waits_for=ANY_CHILD),
    )
    put_back = sum(_put_back(runs, limit) for runs in forgotten)
    return put_back + sweep_dead(limit) + _ring_again(now, limit)


def sweep_dead(limit: int = 500) -> int:
    """Put back what workers held that died on this machine, before its lease runs out; how many."""
    owners = _dead_owners()
    held = Run.objects.filter(status=Run.Status.RUNNING, lease_owner__in=owners)
    return _put_back(held, limit) if owners else 0


def _dead_owners() -> list[str]:
    owners = Run.objects.filter(status=Run.Status.RUNNING).order_by().values_list("lease_owner", flat=True)
    return [owner for owner in owners.distinct() if leases.owner_is_dead(owner)]


@transaction.atomic
def _put_back(runs: Any, limit: int) -> int:
    # A row that is locked has a worker that lives, or another sweep. (In order, SQLite would read all runs.)
    rows = runs.select_for_update(skip_locked=True, no_key=True).order_by()
    found = sorted(rows.values_list("pk", flat=True)[:limit])
    if found:
        Run.objects.filter(pk__in=found).update(
            status=Run.Status.READY, wake_at=None, lease_owner="", lease_until=None, updated_at=timezone.now()
        )
        after_commit(doorbell.ring_all, found)
    return len(found)


@transaction.atomic
def _ring_again(now: datetime, limit: int) -> int:
    """A ring may have been lost; but where workers are merely busy, more rings would only pile up."""
    silent = Q(wake_at=None, updated_at__lt=now - RING_AGAIN_AFTER) | Q(wake_at__lte=now)
    runs = Run.objects.filter(silent, status=Run.Status.READY)
    rows = runs.select_for_update(skip_locked=True, no_key=True).defer("input", "output").order_by()
    found = sorted(rows[:limit], key=lambda run: run.pk)
    for run in found:
        waited = max(RING_AGAIN_AFTER, min(now - run.updated_at, RING_AT_LEAST_EVERY))
        Run.objects.filter(pk=run.pk).update(wake_at=now + waited)
    after_commit(doorbell.ring_all, [run.pk for run in found])
    return len(found)


def drain(limit: int = 10_000) -> int:
    """Advance every due run in this process until none is due; how many turns that took."""
    turns = 0
    while turns < limit:
        due = list(Run.objects.due(timezone.now()).order_by("id").values_list("pk", flat=True)[:100])
        advanced = sum(advance(run_id) for run_id in due)
        if not advanced:
            return turns
        turns += advanced
    raise RuntimeError(f"Runs are still due after {turns} turns.")

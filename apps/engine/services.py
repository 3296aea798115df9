"""Starting, signaling, pausing, canceling and retrying runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from apps.core.commit import after_commit
from apps.core.crash import crashpoint
from apps.core.errors import BadInput, Conflict, NotFound
from apps.core.sql import insert_new, insert_those_new
from apps.core.storable import storable, storable_text
from apps.engine import doorbell
from apps.engine.flow import FLOWS
from apps.engine.models import ANY_CHILD, CHILD, JOIN, Run, Signal
from apps.engine.telling import tell

KEY_CHARS = 160
SIGNAL_CHARS = 120
RESERVED = ":"  # in the name of each signal that carries a result or an answer, such as child:7, decision:7
_retry_objections: list[Callable[[Run], None]] = []
_resume_objections: list[Callable[[Run], None]] = []


def run_start(
    *,
    flow: str,
    key: str,
    input: dict[str, Any],  # noqa: A002 - the field's own word
    organization_id: int | None = None,
    project_id: int | None = None,
    bead_id: int | None = None,
    parent: Run | None = None,
) -> Run:
    """Start a run; a second start with the same key returns the first run."""
    run = Run(
        key=_checked(flow, key),
        flow=flow,
        version=FLOWS[flow].version,
        input=storable(input),
        organization_id=organization_id,
        project_id=project_id,
        bead_id=bead_id,
        parent=parent,
    )
    return run if _is_new(run) else Run.objects.get(key=key)


def _is_new(run: Run) -> bool:
    """Insert the run and ring for it, unless its key was used before."""
    if connection.in_atomic_block:
        after_commit(_ring_for, run, first=True)
        insert_new(run).count  # noqa: B018 - it runs when it is read
    else:  # a statement alone is a transaction, with two messages to the server less
        insert_new(run)
        after_commit(_ring_for, run)
    return run.pk is not None


def _ring_for(run: Run) -> None:
    if run.pk is not None:
        doorbell.ring(run.pk)


@dataclass(frozen=True)
class Start:
    """A run to start, beside what it shares with others."""

    key: str
    input: dict[str, Any]
    bead_id: int | None = None


def runs_start(
    *, flow: str, starts: Sequence[Start], organization_id: int | None = None, project_id: int | None = None
) -> list[Run]:
    """Start many runs of one flow; keys that were used before are left alone. The runs that are new."""
    runs = _runs(starts, flow=flow, organization_id=organization_id, project_id=project_id)
    if len(runs) == 1:
        return runs if _is_new(runs[0]) else []
    return _start_many(runs)


@transaction.atomic(savepoint=False)
def _start_many(wanted: Sequence[Run]) -> list[Run]:
    # Always in the same order: who starts some of them at this moment waits for us, or we for them. (Ids are
    # in that order then, and what the sweep finds; they are rung for in the wanted one.)
    runs = insert_those_new(sorted(wanted, key=lambda run: run.key), by="key")
    new = {run.pk for run in runs}
    started = [run for run in wanted if run.pk in new]
    after_commit(doorbell.ring_all, [run.pk for run in started], first=True)
    return started


def _runs(
    starts: Sequence[Start], *, flow: str, organization_id: int | None, project_id: int | None
) -> list[Run]:
    """One for each key; of one key the first counts."""
    wanted = {start.key: start for start in reversed(starts)}
    return [
        Run(
            key=_checked(flow, start.key),
            flow=flow,
            version=FLOWS[flow].version,
            input=storable(start.input),
            organization_id=organization_id,
            project_id=project_id,
            bead_id=start.bead_id,
        )
        for start in starts
        if wanted[start.key] is start
    ]


def _checked(flow: str, key: str) -> str:
    if flow not in FLOWS:
        raise BadInput(f"There is no flow {flow!r}.")
    if not 0 < len(key) <= KEY_CHARS:
        raise BadInput(f"The key of a run has 1 to {KEY_CHARS} characters, not {len(key)}.")
    return key


@transaction.atomic
def run_signal(*, run_id: int, name: str, data: dict[str, Any] | None = None, actor: str = "") -> Signal:
    """Tell a run something; it is kept until the run asks for it.

    What somebody says (`actor`) is refused once the run has ended, and where its name is one that Loom's own
    parts use for answers: else who may signal could answer for who may decide. What Loom's own parts tell is
    not: they cannot know, and an ended run never asks for it.
    """
    name = storable_text(name)
    if not 0 < len(name) <= SIGNAL_CHARS:
        raise BadInput(f"The name of a signal has 1 to {SIGNAL_CHARS} characters, not {len(name)}.")
    if actor:
        _listening(run_id, name, actor)
    elif not Run.objects.filter(pk=run_id).exists():
        raise NotFound(f"There is no run {run_id}.")
    signal = Signal.objects.create(run_id=run_id, name=name, data=storable(data or {}))
    # Not in here: this transaction may hold rows that a step of that run waits for. (The sweep wakes it too.)
    after_commit(_wake_for, run_id, name)
    return signal


def _listening(run_id: int, name: str, actor: str) -> None:
    """Tell that somebody signals; Conflict if the run has ended."""
    if RESERVED in name:
        raise BadInput(
            f"Only Loom itself sends signals like {name!r}.",
            hint="Answer the decision itself." if name.startswith("decision:") else "",
        )
    run = _locked(run_id)
    if run.status not in Run.UNFINISHED:
        raise Conflict(f"The run {run.key} is {run.status} already and hears no signals any more.")
    tell(run, "run.signaled", actor=actor, name=name)


def _wake_for(run_id: int, name: str) -> None:
    crashpoint("before_wake")
    heard = [name, ANY_CHILD] if name.startswith(CHILD) else [name]
    if _wake(run_id, status=Run.Status.WAITING, waits_for__in=heard):
        doorbell.ring(run_id)


@transaction.atomic
def _wake(run_id: int, **condition: Any) -> bool:
    # The lock comes first: a plain UPDATE would overlook a row whose change to WAITING is not committed yet.
    list(Run.objects.locked().filter(pk=run_id).values_list("pk"))
    waiting = Run.objects.filter(pk=run_id, **condition)
    return waiting.update(status=Run.Status.READY, wake_at=None, updated_at=timezone.now()) == 1


@transaction.atomic
def run_cancel(*, run_id: int, actor: str = "") -> Run:
    """Ask a run and its children to stop at their next step; their clean-up steps still run."""
    run = _unfinished(run_id)
    wanted = {"cancel_requested": True, "pause_requested": False}
    Run.objects.filter(pk=run_id).update(updated_at=timezone.now(), **wanted)
    if _wake(run_id, status__in=[Run.Status.WAITING, Run.Status.PAUSED]):
        after_commit(doorbell.ring, run_id)
    _with_children(run_cancel, run_id, actor)
    tell(run, "run.cancel_requested", actor=actor)
    return run


@transaction.atomic
def run_pause(*, run_id: int, actor: str = "") -> Run:
    """Set a run and its children aside, at the next step of those that are at work.

    Timers that ring and signals that come meanwhile are kept; limits on waiting go on counting.
    """
    run = _unfinished(run_id)
    if run.cancel_requested:
        raise Conflict(f"The run {run.key} is being canceled and cannot be paused.")
    if run.status == Run.Status.PAUSED:
        raise Conflict(f"The run {run.key} is paused already.")
    if run.pause_requested:
        raise Conflict(f"The run {run.key} is to be paused already: at its next step.")
    changes: dict[str, Any] = {"status": Run.Status.PAUSED}
    if run.status == Run.Status.RUNNING:
        changes = {"pause_requested": True}
    elif run.status == Run.Status.READY:
        changes |= {"wake_at": None, "waits_for": ""}
    Run.objects.filter(pk=run_id).update(updated_at=timezone.now(), **changes)
    _with_children(run_pause, run_id, actor)
    tell(run, "run.pause_requested" if "pause_requested" in changes else "run.paused", actor=actor)
    return run


@transaction.atomic
def run_resume(*, run_id: int, actor: str = "") -> Run:
    """Let a paused run and its paused children go on."""
    run = _unfinished(run_id)
    changes: dict[str, Any] = {"pause_requested": False}
    if run.status == Run.Status.PAUSED:
        changes["status"] = Run.Status.WAITING if _still_waits(run) else Run.Status.READY
    elif not run.pause_requested:
        raise Conflict(f"The run {run.key} is not paused.")
    for objection in _resume_objections:
        objection(run)
    Run.objects.filter(pk=run_id).update(updated_at=timezone.now(), **changes)
    if changes.get("status") == Run.Status.READY:
        Run.objects.filter(pk=run_id).update(wake_at=None)
        after_commit(doorbell.ring, run_id)
    _with_children(run_resume, run_id, actor)
    tell(run, "run.resumed", actor=actor)
    return run


def _still_waits(run: Run) -> bool:
    """Whether what a paused run waited for has neither come nor run out."""
    pending = run.signals.filter(consumed_at=None)
    if run.waits_for == ANY_CHILD:
        has_come = pending.filter(name__startswith=CHILD).exists()
    else:
        has_come = bool(run.waits_for) and pending.filter(name=run.waits_for).exists()
    if run.wake_at is None:
        return bool(run.waits_for) and not has_come
    return run.wake_at > timezone.now() and not has_come


def _with_children(change: Callable[..., Run], run_id: int, actor: str) -> None:
    unfinished = Run.objects.unfinished().filter(parent_id=run_id).order_by("pk")
    for child_id in unfinished.values_list("pk", flat=True):
        try:
            change(run_id=child_id, actor=actor)
        except Conflict:  # it has ended meanwhile, or is where it shall be
            continue


def objects_to_retry(objection: Callable[[Run], None]) -> Callable[[Run], None]:
    """Register a function that raises Conflict where a failed run must not go on: what is above knows why."""
    _retry_objections.append(objection)
    return objection


def objects_to_resume(objection: Callable[[Run], None]) -> Callable[[Run], None]:
    """The same where a run that was set aside must not go on yet."""
    _resume_objections.append(objection)
    return objection


@transaction.atomic
def run_retry(*, run_id: int, actor: str = "") -> Run:
    """Let a failed run go on from the step it failed of, and its failed children with it."""
    run = _locked(run_id)
    if run.status != Run.Status.FAILED:
        raise Conflict(f"Only a failed run can be retried; {run.key} is {run.status}.")
    if later := _successor(run):
        raise Conflict(f"{later} has taken the place of {run.key}, which is not taken up again.")
    for objection in _retry_objections:
        objection(run)
    joined = _forget_failure(run)
    Run.objects.filter(pk=run_id).update(
        status=Run.Status.READY,
        error="",
        failed_seq=None,
        ended_at=None,
        wake_at=None,
        updated_at=timezone.now(),
    )
    after_commit(doorbell.ring, run_id)
    failed = run.children.filter(pk__in=joined, status=Run.Status.FAILED)
    for child_id in failed.order_by("pk").values_list("pk", flat=True):
        run_retry(run_id=child_id, actor=actor)
    tell(run, "run.retried", actor=actor)
    return run


def failed_last(bead_id: int) -> Run | None:
    """The failed run of a bead that can be retried: no other has taken its place."""
    failed = Run.objects.filter(bead_id=bead_id, parent=None, status=Run.Status.FAILED)
    run = failed.order_by("-pk").first()
    return None if run is None or _successor(run) else run


def _successor(run: Run) -> str:
    """The run that was started for the same bead after this one; two never work on it."""
    if run.bead_id is None or run.parent_id is not None:
        return ""
    later = Run.objects.filter(bead_id=run.bead_id, flow=run.flow, parent=None, pk__gt=run.pk)
    return later.order_by("-pk").values_list("key", flat=True).first() or ""


def _forget_failure(run: Run) -> list[int]:
    """Delete the step that made the run fail and what followed; the children that were joined there."""
    if run.failed_seq is None:
        return []
    undone = run.steps.filter(seq__gte=run.failed_seq)
    names = list(undone.filter(name__startswith=JOIN).values_list("name", flat=True))
    undone.delete()
    # Signals these steps took are there again for whoever asks next.
    run.signals.filter(consumed_seq__gte=run.failed_seq).update(consumed_at=None, consumed_seq=None)
    return [int(name.removeprefix(JOIN)) for name in names]


def _unfinished(run_id: int) -> Run:
    run = _locked(run_id)
    if run.status not in Run.UNFINISHED:
        raise Conflict(f"The run {run.key} is {run.status} already.")
    return run


def _locked(run_id: int) -> Run:
    run = Run.objects.locked().filter(pk=run_id).first()
    if run is None:
        raise NotFound(f"There is no run {run_id}.")
    return run

"""Starting, signaling, canceling and retrying runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.core.commit import after_commit
from apps.core.crash import crashpoint
from apps.core.errors import BadInput, Conflict, NotFound
from apps.core.sql import insert_all
from apps.core.storable import storable
from apps.engine import doorbell
from apps.engine.flow import FLOWS
from apps.engine.models import JOIN, Run, Signal
from apps.events.bus import emit

KEY_CHARS = 160


@transaction.atomic
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
    run, created = Run.objects.get_or_create(
        key=_checked(flow, key),
        defaults={
            "flow": flow,
            "version": FLOWS[flow].version,
            "input": storable(input),
            "organization_id": organization_id,
            "project_id": project_id,
            "bead_id": bead_id,
            "parent": parent,
        },
    )
    if created:
        after_commit(doorbell.ring, run.pk)
    return run


@dataclass(frozen=True)
class Start:
    """A run to start, beside what it shares with others."""

    key: str
    input: dict[str, Any]
    bead_id: int | None = None


@transaction.atomic
def runs_start(
    *, flow: str, starts: Sequence[Start], organization_id: int | None = None, project_id: int | None = None
) -> list[Run]:
    """Start many runs of one flow; keys that were used before are left alone."""
    known = set(Run.objects.filter(key__in=[start.key for start in starts]).values_list("key", flat=True))
    runs = [
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
        if start.key not in known
    ]
    insert_all(runs)
    after_commit(doorbell.ring_all, [run.pk for run in runs])
    return runs


def _checked(flow: str, key: str) -> str:
    if flow not in FLOWS:
        raise BadInput(f"There is no flow {flow!r}.")
    if not 0 < len(key) <= KEY_CHARS:
        raise BadInput(f"The key of a run has 1 to {KEY_CHARS} characters, not {len(key)}.")
    return key


@transaction.atomic
def run_signal(*, run_id: int, name: str, data: dict[str, Any] | None = None) -> Signal:
    """Tell a run something; it is kept until the run asks for it."""
    if not Run.objects.filter(pk=run_id).exists():
        raise NotFound(f"There is no run {run_id}.")
    signal = Signal.objects.create(run_id=run_id, name=name, data=storable(data or {}))
    # Not in here: this transaction may hold rows that a step of that run waits for. (The sweep wakes it too.)
    after_commit(_wake_for, run_id, name)
    return signal


def _wake_for(run_id: int, name: str) -> None:
    crashpoint("before_wake")
    if _wake(run_id, waits_for=name):
        doorbell.ring(run_id)


@transaction.atomic
def _wake(run_id: int, **condition: Any) -> bool:
    # The lock comes first: a plain UPDATE would overlook a row whose change to WAITING is not committed yet.
    list(Run.objects.locked().filter(pk=run_id).values_list("pk"))
    waiting = Run.objects.filter(pk=run_id, status=Run.Status.WAITING, **condition)
    return waiting.update(status=Run.Status.READY, wake_at=None, updated_at=timezone.now()) == 1


@transaction.atomic
def run_cancel(*, run_id: int, actor: str = "") -> Run:
    """Ask a run and its children to stop at their next step; their clean-up steps still run."""
    run = _locked(run_id)
    if run.status not in Run.UNFINISHED:
        raise Conflict(f"The run {run.key} is {run.status} already.")
    Run.objects.filter(pk=run_id).update(cancel_requested=True, updated_at=timezone.now())
    if _wake(run_id):
        after_commit(doorbell.ring, run_id)
    for child_id in (
        Run.objects.unfinished().filter(parent_id=run_id).order_by("pk").values_list("pk", flat=True)
    ):
        _cancel_child(child_id, actor)
    _tell(run, "run.cancel_requested", actor=actor)
    return run


def _cancel_child(run_id: int, actor: str) -> None:
    try:
        run_cancel(run_id=run_id, actor=actor)
    except Conflict:  # it has ended meanwhile
        return


@transaction.atomic
def run_retry(*, run_id: int, actor: str = "") -> Run:
    """Let a failed run go on from the step it failed of, and its failed children with it."""
    run = _locked(run_id)
    if run.status != Run.Status.FAILED:
        raise Conflict(f"Only a failed run can be retried; {run.key} is {run.status}.")
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
    _tell(run, "run.retried", actor=actor)
    return run


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


def _locked(run_id: int) -> Run:
    run = Run.objects.locked().filter(pk=run_id).first()
    if run is None:
        raise NotFound(f"There is no run {run_id}.")
    return run


def _tell(run: Run, kind: str, *, actor: str = "", **data: Any) -> None:
    emit(
        kind,
        organization_id=run.organization_id,
        project_id=run.project_id,
        bead_id=run.bead_id,
        subject=f"run:{run.key}",
        actor=actor,
        flow=run.flow,
        **data,
    )

"""What people do to beads by hand: each is one or two services in one transaction."""

from __future__ import annotations

from contextlib import suppress

from django.db import transaction

from apps.beads.models import Bead, Dependency
from apps.beads.services import bead_block, bead_close, bead_reopen, bead_resume
from apps.core.errors import BadInput, Conflict
from apps.engine.models import Run
from apps.engine.services import failed_last, run_cancel, run_pause, run_resume, run_retry
from apps.workflows.escalation import bead_escalate, before_ceo, before_ceo_refuse
from apps.workflows.handing import bead_redispatch, work_hold


@transaction.atomic
def bead_move(*, bead: Bead, to: str, actor: str, reason: str = "") -> str:
    """Put a bead where a person wants it; says what was done."""
    match to:
        case "ready":
            bead_reopen(bead=bead, reason=reason or f"Reopened by {actor}.", actor=actor)
            return f"{bead.key} is ready again."
        case "hold":
            return work_stop(bead=bead, actor=actor, reason=reason or f"Held by {actor}.")
        case "close":
            return work_close(bead=bead, actor=actor, reason=reason or f"Closed by {actor}.")
        case _:
            raise BadInput("Only work leads there.", hint="Move it to Ready, Needs you or Done.")


@transaction.atomic
def work_close(*, bead: Bead, actor: str, reason: str) -> str:
    """Close it and stop what works on it."""
    work_hold(bead)
    if not bead_close(bead=bead, reason=reason, actor=actor):
        raise Conflict(f"{bead.key} is closed already.")
    _each_run(bead, run_cancel, actor)
    return f"{bead.key} is closed."


@transaction.atomic
def work_stop(*, bead: Bead, actor: str, reason: str) -> str:
    """Stop what works on it; it waits for a person."""
    work_hold(bead)
    bead_block(bead=bead, reason=reason, actor=actor)
    _each_run(bead, run_cancel, actor)
    return f"{bead.key} waits for a person."


@transaction.atomic
def work_again(*, bead: Bead, actor: str) -> str:
    """Begin the work anew, or go on where it failed."""
    failed = failed_last(bead.pk)
    if failed is not None and bead.status == Bead.Status.BLOCKED:
        run_retry(run_id=failed.pk, actor=actor)
        bead_resume(bead=bead, actor=actor)
        return f"{bead.key} goes on where it failed."
    if bead.status == Bead.Status.IN_PROGRESS:
        if bead_redispatch(bead=bead, reason=f"Given out again by {actor}.", actor=actor):
            return f"{bead.key} is given back: agents may take it."
        return f"{bead.key} is stopped and will be given out again."
    if bead.status == Bead.Status.OPEN:
        raise Conflict(f"{bead.key} is open already: it is given out as soon as it is ready.")
    bead_reopen(bead=bead, reason=f"Given out again by {actor}.", actor=actor)
    return f"{bead.key} is given out again."


@transaction.atomic
def work_pause(*, bead: Bead, actor: str) -> str:
    if not _each_run(bead, run_pause, actor):
        raise Conflict(f"Nothing works on {bead.key} that could be paused.")
    return f"Work on {bead.key} pauses at its next step."


@transaction.atomic
def work_escalate(*, bead: Bead, actor: str, reason: str) -> str:
    if before_ceo(bead.pk):
        raise Conflict(f"{bead.key} is before the CEO already.", hint="Say what is new in a comment.")
    bead_escalate(bead=bead, reason=reason, actor=actor)
    return f"{bead.key} is put before the CEO."


@transaction.atomic
def work_resume(*, bead: Bead, actor: str) -> str:
    before_ceo_refuse(bead.pk)  # else each run refuses, which would be taken for "not paused"
    if not _each_run(bead, run_resume, actor):
        raise Conflict(f"Work on {bead.key} is not paused.")
    return f"Work on {bead.key} goes on."


def is_undoable(bead: Bead, to: str) -> bool:
    """Whether reopening would take back that this bead is closed or held: nothing worked on it, nobody was
    named for it, and nothing begins because it is closed."""
    if bead.status != Bead.Status.OPEN or bead.assigned_to:
        return False
    waiting = bead.dependents.filter(kind=Dependency.Kind.BLOCKS)
    return to == "hold" or (to == "close" and not waiting.exists())


def _each_run(bead: Bead, change: object, actor: str) -> int:
    """Do it to every unfinished run of the bead; how many it could be done to."""
    done = 0
    runs = Run.objects.unfinished().filter(bead_id=bead.pk, parent=None).values_list("pk", flat=True)
    for run_id in list(runs):
        with suppress(Conflict), transaction.atomic():  # it has ended, or is there already
            change(run_id=run_id, actor=actor)  # type: ignore[operator]
            done += 1
    return done

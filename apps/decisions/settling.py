"""What every way to close a decision shares: one effect, told to all who wait, and to those who come late."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.core.errors import Conflict, LoomError
from apps.core.states import move
from apps.decisions.models import Decision
from apps.engine.models import Run
from apps.engine.services import run_signal
from apps.events.bus import Fact, emit_all

SETTLED = "settled"  # the signal that ends the run of the clock
CLOCK = "the deadline"
NAME_CHARS = 120


def clock_key(decision_id: int) -> str:
    return f"decision:{decision_id}"


def locked(decision_id: int) -> Decision:
    rows = Decision.objects.select_for_update(no_key=True, of=("self",)).select_related("project")
    return rows.get(pk=decision_id)


def tell(decision: Decision, kind: str, /, *, actor: str = "", **data: Any) -> None:
    common = {"decision_id": decision.pk, "question": decision.question}
    fact = Fact(
        kind,
        organization_id=decision.project.organization_id,
        project_id=decision.project_id,
        bead_id=decision.bead_id,
        subject=f"decision:{decision.pk}",
        actor=actor,
        data={**common, **data},
    )
    emit_all([fact])


@transaction.atomic
def resolve(decision: Decision, choice: str, way: str, *, decider: str, rationale: str = "") -> bool:
    """Close an open decision with an answer and tell all who wait; False if somebody was faster."""
    won = move(
        Decision.objects.filter(pk=decision.pk),
        to=Decision.Status.DECIDED,
        allowed={Decision.Status.OPEN},
        choice=choice,
        rationale=rationale,
        decider=decider[:NAME_CHARS],
        decided_by=way,
        decided_at=timezone.now(),
    )
    if won:
        decision.refresh_from_db()
        told = {"choice": decision.choice, "rationale": rationale, "decider": decider}
        tell(
            decision,
            "decision.resolved",
            actor=decider,
            decision=choice,
            decider_id=decider,
            decided_by=way,
            choice=choice,
            rationale=rationale,
        )
        answer(decision, **told)
    return won


def answer(decision: Decision, /, **said: Any) -> None:
    """Wake the run that waits and stop the clock. A run that ended meanwhile needs no answer any more."""
    waiting = [(decision.run_id, f"decision:{decision.pk}", said)]
    clock = Run.objects.unfinished().filter(key=clock_key(decision.pk)).values_list("pk", flat=True)
    waiting += [(run_id, SETTLED, {}) for run_id in clock]
    for run_id, name, data in waiting:
        if run_id:
            with suppress(LoomError), transaction.atomic():
                run_signal(run_id=run_id, name=name, data=data)


def lapse(decision: Decision) -> None:
    if move(
        Decision.objects.filter(pk=decision.pk),
        to=Decision.Status.EXPIRED,
        allowed={Decision.Status.OPEN},
        decided_at=timezone.now(),
        decided_by=Decision.Way.DEADLINE,
    ):
        tell(decision, "decision.expired", outcome="lapsed")
        answer(decision, rationale="Nobody answered in time.", decider=CLOCK, expired=True)


def already_closed(decision: Decision) -> Conflict:
    """What to tell those who come late: who decided what."""
    said: dict[str, Any] = {"decision_id": decision.pk, "status": decision.status}
    when = f"{decision.decided_at:%Y-%m-%d %H:%M} UTC" if decision.decided_at else ""
    if decision.status == Decision.Status.CANCELED:
        return Conflict("This question was withdrawn.", details=said)
    if decision.status == Decision.Status.EXPIRED:
        return Conflict(f"The deadline of this decision has passed ({when}).", details=said)
    said |= {"decision": decision.choice, "decider_id": decision.decider, "decided_at": when}
    if decision.decided_by == Decision.Way.DEADLINE:
        hint = f"Its deadline passed ({when}), so “{decision.chosen}” was taken as declared."
    else:
        hint = f"{decision.decider or 'Somebody'} decided “{decision.chosen}” ({when})."
    return Conflict("This decision was answered already.", hint=hint, details=said)

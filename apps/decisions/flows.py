"""The clock of a decision: a durable run that waits for its answer or its deadline."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from apps.decisions.deadlines import deadline_pass
from apps.decisions.models import Decision
from apps.decisions.services import DEADLINE_FLOW
from apps.decisions.settling import SETTLED
from apps.engine.flow import flow, step, wait_for


@flow(DEADLINE_FLOW)
def decision_deadline(decision_id: int) -> dict[str, Any]:
    """At each deadline the decision takes its default, lapses, or is passed on to who has the next one."""
    while True:
        seconds = step(seconds_left, decision_id=decision_id)
        if seconds is None or wait_for(SETTLED, timeout=seconds) is not None:
            break
        if not step(deadline_pass, decision_id=decision_id):
            break
    return step(outcome, decision_id=decision_id)


def seconds_left(*, decision_id: int) -> float | None:
    """Until the deadline; None if the clock has nothing to do any more."""
    decision = Decision.objects.filter(pk=decision_id).first()
    if decision is None or decision.status != Decision.Status.OPEN:
        return None
    is_last = decision.escalated_to == Decision.Rung.CEO
    if is_last and not (decision.default_choice or decision.lapses):
        return None  # it waits for a person, as long as that takes
    return max(0.0, (decision.deadline - timezone.now()).total_seconds())


def outcome(*, decision_id: int) -> dict[str, Any]:
    decision = Decision.objects.filter(pk=decision_id).first()
    if decision is None:
        return {"status": "gone"}
    return {"status": decision.status, "choice": decision.choice, "decider": decision.decider}

"""Deadlines: the default is taken, the question lapses, or it is passed on to the next who may answer."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.decisions.models import Decision
from apps.decisions.settling import CLOCK, lapse, locked, resolve, tell
from apps.decisions.tally import Tally, tally_of


@transaction.atomic
def decision_escalate(*, decision: Decision, reason: str, actor: str = "", to: str = "") -> bool:
    """Pass an open decision on to the next who may answer it; False if there is nobody left to pass it to."""
    decision = locked(decision.pk)
    if decision.status != Decision.Status.OPEN or decision.escalated_to == Decision.Rung.CEO:
        return False
    rung = to or _next_rung(decision)
    changes: dict[str, Any] = {
        "escalated_to": rung,
        "deadline": timezone.now() + decision.answer_within,
        "updated_at": timezone.now(),
    }
    if rung == Decision.Rung.CEO:
        changes |= {"needs_person": True, "priority": 0}
    Decision.objects.filter(pk=decision.pk).update(**changes)
    tell(decision, "decision.escalated", actor=actor, to=rung, reason=reason)
    return True


def _next_rung(decision: Decision) -> str:
    """A role's question goes to the decision-maker, everything else to the CEO."""
    others = {"", Decision.Rung.DECISION_MAKER.value}
    if decision.needs_person or decision.voters or decision.escalated_to or decision.asked_of in others:
        return Decision.Rung.CEO
    return Decision.Rung.DECISION_MAKER


@transaction.atomic
def deadline_pass(*, decision_id: int) -> bool:
    """Do what a deadline that has passed asks for; True if the decision is still open after that."""
    decision = locked(decision_id)
    if decision.status != Decision.Status.OPEN:
        return False
    if decision.deadline > timezone.now():
        return True
    tally = tally_of(decision)
    if decision.voters and (winner := tally.reached(final=True)):
        resolve(decision, winner, Decision.Way.VOTES, decider=tally.decider, rationale=tally.words())
    elif decision.default_choice:
        why = f"Nobody answered until {decision.deadline:%Y-%m-%d %H:%M} UTC."
        tell(decision, "decision.expired", outcome="default", choice=decision.default_choice)
        resolve(decision, decision.default_choice, Decision.Way.DEADLINE, decider=CLOCK, rationale=why)
    elif decision.lapses:
        lapse(decision)
    else:
        decision_escalate(decision=decision, reason=_overdue(decision, tally))
        return True
    return False


def _overdue(decision: Decision, tally: Tally) -> str:
    return tally.words() if decision.voters else "Nobody answered in time."


def deadlines_pass(limit: int = 100) -> int:
    """The net below the clocks' runs: treat what is overdue although its run should have; how many."""
    overdue = Decision.objects.open().filter(deadline__lt=timezone.now())
    late = overdue.exclude(escalated_to=Decision.Rung.CEO, default_choice="", lapses=False)
    ids = list(late.order_by("deadline").values_list("pk", flat=True)[:limit])
    for decision_id in ids:
        deadline_pass(decision_id=decision_id)
    return len(ids)

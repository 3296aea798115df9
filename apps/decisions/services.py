"""Asking for decisions and answering them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.beads.models import Bead
from apps.core.errors import BadInput, Conflict
from apps.core.states import move
from apps.decisions.models import Decision
from apps.engine.services import run_signal
from apps.events.bus import emit
from apps.projects.models import Project

DEADLINE = timedelta(hours=48)


def _tell(decision: Decision, kind: str, *, actor: str = "", **data: Any) -> None:
    emit(
        kind,
        organization_id=decision.project.organization_id,
        project_id=decision.project_id,
        bead_id=decision.bead_id,
        subject=f"decision:{decision.pk}",
        actor=actor,
        question=decision.question,
        **data,
    )


@transaction.atomic
def decision_request(
    *,
    project: Project,
    question: str,
    options: Iterable[dict[str, str]] = (),
    recommendation: str = "",
    context: str = "",
    kind: str = Decision.Kind.QUESTION,
    bead: Bead | None = None,
    requester: str = "",
    needs_person: bool = False,
    run_id: int | None = None,
    origin: str = "",
    deadline: timedelta = DEADLINE,
) -> Decision:
    """Ask; with an `origin` that was used before, the decision asked for then."""
    if not question.strip():
        raise BadInput("A decision needs a question.")
    choices = list(options)
    keys = [option.get("key", "") for option in choices]
    if not all(keys) or len(set(keys)) != len(keys):
        raise BadInput("Each option needs a key of its own.")
    if origin:
        Project.objects.locked(project.pk)  # who asks for the same at the same moment finds it asked
        if known := Decision.objects.filter(project=project, origin=origin).first():
            return known
    decision = Decision.objects.create(
        project=project,
        bead=bead,
        kind=kind,
        question=question.strip(),
        options=choices,
        recommendation=recommendation,
        context=context,
        requester=requester,
        needs_person=needs_person,
        run_id=run_id,
        origin=origin,
        deadline=timezone.now() + deadline,
    )
    _tell(decision, "decision.created", actor=requester, options=keys, needs_person=needs_person)
    return decision


@transaction.atomic
def decision_decide(*, decision: Decision, choice: str, decider: str, rationale: str = "") -> Decision:
    """Answer an open decision once and tell the run that waits for it."""
    keys = [option["key"] for option in decision.options]
    picked = next((key for key in keys if key.lower() == choice.strip().lower()), None)
    if keys and picked is None:
        raise BadInput(f"{choice!r} is none of the options.", hint="Choose one of: " + ", ".join(keys) + ".")
    if not choice.strip():
        raise BadInput("An answer is needed.")
    won = move(
        Decision.objects.filter(pk=decision.pk),
        to=Decision.Status.DECIDED,
        allowed={Decision.Status.OPEN},
        choice=picked or choice.strip(),
        rationale=rationale,
        decider=decider,
        decided_at=timezone.now(),
    )
    if not won:
        raise Conflict("This decision was answered already.")
    decision.refresh_from_db()
    _tell(decision, "decision.made", actor=decider, choice=decision.choice, rationale=rationale)
    _answer(decision, choice=decision.choice, rationale=rationale, decider=decider)
    return decision


def _answer(decision: Decision, **answer: str) -> None:
    if decision.run_id:
        run_signal(run_id=decision.run_id, name=f"decision:{decision.pk}", data=answer)


@transaction.atomic
def decision_cancel(*, decision: Decision, actor: str = "") -> None:
    """Withdraw a question that nobody needs answered any more; who waits goes on without an answer."""
    if move(
        Decision.objects.filter(pk=decision.pk), to=Decision.Status.CANCELED, allowed={Decision.Status.OPEN}
    ):
        _tell(decision, "decision.canceled", actor=actor)
        _answer(decision, rationale="The question was withdrawn.", decider=actor)


def decisions_remind(limit: int = 100) -> int:
    """Turn overdue questions over to people; how many. (An agent may have failed to answer.)"""
    overdue = Decision.objects.open().filter(deadline__lt=timezone.now(), needs_person=False)
    reminded = 0
    for decision in overdue.select_related("project")[:limit]:
        with transaction.atomic():
            taken = (
                Decision.objects.open().filter(pk=decision.pk, needs_person=False).update(needs_person=True)
            )
            if taken:
                _tell(decision, "decision.escalated")
            reminded += taken
    return reminded

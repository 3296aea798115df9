"""The flow in which agents answer a decision that no run waits for, or that was passed on to them."""

from __future__ import annotations

from typing import Any

from apps.agents.loop import Ending, session_run
from apps.decisions.models import Decision
from apps.engine.errors import StepFailed
from apps.engine.flow import flow, step
from apps.engine.services import run_start
from apps.workflows.talk import agents_ask, decision_pass_on

ANSWER_FLOW = "decision.answer"


def answer_start(*, decision: Decision) -> None:
    run_start(
        flow=ANSWER_FLOW,
        key=f"decision:{decision.pk}:{decision.escalated_to or 'asked'}",
        input={"decision_id": decision.pk, "project_id": decision.project_id},
        organization_id=decision.project.organization_id,
        project_id=decision.project_id,
    )


@flow(ANSWER_FLOW)
def decision_answer(decision_id: int, project_id: int) -> dict[str, Any]:
    """Voters vote, or the role with the authority decides; what they leave open goes on to a person."""
    try:
        agents_ask(decision_id, project_id=project_id, speak=_speak)
    except StepFailed:  # no session could be opened
        step(decision_pass_on, decision_id=decision_id, roles=[])
    return step(decision_state, decision_id=decision_id)


def _speak(session_id: int) -> Ending:
    """A model that cannot be reached is no second question for people: the first is passed on to them."""
    try:
        return session_run(session_id)
    except StepFailed as failed:
        return Ending(reason="error", detail=failed.failure.message)


def decision_state(*, decision_id: int) -> dict[str, Any]:
    decision = Decision.objects.get(pk=decision_id)
    return {"status": decision.status, "choice": decision.choice, "decider": decision.decider}

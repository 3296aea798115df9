"""Who may answer: a person, or an agent whose persona gives it the authority."""

from __future__ import annotations

from typing import Any

import pytest

from apps.accounts.services import organization_ensure
from apps.core.errors import Conflict, Forbidden
from apps.decisions.authority import AgentVoice, may_decide
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide, decision_request
from apps.projects.models import Project
from apps.projects.services import project_create
from tests.silence import nobody_reacts

__all__ = ["nobody_reacts"]
pytestmark = pytest.mark.usefixtures("nobody_reacts")


@pytest.fixture
def project(db: None) -> Project:
    return project_create(organization=organization_ensure(name="acme"), name="Links")


def ask(project: Project, **details: Any) -> Decision:
    options = [{"key": "hash"}, {"key": "drop"}]
    return decision_request(project=project, **({"question": "Keep it?", "options": options} | details))


@pytest.mark.parametrize(
    ("autonomy", "allowed"),
    [
        ("full", {"routine", "urgent", "plan", "approval", "facts"}),
        ("semi", {"routine", "facts"}),
        ("supervised", {"facts"}),
        ("unheard of", {"facts"}),
    ],
)
def test_autonomy_says_what_an_agent_decides_alone(autonomy: str, allowed: set[str]) -> None:
    asked = {
        "routine": Decision(priority=2),
        "urgent": Decision(priority=1),
        "critical": Decision(priority=0),
        "plan": Decision(kind=Decision.Kind.PLAN),
        "approval": Decision(kind=Decision.Kind.APPROVAL),
        "person's": Decision(needs_person=True),
        "facts": Decision(kind=Decision.Kind.INFORMATION, priority=0),
    }
    assert {name for name, decision in asked.items() if may_decide(autonomy, decision)} == allowed


def test_what_is_critical_needs_a_person_from_the_start(project: Project) -> None:
    assert ask(project, priority=0).needs_person
    assert not ask(project, priority=1).needs_person


def test_an_agent_without_the_authority_is_refused_and_the_question_stays_open(project: Project) -> None:
    decision = ask(project, priority=1)
    junior = AgentVoice("Engineer 2", "engineering-manager", "semi")
    with pytest.raises(Forbidden, match="has no authority") as refused:
        decision_decide(decision=decision, choice="hash", decider=junior.name, agent=junior)
    assert refused.value.details == {"autonomy": "semi", "priority": 1, "kind": "question"}
    assert Decision.objects.get().status == "open"
    maker = AgentVoice("Decision maker", "decision-maker", "full")
    decided = decision_decide(decision=decision, choice="hash", decider=maker.name, agent=maker)
    assert (decided.choice, decided.decider, decided.decided_by) == ("hash", "Decision maker", "agent")


def test_nobody_overrules_a_person(project: Project) -> None:
    decision = ask(project, needs_person=True)
    maker = AgentVoice("Decision maker", "decision-maker", "full")
    with pytest.raises(Forbidden, match="no authority"):
        decision_decide(decision=decision, choice="hash", decider=maker.name, agent=maker)
    assert decision_decide(decision=decision, choice="hash", decider="ann").decided_by == "person"
    with pytest.raises(Conflict, match="answered already"):
        decision_decide(decision=decision, choice="drop", decider=maker.name, agent=maker)


def test_an_agent_does_not_answer_its_own_question(project: Project) -> None:
    decision = ask(project, requester="Decision maker")
    maker = AgentVoice("Decision maker", "decision-maker", "full")
    with pytest.raises(Forbidden, match="cannot answer it too"):
        decision_decide(decision=decision, choice="hash", decider=maker.name, agent=maker)

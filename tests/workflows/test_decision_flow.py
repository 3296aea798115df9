"""Agents answer what people ask and what is passed on to them, as far as their authority goes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.agents.models import Persona, Session
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide, decision_request
from apps.engine.models import Run
from apps.events.models import Event
from tests.engine.flows import let_time_pass
from tests.workflows.studio import Answer, Studio

Open = Callable[..., Studio]
OPTIONS = [{"key": "hash"}, {"key": "drop"}]


def decides(choice: str = "hash", **more: Any) -> Callable[[str, str, list[dict[str, Any]]], Answer]:
    """A model that answers each decision it is asked for."""
    return lambda kind, title, messages: [("decide", {"choice": choice, "rationale": "Best.", **more})]


def ask(studio: Studio, **details: Any) -> Decision:
    asked = {"question": "Keep it?", "options": OPTIONS, "requester": "ann"}
    return decision_request(project=studio.project, **(asked | details))


def answered(studio: Studio) -> Decision:
    studio.run()
    return Decision.objects.order_by("id")[0]


def roles(studio: Studio) -> list[str]:
    return [session.agent.role for session in studio.sessions("decide")]


def test_what_a_person_asks_is_answered_by_the_decision_maker(open_studio: Open) -> None:
    studio = open_studio(decides())
    ask(studio)
    decision = answered(studio)
    assert (decision.choice, decision.decider, decision.decided_by) == ("hash", "Decision maker", "agent")
    assert roles(studio) == ["decision-maker"]
    run = Run.objects.get(flow="decision.answer")
    assert (run.status, run.output["choice"]) == ("done", "hash")


def test_the_role_that_is_asked_answers_if_its_autonomy_allows_that(open_studio: Open) -> None:
    studio = open_studio(decides())
    ask(studio, asked_of="QA engineer")
    assert answered(studio).decider == "QA engineer"
    urgent = ask(studio, asked_of="qa-engineer", priority=1)
    studio.run()
    assert Decision.objects.get(pk=urgent.pk).decider == "Decision maker"
    Persona.objects.filter(role="decision-maker").update(metadata={"autonomy": "supervised"})
    nobody = ask(studio, asked_of="qa-engineer", priority=1)
    studio.run()
    nobody.refresh_from_db()
    assert (nobody.status, nobody.needs_person, nobody.escalated_to) == ("open", True, "ceo")
    assert Event.objects.get(kind="decision.escalated").data["reason"] == "No agent has the authority."


def test_a_person_is_not_kept_waiting_by_a_model_that_cannot_be_reached(open_studio: Open) -> None:
    studio = open_studio(decides())
    studio.close()
    ask(studio)
    decision = answered(studio)
    for _ in range(40):
        if decision.needs_person:
            break
        for run in Run.objects.unfinished().filter(flow="decision.answer"):
            let_time_pass(run)
        decision = answered(studio)
    assert (decision.status, decision.escalated_to) == ("open", "ceo")
    assert Decision.objects.count() == 1  # no second question about the model


def test_nobody_asks_agents_what_only_a_person_may_answer(open_studio: Open) -> None:
    studio = open_studio(decides())
    ask(studio, needs_person=True)
    ask(studio, priority=0)
    studio.run()
    assert studio.sessions("decide") == []
    assert not Run.objects.filter(flow="decision.answer").exists()


def test_what_a_role_leaves_open_goes_to_the_decision_maker_then_to_the_ceo(open_studio: Open) -> None:
    asked: list[str] = []

    def model(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
        asked.append(title)
        return "I would rather not say."

    studio = open_studio(model)
    ask(studio, asked_of="qa-engineer")
    decision = answered(studio)
    assert roles(studio) == ["qa-engineer", "decision-maker"]
    assert (decision.status, decision.escalated_to) == ("open", "ceo")
    reasons = [
        event.data["reason"] for event in Event.objects.filter(kind="decision.escalated").order_by("id")
    ]
    assert reasons == ["qa-engineer did not answer.", "decision-maker did not answer."]
    assert decision_decide(decision=decision, choice="drop", decider="ann").decider == "ann"
    studio.run()
    assert not Run.objects.unfinished().exists()


def test_agents_vote_each_for_its_role(open_studio: Open) -> None:
    sure = iter([0.9, 0.4])

    def model(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
        assert "put to the vote" in messages[1]["content"]
        return [("decide", {"choice": "hash", "rationale": "Best.", "confidence": next(sure)})]

    studio = open_studio(model)
    ask(studio, voters=["qa-engineer", "cto", "ann"], threshold=0.5)
    decision = answered(studio)
    votes = {vote.voter: vote.confidence for vote in decision.votes.all()}
    assert votes == {"qa-engineer": 0.9, "cto": 0.4}
    assert (decision.choice, decision.decided_by, decision.decider) == ("hash", "votes", "2 votes")


def test_the_clock_passes_a_silent_roles_question_to_the_decision_maker(open_studio: Open) -> None:
    studio = open_studio(decides("drop"))
    waiting = Run.objects.create(key="k", flow="f", status=Run.Status.WAITING)
    decision = ask(studio, asked_of="qa-engineer", run_id=waiting.pk)  # its run would ask, but never does
    studio.run()
    assert studio.sessions("decide") == []
    Decision.objects.update(deadline=timezone.now() - timedelta(seconds=1))
    let_time_pass(Run.objects.get(key=f"decision:{decision.pk}"), 1_000_000)
    decision = answered(studio)
    assert (decision.choice, decision.escalated_to) == ("drop", "decision-maker")
    assert roles(studio) == ["decision-maker"]
    assert Session.objects.get().reason == "decide"


def test_what_an_agent_puts_before_the_ceo_waits_for_a_person(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
        return '{"actions": [{"type": "escalate_ceo", "reason": "May I drop the table?"}]}'

    studio = open_studio(model, tools=False)
    bead = studio.bead()
    studio.run()
    asked = studio.open_question()
    assert (asked.needs_person, asked.bead_id, asked.question) == (True, bead.pk, "May I drop the table?")
    assert studio.sessions("decide") == []

"""Decisions: asked once, answered once, and whoever waits is told."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.services import organization_ensure
from apps.beads.services import bead_create
from apps.core.errors import BadInput, Conflict
from apps.decisions.models import DEADLINE, Decision
from apps.decisions.services import (
    decision_cancel,
    decision_decide,
    decision_request,
)
from apps.engine import runner
from apps.engine.flow import current, step, wait_for
from apps.engine.models import Run, Signal
from apps.events.models import Event
from apps.projects.models import Project
from apps.projects.services import project_create
from tests.engine.flows import at_once, fresh, run
from tests.silence import nobody_reacts

OPTIONS = [{"key": "hash", "label": "Store a hash"}, {"key": "drop", "label": "Store nothing"}]


__all__ = ["nobody_reacts"]
pytestmark = pytest.mark.usefixtures("nobody_reacts")


@pytest.fixture
def project(db: None) -> Project:
    return project_create(organization=organization_ensure(name="acme"), name="Links")


def ask(project: Project, **details: Any) -> Decision:
    return decision_request(project=project, **({"question": "Keep it?", "options": OPTIONS} | details))


def events(decision: Decision) -> list[str]:
    rows = Event.objects.filter(subject=f"decision:{decision.pk}").order_by("id")
    return list(rows.values_list("kind", flat=True))


# -- asking ----------------------------------------------------------------------------------------


def test_a_question_is_kept_with_its_options_and_two_days_to_answer(project: Project) -> None:
    bead = bead_create(project=project, title="Add links")
    decision = ask(project, question="  Keep it? ", bead=bead, requester="Engineer", recommendation="hash")
    assert (decision.question, decision.status, decision.options) == ("Keep it?", "open", OPTIONS)
    assert abs(decision.deadline - timezone.now() - DEADLINE) < timedelta(minutes=1)
    event = Event.objects.get(kind="decision.created")
    assert (event.bead_id, event.project_id, event.actor) == (bead.pk, project.pk, "Engineer")
    assert event.data == {
        "decision_id": decision.pk,
        "question": "Keep it?",
        "requester_id": "Engineer",
        "options": ["hash", "drop"],
        "needs_person": False,
        "priority": 2,
    }


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"question": " "}, "needs a question"),
        ({"options": [{"label": "no key"}]}, "a key of its own"),
        ({"options": [{"key": "a"}, {"key": "a"}]}, "a key of its own"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(
    project: Project, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        ask(project, **wrong)


def test_the_same_origin_asks_once(project: Project) -> None:
    first = ask(project, origin="run:1:2")
    assert ask(project, origin="run:1:2", question="Another?") == first
    assert ask(project, origin="run:1:3") != first
    assert events(first) == ["decision.created"]


@pytest.mark.django_db(transaction=True)
def test_the_same_origin_asks_once_even_at_the_same_moment(project: Project) -> None:
    given = at_once(*[partial(ask, project, origin="run:1:2")] * 5)
    assert len({decision.pk for decision in given}) == 1
    assert events(given[0]) == ["decision.created"]


def test_questions_without_an_origin_are_all_asked(project: Project) -> None:
    assert ask(project) != ask(project)


# -- answering -------------------------------------------------------------------------------------


def test_an_answer_is_kept_with_who_and_why(project: Project) -> None:
    decision = decision_decide(decision=ask(project), choice=" HASH ", decider="ann", rationale="Safer.")
    kept = Decision.objects.get()
    assert (kept.status, kept.choice, kept.decider, kept.rationale) == ("decided", "hash", "ann", "Safer.")
    assert kept.decided_at is not None
    assert events(decision) == ["decision.created", "decision.resolved"]


def test_an_answer_is_one_of_the_options(project: Project) -> None:
    decision = ask(project)
    with pytest.raises(BadInput, match="'keep' is none of the options") as refused:
        decision_decide(decision=decision, choice="keep", decider="ann")
    assert refused.value.hint == "Choose one of: hash, drop."
    assert Decision.objects.get().status == "open"


def test_a_free_question_takes_any_answer_but_silence(project: Project) -> None:
    decision = ask(project, options=[])
    with pytest.raises(BadInput, match="An answer is needed"):
        decision_decide(decision=decision, choice="  ", decider="ann")
    assert decision_decide(decision=decision, choice=" Blue. ", decider="ann").choice == "Blue."


def test_an_answer_stands(project: Project) -> None:
    decision = ask(project)
    decision_decide(decision=decision, choice="hash", decider="ann")
    with pytest.raises(Conflict, match="answered already"):
        decision_decide(decision=decision, choice="drop", decider="bob")
    decision_cancel(decision=decision)
    assert (Decision.objects.get().choice, events(decision)[-1]) == ("hash", "decision.resolved")


@pytest.mark.django_db(transaction=True)
def test_of_two_who_answer_at_the_same_moment_one_decides(project: Project) -> None:
    waiting = Run.objects.create(key="k", flow="f", status=Run.Status.WAITING)
    decision = ask(project, run_id=waiting.pk)
    given = at_once(
        partial(decision_decide, decision=decision, choice="hash", decider="ann"),
        partial(decision_decide, decision=decision, choice="drop", decider="bob"),
    )
    assert sorted(type(outcome).__name__ for outcome in given) == ["Conflict", "Decision"]
    assert Signal.objects.get(run=waiting).data["choice"] == Decision.objects.get().choice
    assert events(decision) == ["decision.created", "decision.resolved"]


@pytest.mark.django_db(transaction=True)
def test_the_run_that_waits_gets_the_answer(project: Project) -> None:
    def flow() -> Any:
        asked = step(lambda: ask(project, run_id=current().run.pk).pk, step_name="ask")
        return wait_for(f"decision:{asked}")

    waiting = run(flow)
    decision_decide(decision=Decision.objects.get(), choice="hash", decider="ann", rationale="Safer.")
    runner.drain()
    assert fresh(waiting).output == {"choice": "hash", "decider": "ann", "rationale": "Safer."}


@pytest.mark.django_db(transaction=True)
def test_the_run_that_waits_goes_on_without_an_answer_when_the_question_is_withdrawn(
    project: Project,
) -> None:
    def flow() -> Any:
        asked = step(lambda: ask(project, run_id=current().run.pk).pk, step_name="ask")
        return wait_for(f"decision:{asked}")

    waiting = run(flow)
    decision_cancel(decision=Decision.objects.get(), actor="ann")
    runner.drain()
    assert fresh(waiting).output == {"decider": "ann", "rationale": "The question was withdrawn."}
    with pytest.raises(Conflict):
        decision_decide(decision=Decision.objects.get(), choice="hash", decider="bob")

"""Deadlines: a durable clock that takes the default, lets lapse, or passes on; once, whoever else answers."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.services import organization_ensure
from apps.core.errors import BadInput, Conflict
from apps.decisions import tasks
from apps.decisions.deadlines import deadlines_pass, decision_escalate
from apps.decisions.models import DEADLINE, Decision
from apps.decisions.services import decision_decide, decision_request
from apps.engine import runner
from apps.engine.flow import current, step, wait_for
from apps.engine.models import Run, Signal
from apps.engine.services import run_cancel
from apps.events.models import Event
from apps.projects.models import Project
from apps.projects.services import project_create
from tests.engine.flows import at_once, crash, fresh, let_time_pass, run
from tests.silence import nobody_reacts

__all__ = ["nobody_reacts"]
pytestmark = [pytest.mark.usefixtures("nobody_reacts"), pytest.mark.django_db(transaction=True)]
OPTIONS = [{"key": "hash"}, {"key": "drop"}]


@pytest.fixture
def project(transactional_db: None) -> Project:
    return project_create(organization=organization_ensure(name="acme"), name="Links")


def ask(project: Project, **details: Any) -> Decision:
    asked = decision_request(project=project, **({"question": "Keep it?", "options": OPTIONS} | details))
    runner.drain()
    return asked


def clock(decision: Decision) -> Run:
    return Run.objects.get(key=f"decision:{decision.pk}")


def ring(decision: Decision) -> Decision:
    """Let the deadline come, and the clock ring."""
    gone = timezone.now() - timedelta(seconds=1)
    Decision.objects.filter(pk=decision.pk).update(deadline=gone)
    let_time_pass(clock(decision), 4 * DEADLINE.total_seconds())
    runner.drain()
    return Decision.objects.get(pk=decision.pk)


def events(decision: Decision) -> list[str]:
    rows = Event.objects.filter(subject=f"decision:{decision.pk}").order_by("id")
    return list(rows.values_list("kind", flat=True))


def test_each_decision_has_a_clock_that_waits_two_days_and_costs_nothing(project: Project) -> None:
    waiting = clock(ask(project))
    assert (waiting.flow, waiting.status, waiting.project_id) == ("decision.deadline", "waiting", project.pk)
    assert waiting.wake_at is not None
    assert abs(waiting.wake_at - timezone.now() - timedelta(hours=48)) < timedelta(minutes=1)


def test_an_answer_stops_the_clock(project: Project) -> None:
    decision = ask(project)
    decision_decide(decision=decision, choice="hash", decider="ann")
    runner.drain()
    ended = clock(decision)
    assert (ended.status, ended.output["choice"]) == ("done", "hash")
    assert events(decision) == ["decision.created", "decision.resolved"]


def test_the_declared_default_is_taken_and_who_waits_goes_on(project: Project) -> None:
    def flow() -> Any:
        asked = step(
            lambda: (
                decision_request(
                    project=project,
                    question="Keep it?",
                    options=OPTIONS,
                    default_choice="DROP",
                    run_id=current().run.pk,
                ).pk
            ),
            step_name="ask",
        )
        return wait_for(f"decision:{asked}")

    waiting = run(flow)
    decision = ring(Decision.objects.get())
    assert (decision.status, decision.choice, decision.decided_by) == ("decided", "drop", "deadline")
    said = fresh(waiting).output
    assert (said["choice"], said["decider"]) == ("drop", "the deadline")
    assert events(decision) == ["decision.created", "decision.expired", "decision.resolved"]
    with pytest.raises(Conflict, match="answered already") as late:
        decision_decide(decision=decision, choice="hash", decider="ann")
    assert "“drop” was taken as declared" in late.value.hint


def test_a_question_may_lapse_and_who_waits_goes_on_without_an_answer(project: Project) -> None:
    waiting = Run.objects.create(key="k", flow="f", status=Run.Status.WAITING)
    decision = ring(ask(project, lapses=True, run_id=waiting.pk))
    assert (decision.status, decision.choice) == ("expired", "")
    assert Signal.objects.get(run=waiting).data["expired"] is True
    assert clock(decision).status == "done"
    with pytest.raises(Conflict, match="deadline of this decision has passed"):
        decision_decide(decision=decision, choice="hash", decider="ann")


def test_what_nobody_answers_goes_up_one_by_one_and_then_waits_for_a_person(project: Project) -> None:
    decision = ask(project, asked_of="qa-engineer", deadline=timedelta(hours=5))
    rungs = []
    for _ in range(3):
        decision = ring(decision)
        rungs.append((decision.escalated_to, decision.needs_person, decision.priority, decision.status))
    assert rungs == [
        ("decision-maker", False, 2, "open"),
        ("ceo", True, 0, "open"),
        ("ceo", True, 0, "open"),
    ]
    assert clock(decision).status == "done"
    assert events(decision) == ["decision.created", "decision.escalated", "decision.escalated"]
    assert decision_decide(decision=decision, choice="hash", decider="ann").status == "decided"


def test_each_who_is_asked_has_the_time_the_first_had(project: Project) -> None:
    decision = ring(ask(project, deadline=timedelta(hours=5)))
    assert decision.escalated_to == "ceo"  # the decision-maker was asked first
    assert abs(decision.deadline - timezone.now() - timedelta(hours=5)) < timedelta(minutes=1)


def test_the_clock_survives_its_worker(project: Project) -> None:
    decision = ask(project, default_choice="hash")
    crash(clock(decision))
    assert ring(decision).choice == "hash"
    assert events(decision).count("decision.resolved") == 1


def test_an_answer_after_the_deadline_but_before_the_clock_rang_is_too_late(project: Project) -> None:
    decision = ask(project, default_choice="drop")
    Decision.objects.update(deadline=timezone.now() - timedelta(seconds=1))
    decision.refresh_from_db()
    with pytest.raises(Conflict, match="answered already"):
        decision_decide(decision=decision, choice="hash", decider="ann")
    assert Decision.objects.get().choice == "drop"
    ring(decision)
    assert events(decision) == ["decision.created", "decision.expired", "decision.resolved"]


def test_an_answer_while_it_is_passed_on_still_counts(project: Project) -> None:
    decision = ask(project)
    Decision.objects.update(deadline=timezone.now() - timedelta(seconds=1))
    decision.refresh_from_db()
    assert decision_decide(decision=decision, choice="hash", decider="ann").choice == "hash"


def test_the_sweep_does_what_a_lost_clock_should_have(project: Project) -> None:
    overdue = ask(project, deadline=timedelta(hours=-1))
    clock(overdue).delete()
    in_time, answered = ask(project), ask(project)
    decision_decide(decision=answered, choice="hash", decider="ann")
    tasks.sweep()
    tasks.sweep()
    assert list(Decision.objects.filter(needs_person=True)) == [overdue]
    assert events(overdue) == ["decision.created", "decision.escalated"]
    assert events(in_time) == ["decision.created"]


@pytest.mark.parametrize("details", [{"default_choice": "drop"}, {"lapses": True}, {}])
def test_clock_sweep_and_person_at_once_have_one_effect(project: Project, details: dict[str, Any]) -> None:
    waiting = Run.objects.create(key="k", flow="f", status=Run.Status.WAITING)
    decision = ask(project, run_id=waiting.pk, **details)
    Decision.objects.update(deadline=timezone.now() - timedelta(seconds=1))
    let_time_pass(clock(decision), 4 * DEADLINE.total_seconds())
    decision.refresh_from_db()
    given = at_once(
        partial(decision_decide, decision=decision, choice="hash", decider="ann"),
        partial(decision_decide, decision=Decision.objects.get(), choice="drop", decider="bob"),
        deadlines_pass,
        runner.drain,
    )
    strange = [each for each in given if isinstance(each, BaseException) and not isinstance(each, Conflict)]
    assert strange == []
    assert Signal.objects.filter(run=waiting).count() == 1
    kept = Decision.objects.get()
    assert kept.status == ("expired" if "lapses" in details else "decided")
    assert events(decision).count("decision.resolved") == (0 if "lapses" in details else 1)
    assert events(decision).count("decision.escalated") <= 1


def test_the_default_is_one_of_the_options(project: Project) -> None:
    with pytest.raises(BadInput, match="none of the options"):
        ask(project, default_choice="sell")
    for wrong in (timedelta(days=9999), timedelta(days=-9999)):
        with pytest.raises(BadInput, match="ten years"):
            ask(project, deadline=wrong)


def test_nothing_is_passed_on_beyond_the_ceo_or_after_the_answer(project: Project) -> None:
    decision = ask(project, needs_person=True)
    assert decision_escalate(decision=decision, reason="No answer.")
    assert not decision_escalate(decision=decision, reason="Still none.")
    other = ask(project)
    decision_decide(decision=other, choice="hash", decider="ann")
    assert not decision_escalate(decision=other, reason="Late.")


def test_who_stopped_waiting_does_not_keep_an_answer_from_being_kept(project: Project) -> None:
    decision = ask(project, run_id=987_654)
    assert decision_decide(decision=decision, choice="hash", decider="ann").status == "decided"


def test_the_clock_itself_may_be_canceled_without_harm(project: Project) -> None:
    decision = ask(project)
    run_cancel(run_id=clock(decision).pk)
    runner.drain()
    assert decision_decide(decision=decision, choice="hash", decider="ann").choice == "hash"

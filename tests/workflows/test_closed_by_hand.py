"""A bead that cannot go on is closed by hand: its question and its run end, and no answer revives them."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent, Session
from apps.beads.changing import bead_finish
from apps.beads.models import Bead
from apps.beads.services import bead_reopen
from apps.core.errors import Conflict
from apps.dashboard.moves import work_stop
from apps.decisions.models import Decision
from apps.decisions.services import decision_cancel
from apps.engine.models import Run
from apps.events.models import Event
from apps.workflows.escalation import bead_escalate
from apps.workflows.models import WorkflowExecution
from tests.workflows.stuck import Open, good, helpless, retry
from tests.workflows.studio import Studio
from tests.workflows.test_troubles import heal, locked_out


def ended(bead: Bead) -> bool:
    return not Run.objects.unfinished().filter(bead_id=bead.pk).exists()


def test_the_question_of_a_bead_that_is_closed_by_hand_is_withdrawn_and_its_run_ends(
    open_studio: Open,
) -> None:
    studio = open_studio(helpless)
    bead = studio.bead()
    studio.run()
    question = studio.open_question()

    bead_finish(bead=studio.refreshed(bead), reason="Done elsewhere.", actor="ann")
    studio.run()

    question.refresh_from_db()
    assert question.status == Decision.Status.CANCELED
    assert Event.objects.filter(kind="decision.canceled", actor="ann").count() == 1
    assert ended(bead)
    assert not Session.objects.filter(bead=bead, status=Session.Status.OPEN).exists()
    assert not Agent.objects.exclude(status=Agent.Status.IDLE).exists()
    assert not WorkflowExecution.objects.filter(bead=bead, status__in=WorkflowExecution.OPEN).exists()
    assert studio.refreshed(bead).close_reason == "Done elsewhere."


def test_the_answer_to_anothers_question_sets_nobody_to_work_on_a_closed_bead(open_studio: Open) -> None:
    studio, beads = locked_out(open_studio)
    question = studio.open_question()
    closed = next(bead for bead in beads if bead.pk != question.bead_id)

    bead_finish(bead=studio.refreshed(closed), reason="Done elsewhere.", actor="ann")
    studio.run()
    heal(studio)
    retry(question)
    studio.run()

    assert ended(closed)
    assert studio.refreshed(closed).merged_commit == ""
    assert all(studio.refreshed(bead).merged_commit for bead in beads if bead.pk != closed.pk)


def test_who_joined_the_question_of_a_bead_that_is_closed_asks_again(open_studio: Open) -> None:
    studio, beads = locked_out(open_studio)
    question = studio.open_question()

    named = next(bead for bead in beads if bead.pk == question.bead_id)
    bead_finish(bead=studio.refreshed(named), reason="Done elsewhere.", actor="ann")
    studio.run()

    again = studio.open_question()
    assert again.pk != question.pk
    heal(studio)
    retry(again)
    studio.run()
    merged = {bead.pk for bead in beads if studio.refreshed(bead).merged_commit}
    assert merged == {bead.pk for bead in beads} - {question.bead_id}


def test_an_answer_that_comes_as_the_bead_is_closed_ends_the_work(open_studio: Open) -> None:
    studio = open_studio(helpless)
    bead = studio.bead()
    studio.run()
    question = studio.open_question()
    studio.model = good

    retry(question)  # the run is ready, but not at work yet
    bead_finish(bead=studio.refreshed(bead), reason="Done elsewhere.", actor="ann")
    studio.run()

    assert ended(bead)
    bead = studio.refreshed(bead)
    assert (bead.status, bead.merged_commit, bead.close_reason) == (
        Bead.Status.CLOSED,
        "",
        "Done elsewhere.",
    )


def escalated(studio: Studio, **changes: Any) -> Bead:
    """A bead whose run was at work, or ready for it, when the bead was put before the CEO."""
    bead = studio.bead()
    Run.objects.filter(bead_id=bead.pk).update(**changes)
    bead_escalate(bead=studio.refreshed(bead), reason="Is it worth it?", actor="ann")
    return studio.refreshed(bead)


@pytest.mark.parametrize("was", [Run.Status.READY, Run.Status.RUNNING])
def test_an_escalated_bead_that_is_closed_by_hand_is_not_worked_on_any_more(
    open_studio: Open, was: Run.Status
) -> None:
    studio = open_studio(good)
    bead = escalated(studio, status=was)

    bead_finish(bead=bead, reason="Not wanted.", actor="ann")
    Run.objects.filter(bead_id=bead.pk, status=Run.Status.RUNNING).update(status=Run.Status.READY)
    studio.run()

    work = Run.objects.get(bead_id=bead.pk, parent=None)
    bead = studio.refreshed(bead)
    assert (work.status, bead.status, bead.close_reason) == ("canceled", "closed", "Not wanted.")
    assert bead.merged_commit == ""
    assert Run.objects.get(flow="bead.escalation").output == {"status": "withdrawn"}
    assert not Session.objects.filter(bead=bead, status=Session.Status.OPEN).exists()


def test_a_withdrawn_escalation_ends_the_work_on_a_bead_that_was_closed_first(open_studio: Open) -> None:
    studio = open_studio(good)
    bead = escalated(studio)
    escalation = Decision.objects.open().get(bead=bead)
    Bead.objects.filter(pk=bead.pk).update(status=Bead.Status.CLOSED, closed_at=timezone.now())

    decision_cancel(decision=escalation, actor="ann")  # before anybody has heard of the closing
    studio.run()

    assert Run.objects.get(bead_id=bead.pk, parent=None).status == "canceled"
    assert studio.refreshed(bead).merged_commit == ""


def test_an_escalated_bead_is_not_closed_under_work_that_goes_on(open_studio: Open) -> None:
    studio = open_studio(good)
    bead = escalated(studio)
    # By the turn under way when it was put before the CEO, or in an older Loom, which let it be resumed.
    going = {"status": Run.Status.RUNNING, "pause_requested": False}
    Run.objects.filter(bead_id=bead.pk, parent=None).update(**going)

    with pytest.raises(Conflict, match="is being worked on"):
        bead_finish(bead=bead, reason="Not wanted.", actor="ann")


def test_a_closed_bead_is_reopened_when_what_worked_on_it_has_ended(open_studio: Open) -> None:
    studio = open_studio(helpless)
    bead = studio.bead()
    studio.run()
    bead_finish(bead=studio.refreshed(bead), reason="Done elsewhere.", actor="ann")

    with pytest.raises(Conflict, match="still being ended"):
        bead_reopen(bead=studio.refreshed(bead), actor="ann")
    studio.model = good
    studio.run()
    bead_reopen(bead=studio.refreshed(bead), actor="ann")
    studio.run()

    bead = studio.refreshed(bead)
    assert (bead.status, bead.attempts, bool(bead.merged_commit)) == (Bead.Status.CLOSED, 2, True)


def test_a_held_bead_is_reopened_when_what_worked_on_it_has_ended(open_studio: Open) -> None:
    studio = open_studio(good)
    bead = studio.bead()
    work_stop(bead=studio.refreshed(bead), actor="ann", reason="Held by ann.")

    with pytest.raises(Conflict, match="still being ended"):
        bead_reopen(bead=studio.refreshed(bead), actor="ann")
    studio.run()
    bead_reopen(bead=studio.refreshed(bead), actor="ann")
    studio.run()

    assert studio.refreshed(bead).merged_commit

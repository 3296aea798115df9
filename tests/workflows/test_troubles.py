"""One error of many beads is one question for a person, and one answer frees them all."""

from __future__ import annotations

from functools import partial

import pytest

from apps.agents.models import Session, Trouble, TroubleStop
from apps.agents.troubles import Report, trouble_report, trouble_settle
from apps.beads.models import Bead
from apps.beads.services import bead_block, bead_close, bead_reopen
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide
from apps.engine.models import Run, Signal
from apps.engine.services import run_cancel, run_retry
from apps.events import bus
from apps.events.models import Event
from apps.providers import pool
from apps.providers.models import Provider
from apps.workflows.weaving import Wish, weave_resume
from tests.engine.flows import at_once
from tests.workflows.stuck import Messages, Open, good, helpless, retry
from tests.workflows.studio import Answer, Studio, done, replies, write

# -- one question per error ------------------------------------------------------------------------


def locked_out(
    open_studio: Open, titles: tuple[str, ...] = ("One", "Two", "Three")
) -> tuple[Studio, list[Bead]]:
    """Beads that all meet the same refused key."""
    studio = open_studio(good)
    studio.server.switches.key = "another"
    beads = [studio.bead(title) for title in titles]
    studio.run()
    assert all(studio.refreshed(bead).status == Bead.Status.BLOCKED for bead in beads)
    return studio, beads


def test_one_error_of_several_beads_is_one_question_and_one_answer_frees_all(open_studio: Open) -> None:
    studio, beads = locked_out(open_studio)
    question = studio.open_question()
    trouble = Trouble.objects.get()
    assert (trouble.count, trouble.status, trouble.decision_id) == (3, "open", question.pk)
    assert Event.objects.filter(kind="trouble.joined").count() == 2
    heal(studio)
    retry(question)
    studio.run()
    assert [studio.refreshed(bead).status for bead in beads] == [Bead.Status.CLOSED] * 3
    trouble.refresh_from_db()
    assert trouble.status == "solved"
    # Told once: a second delivery of the answer finds nobody waiting.
    signals = Signal.objects.filter(name=f"decision:{question.pk}").count()
    assert signals == 3
    assert trouble_settle(decision_id=question.pk) == 0
    bus.deliver_all(list(Event.objects.filter(subject=f"decision:{question.pk}")))
    assert Signal.objects.filter(name=f"decision:{question.pk}").count() == 3


def heal(studio: Studio) -> None:
    studio.server.switches.key = ""
    Provider.objects.update(status="pending", consecutive_failures=0, cool_until=None)
    pool.forget()


def test_what_is_dropped_is_only_the_work_that_the_question_names(open_studio: Open) -> None:
    studio, beads = locked_out(open_studio)
    question = studio.open_question()
    decision_decide(decision=question, choice="drop", decider="ann")
    studio.run()
    closed = [bead for bead in beads if studio.refreshed(bead).status == Bead.Status.CLOSED]
    assert [bead.pk for bead in closed] == [question.bead_id]
    again = studio.open_question()
    assert again.pk != question.pk
    assert Trouble.objects.get(status="open").count == 2
    heal(studio)
    retry(again)
    studio.run()
    assert all(studio.refreshed(bead).status == Bead.Status.CLOSED for bead in beads)
    assert {studio.refreshed(bead).merged_commit != "" for bead in beads} == {True, False}


def test_a_withdrawn_question_is_asked_again_by_those_who_joined_it(open_studio: Open) -> None:
    studio, _ = locked_out(open_studio, ("One", "Two"))
    question = studio.open_question()
    run_cancel(run_id=question.run_id or 0, actor="ann")
    studio.run()
    question.refresh_from_db()
    assert question.status == Decision.Status.CANCELED
    again = studio.open_question()
    assert (again.pk != question.pk, again.bead_id != question.bead_id) == (True, True)


def test_different_errors_are_different_questions(open_studio: Open) -> None:
    studio = open_studio(helpless)
    for title in ("One", "Two"):
        studio.bead(title)
    studio.run()
    assert Decision.objects.open().count() == 2, "what an agent cannot do is its bead's own question"


def test_the_same_failing_check_in_several_beads_is_one_question(open_studio: Open) -> None:
    """Main itself is red: every claim fails in the same way."""

    def model(kind: str, title: str, messages: Messages) -> Answer:
        return [write(f"{title}-{replies(messages)}.txt", "x\n"), done()]

    studio = open_studio(model)
    broken = (
        b"import unittest\n\nclass Broken(unittest.TestCase):\n    def test_env(self):\n        self.fail()\n"
    )
    studio.hub.commit_files("main", {"tests/test_env.py": broken}, "Break it", "Ann <ann@example.org>")
    beads = [studio.bead(title) for title in ("One", "Two")]
    studio.run()
    assert all(studio.refreshed(bead).status == Bead.Status.BLOCKED for bead in beads)
    assert Trouble.objects.get().count == 2
    assert Decision.objects.open().count() == 1


def test_a_report_that_is_repeated_joins_once(open_studio: Open) -> None:
    studio = open_studio(good)
    bead = studio.bead(status=Bead.Status.DEFERRED)
    run = Run.objects.create(key="x", flow="bead.work", bead_id=bead.pk)
    report = Report(project=studio.project, text="Full disk.", run_id=run.pk, origin="run:1:1", bead=bead)
    assert trouble_report(report) == trouble_report(report)
    assert (TroubleStop.objects.count(), Trouble.objects.get().count) == (1, 1)


def test_two_reports_of_one_error_at_once_open_one_question(open_studio: Open) -> None:
    studio = open_studio(good)
    runs = [Run.objects.create(key=f"x{n}", flow="bead.work") for n in range(6)]
    reports = [
        Report(
            project=studio.project, text=f"Disk full after {n} s.", run_id=run.pk, origin=f"run:{run.pk}:1"
        )
        for n, run in enumerate(runs)
    ]
    at_once(*[partial(trouble_report, report) for report in reports])
    assert (Decision.objects.count(), Trouble.objects.get().count, TroubleStop.objects.count()) == (1, 6, 6)


def test_an_answer_and_a_report_at_once_leave_nobody_waiting(open_studio: Open) -> None:
    studio = open_studio(good)
    runs = [Run.objects.create(key=f"x{n}", flow="bead.work") for n in range(5)]
    first, *others = [
        Report(project=studio.project, text="Disk full.", run_id=run.pk, origin=f"run:{run.pk}:1")
        for run in runs
    ]
    decision = Decision.objects.get(pk=trouble_report(first))
    at_once(partial(retry, decision), *[partial(trouble_report, report) for report in others])
    bus.deliver_all(list(Event.objects.filter(delivered_at=None)))
    for stop in TroubleStop.objects.all():
        told = Signal.objects.filter(run_id=stop.run_id).count()
        waits = Decision.objects.open().filter(pk=stop.trouble.decision_id).exists()
        assert told + waits == 1, stop.origin


# -- runs that failed ------------------------------------------------------------------------------


def test_a_failed_run_is_a_question_and_its_answer_revives_it(
    open_studio: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = open_studio(good)
    bead = studio.bead()
    with monkeypatch.context() as broken:
        broken.setattr("apps.workflows.bead_flow.bead_close", _explode)
        studio.run()
    run = Run.objects.get(flow="bead.work")
    assert run.status == Run.Status.FAILED
    question = studio.open_question()
    assert "boom" in question.question
    assert studio.refreshed(bead).status == Bead.Status.BLOCKED

    bus.deliver_all(list(Event.objects.filter(kind="run.failed")))
    assert Decision.objects.open().count() == 1, "told twice, asked once"
    retry(question)
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    # The old news, heard once more after all is well again.
    bus.deliver_all(list(Event.objects.filter(kind="run.failed")))
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert not Decision.objects.open().exists()


def _explode(**_: object) -> None:
    raise RuntimeError("boom")


def test_who_retries_a_failed_run_by_hand_frees_its_bead_too(
    open_studio: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = open_studio(good)
    bead = studio.bead()
    with monkeypatch.context() as broken:
        broken.setattr("apps.workflows.bead_flow.bead_close", _explode)
        studio.run()
    run = Run.objects.get(flow="bead.work")
    run_retry(run_id=run.pk, actor="ann")
    assert studio.refreshed(bead).status == Bead.Status.IN_PROGRESS
    told = Event.objects.get(kind="run.retried")
    bead_block(bead=bead, reason="It waits again.")
    Run.objects.filter(pk=run.pk).update(status=Run.Status.WAITING)
    bus.deliver_all([told])
    assert studio.refreshed(bead).status == Bead.Status.BLOCKED, "the news came late"
    Run.objects.filter(pk=run.pk).update(status=Run.Status.READY, cancel_requested=True)
    bus.deliver_all([told])
    assert studio.refreshed(bead).status == Bead.Status.BLOCKED, "it was stopped since"


def test_resuming_a_weave_takes_up_no_work_that_others_have_done_since(
    open_studio: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = open_studio(good)
    again, closed = studio.bead("Again"), studio.bead("Closed")
    with monkeypatch.context() as broken:
        broken.setattr("apps.workflows.bead_flow.BeadWalk", _explode)
        studio.run()
    bead_reopen(bead=again, actor="ann")
    studio.run()
    assert studio.refreshed(again).merged_commit
    bead_close(bead=closed, reason="Not wanted.", actor="ann")
    sessions = Session.objects.count()
    weave_resume(Wish(), studio.project)
    Run.objects.filter(flow="prd.weave").delete()
    studio.run()
    assert list(Run.objects.filter(flow="bead.work").order_by("key").values_list("key", "status")) == [
        (f"bead:{again.pk}:1", "failed"), (f"bead:{again.pk}:2", "done"), (f"bead:{closed.pk}:1", "failed"),
    ]  # fmt: skip
    assert Session.objects.count() == sessions


def test_a_failed_run_can_be_given_up(open_studio: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = open_studio(good)
    bead = studio.bead()
    with monkeypatch.context() as broken:
        broken.setattr("apps.workflows.bead_flow.bead_close", _explode)
        studio.run()
    decision_decide(decision=studio.open_question(), choice="drop", decider="ann")
    studio.run()
    assert (studio.refreshed(bead).status, Run.objects.get(flow="bead.work").status) == ("closed", "failed")

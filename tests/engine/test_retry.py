"""Retrying a failed run: on from the step it failed of, and no finished step again."""

from __future__ import annotations

from typing import Any

import pytest

from apps.core.errors import Conflict, NotFound
from apps.engine import runner
from apps.engine.children import join, join_all, start_child
from apps.engine.errors import StepFailed
from apps.engine.flow import FLOWS, Flow, step, wait_for
from apps.engine.models import Run
from apps.engine.services import run_retry, run_signal
from apps.events.models import Event
from tests.engine.flows import fresh, note, notes, run, start, steps

pytestmark = pytest.mark.django_db(transaction=True)


class Weather:
    """Something that is broken until it is mended."""

    def __init__(self) -> None:
        self.is_broken = True

    def check(self) -> str:
        if self.is_broken:
            raise ValueError("Broken.")
        return note(text="checked")


def mend_and_retry(failed: Run, weather: Weather) -> Run:
    assert failed.status == Run.Status.FAILED
    weather.is_broken = False
    run_retry(run_id=failed.pk, actor="ann")
    runner.drain()
    return fresh(failed)


def test_a_run_goes_on_from_the_step_it_failed_of(rings: list[int]) -> None:
    weather = Weather()

    def flow() -> str:
        step(note, text="before")
        return step(weather.check)

    failed = run(flow)
    rings.clear()
    done = mend_and_retry(failed, weather)
    assert rings == [failed.pk]
    assert (done.status, done.error, done.failed_seq) == (Run.Status.DONE, "", None)
    assert notes() == ["before", "checked"]
    assert Event.objects.get(kind="run.retried").actor == "ann"


def test_a_failure_the_flow_had_dealt_with_is_not_undone() -> None:
    weather = Weather()

    def flow() -> str:
        try:
            step(lambda: 1 / 0, step_name="caught")
        except StepFailed:
            step(note, text="dealt with")
        return step(weather.check)

    done = mend_and_retry(run(flow), weather)
    assert notes() == ["dealt with", "checked"]
    assert steps(done) == [("caught", "failed"), ("note", "done"), ("check", "done")]


def test_a_flow_that_failed_of_itself_repeats_nothing() -> None:
    weather = Weather()

    def flow() -> None:
        try:
            step(lambda: 1 / 0, step_name="caught")
        except StepFailed:
            step(note, text="dealt with")
            if weather.is_broken:
                raise KeyError("a mistake in the flow")  # noqa: B904 - raised while the other is handled

    done = mend_and_retry(run(flow), weather)
    assert (done.status, notes()) == (Run.Status.DONE, ["dealt with"])


def test_what_followed_the_failure_is_forgotten_and_its_signals_are_there_again() -> None:
    weather = Weather()

    def flow() -> list[Any]:
        try:
            step(weather.check)
        except StepFailed as failed:
            wait_for("help")
            raise RuntimeError("No help.") from failed
        return [wait_for("help")]

    waiting = run(flow)
    run_signal(run_id=waiting.pk, name="help", data={"n": 1})
    runner.drain()
    done = mend_and_retry(fresh(waiting), weather)
    assert done.output == [{"n": 1}]
    assert steps(done) == [("check", "done"), ("wait:help", "done")]


def test_only_a_failed_run_can_be_retried() -> None:
    with pytest.raises(Conflict, match="is done"):
        run_retry(run_id=run(lambda: None).pk)
    with pytest.raises(NotFound):
        run_retry(run_id=4711)


def test_a_run_whose_bead_has_gone_on_with_another_is_not_retried() -> None:
    first, other, second = (run(lambda: 1 / 0) for _ in range(3))
    Run.objects.filter(pk__in=[first.pk, second.pk]).update(bead_id=7, flow=first.flow)
    Run.objects.filter(pk=other.pk).update(bead_id=8, flow=first.flow)
    with pytest.raises(Conflict, match="has taken the place"):
        run_retry(run_id=first.pk)
    run_retry(run_id=other.pk)
    run_retry(run_id=second.pk)


def test_a_parent_that_failed_of_its_child_is_retried_with_it() -> None:
    weather = Weather()
    FLOWS["test.child"] = Flow(name="test.child", function=lambda: step(weather.check), version=1)
    FLOWS["test.steady"] = Flow(name="test.steady", function=lambda: step(note, text="steady"), version=1)

    def flow() -> list[Any]:
        one = start_child("test.child", key="one", input={})
        two = start_child("test.steady", key="two", input={})
        three = start_child("test.child", key="three", input={})
        return join_all([one, two, three])

    failed = run(flow)
    assert "Broken." in failed.error
    done = mend_and_retry(failed, weather)
    assert done.output == ["checked", "steady", "checked"]
    assert notes() == ["steady", "checked", "checked"]


def test_a_child_whose_failure_was_accepted_stays_failed() -> None:
    weather = Weather()
    FLOWS["test.child"] = Flow(name="test.child", function=lambda: 1 / 0, version=1)

    def flow() -> str:
        try:
            join(start_child("test.child", key="one", input={}))
        except StepFailed:
            step(note, text="accepted")
        return step(weather.check)

    done = mend_and_retry(run(flow), weather)
    assert (done.status, notes()) == (Run.Status.DONE, ["accepted", "checked"])
    assert Run.objects.get(parent=done).status == Run.Status.FAILED


def test_a_child_that_was_mended_first_is_joined_by_the_retry() -> None:
    weather = Weather()
    FLOWS["test.child"] = Flow(name="test.child", function=lambda: step(weather.check), version=1)
    failed = run(lambda: join(start_child("test.child", key="one", input={})))
    mend_and_retry(Run.objects.get(parent=failed), weather)
    assert mend_and_retry(fresh(failed), weather).output == "checked"


def test_a_retry_rings_only_once_it_is_committed(rings: list[int]) -> None:
    failed = run(lambda: 1 / 0)
    rings.clear()
    run_retry(run_id=failed.pk)
    assert rings == [failed.pk]
    assert start(lambda: None).pk == rings[-1]

"""Canceling: at the next step, with clean-up, children included."""

from __future__ import annotations

from functools import partial

import pytest

from apps.core.errors import Conflict, NotFound, Unavailable
from apps.engine import leases, runner
from apps.engine.children import join, start_child
from apps.engine.errors import Canceled
from apps.engine.flow import FLOWS, Flow, Handle, Retry, call, step, wait_for
from apps.engine.models import Run
from apps.engine.services import run_cancel
from apps.events.models import Event
from tests.engine.flows import at_once, crash, fresh, let_time_pass, note, notes, run, start, steps

pytestmark = pytest.mark.django_db(transaction=True)


def tidy() -> None:
    """Waits, and cleans up in two steps when it is canceled."""
    try:
        step(note, text="work")
        wait_for("go")
        step(note, text="more work")
    except Canceled:
        step(note, text="clean up")
        step(note, text="and close")
        raise


def test_a_waiting_run_is_woken_and_cleans_up(rings: list[int]) -> None:
    waiting = run(tidy)
    rings.clear()
    run_cancel(run_id=waiting.pk, actor="ann")
    assert rings == [waiting.pk]
    runner.drain()
    assert fresh(waiting).status == Run.Status.CANCELED
    assert notes() == ["work", "clean up", "and close"]
    kinds = list(Event.objects.filter(kind__startswith="run.").order_by("id").values_list("kind", "actor"))
    assert kinds == [("run.cancel_requested", "ann"), ("run.canceled", "")]


def test_a_running_run_stops_before_its_next_step() -> None:
    def flow() -> None:
        step(note, text="first")
        assert [type(one) for one in at_once(lambda: run_cancel(run_id=started.pk))] == [Run]
        step(note, text="second")

    started = start(flow)
    runner.advance(started.pk)
    assert (fresh(started).status, notes()) == (Run.Status.CANCELED, ["first"])


def test_a_call_under_way_is_not_torn_but_nothing_follows() -> None:
    def reach(handle: Handle) -> str:
        run_cancel(run_id=started.pk)
        return "answered"

    def flow() -> None:
        call(reach)
        call(reach, step_name="again")

    started = start(flow)
    runner.drain()
    assert fresh(started).status == Run.Status.CANCELED
    assert steps(started) == [("reach", "done")]


def test_a_call_that_waits_for_its_next_attempt_is_not_made_again() -> None:
    tries: list[int] = []

    def reach(handle: Handle) -> None:
        tries.append(handle.attempt)
        raise Unavailable("Away.")

    waiting = run(lambda: call(reach, retry=Retry(attempts=5)))
    run_cancel(run_id=waiting.pk)
    runner.drain()
    assert (fresh(waiting).status, tries) == (Run.Status.CANCELED, [1])


def test_no_except_in_a_flow_swallows_a_cancellation() -> None:
    def stubborn() -> str:
        try:
            wait_for("go")
        except Exception:  # noqa: BLE001 - that is the point
            return "went on"
        return "woke"

    waiting = run(stubborn)
    run_cancel(run_id=waiting.pk)
    runner.drain()
    assert (fresh(waiting).status, fresh(waiting).output) == (Run.Status.CANCELED, None)


def test_clean_up_goes_on_where_a_crash_left_it() -> None:
    waiting = run(tidy)
    run_cancel(run_id=waiting.pk)

    def die_in_clean_up() -> None:
        try:
            step(note, text="work")
            wait_for("go")
        except Canceled:
            step(note, text="clean up")
            crash(waiting)  # the next step is refused: another worker has the run
            step(note, text="and close")
            raise

    FLOWS[waiting.flow] = Flow(name=waiting.flow, function=die_in_clean_up, version=1)
    runner.drain()
    assert notes() == ["work", "clean up"]
    let_time_pass(waiting)
    FLOWS[waiting.flow] = Flow(name=waiting.flow, function=tidy, version=1)
    runner.drain()
    assert fresh(waiting).status == Run.Status.CANCELED
    assert notes() == ["work", "clean up", "and close"]


def test_clean_up_goes_on_in_another_worker_when_this_one_stops() -> None:
    waiting = run(tidy)
    run_cancel(run_id=waiting.pk)
    leases.stop()
    assert runner.drain() == 0
    leases.resume()
    runner.drain()
    assert notes() == ["work", "clean up", "and close"]


def test_a_run_that_nobody_took_yet_never_does_its_work() -> None:
    started = start(tidy)
    run_cancel(run_id=started.pk)
    runner.drain()
    assert (fresh(started).status, notes()) == (Run.Status.CANCELED, ["clean up", "and close"])


def test_ended_and_unknown_runs_cannot_be_canceled() -> None:
    done = run(lambda: "done")
    with pytest.raises(Conflict, match="is done already"):
        run_cancel(run_id=done.pk)
    with pytest.raises(NotFound):
        run_cancel(run_id=4711)


def family() -> Run:
    """A run that waits for a child which waits for a child of its own."""
    FLOWS["test.tidy"] = Flow(name="test.tidy", function=tidy, version=1)

    def middle() -> None:
        join(start_child("test.tidy", key="leaf", input={}))

    FLOWS["test.middle"] = Flow(name="test.middle", function=middle, version=1)
    return run(lambda: join(start_child("test.middle", key="middle", input={})))


def test_children_are_canceled_with_their_parent() -> None:
    top = family()
    run_cancel(run_id=top.pk)
    runner.drain()
    assert list(Run.objects.values_list("status", flat=True)) == [Run.Status.CANCELED] * 3
    assert notes() == ["work", "clean up", "and close"]


def test_a_child_that_ends_while_its_parent_is_canceled_blocks_nobody() -> None:
    for _ in range(5):
        top = family()
        leaf = Run.objects.get(key=f"{top.key}/middle/leaf")
        Run.objects.filter(pk=leaf.pk).update(status=Run.Status.READY)
        given = at_once(partial(run_cancel, run_id=top.pk), partial(runner.advance, leaf.pk))
        assert not [outcome for outcome in given if isinstance(outcome, BaseException)]
        runner.drain()
        assert fresh(top).status == Run.Status.CANCELED


def test_a_child_that_its_parent_starts_while_it_is_canceled_is_never_started_or_canceled_too() -> None:
    FLOWS["test.tidy"] = Flow(name="test.tidy", function=tidy, version=1)
    top = start(lambda: join(start_child("test.tidy", key="only", input={})))
    at_once(lambda: runner.advance(top.pk), lambda: run_cancel(run_id=top.pk))
    runner.drain()
    assert not Run.objects.exclude(status=Run.Status.CANCELED).exists()

"""Long-lived runs: a history ends and another begins, exactly once, and nobody who waits notices."""

from __future__ import annotations

from typing import Any

import pytest

from apps.engine import execution, leases, runner
from apps.engine.children import join, start_child
from apps.engine.errors import Canceled
from apps.engine.flow import FLOWS, Flow, Handle, call, current, flow, step, wait_for
from apps.engine.generations import continue_as_new
from apps.engine.models import Run, Signal, Step
from apps.engine.services import run_cancel, run_pause, run_resume, run_retry, run_signal
from apps.events.models import Event
from tests.engine.flows import at_once, crash, fresh, let_time_pass, note, notes, run, start, steps

pytestmark = pytest.mark.django_db(transaction=True)


def counter(total: int = 0, last: int = 3) -> int:
    """Takes one signal a generation."""
    said = wait_for("add") or {}
    total += said["n"]
    step(note, text=f"total {total}")
    if said["n"] == last:
        return total
    return continue_as_new(total=total, last=last)


def test_a_run_goes_on_as_itself_with_new_input_and_no_steps() -> None:
    waiting = run(counter)
    run_signal(run_id=waiting.pk, name="add", data={"n": 1})
    runner.drain()
    second = fresh(waiting)
    assert (second.pk, second.key, second.generation) == (waiting.pk, waiting.key, 2)
    assert (second.status, second.input) == (Run.Status.WAITING, {"total": 1, "last": 3})
    assert steps(second) == [("wait:add", "waiting")]
    assert not Signal.objects.filter(run=second).exists()
    told = Event.objects.get(kind="run.continued")
    assert told.data == {"flow": waiting.flow, "generation": 2, "steps": 2, "version": 1}


def test_signals_that_nobody_asked_for_yet_are_there_for_the_next_generations() -> None:
    waiting = run(counter)
    for n in (1, 2, 3):
        run_signal(run_id=waiting.pk, name="add", data={"n": n})
    runner.drain()
    done = fresh(waiting)
    assert (done.status, done.output, done.generation) == (Run.Status.DONE, 6, 3)
    assert notes() == ["total 1", "total 3", "total 6"]


def test_whoever_waits_for_the_run_goes_on_waiting_for_it() -> None:
    FLOWS["test.counter"] = Flow(name="test.counter", function=counter, version=1)
    parent = run(lambda: join(start_child("test.counter", key="c", input={})))
    child = Run.objects.get(parent=parent)
    for n in (1, 2):
        run_signal(run_id=child.pk, name="add", data={"n": n})
        runner.drain()
        assert fresh(parent).status == Run.Status.WAITING
    run_signal(run_id=child.pk, name="add", data={"n": 3})
    runner.drain()
    assert fresh(parent).output == 6


def test_children_of_an_earlier_generation_can_be_joined_and_new_ones_started_under_the_same_key() -> None:
    def branch(n: int) -> int:
        wait_for("go")
        return n

    FLOWS["test.branch"] = Flow(name="test.branch", function=branch, version=1)

    def flow(earlier: int = 0) -> Any:
        child = start_child("test.branch", key="branch", input={"n": 2 if earlier else 1})
        if not earlier:
            continue_as_new(earlier=child)
        return [join(earlier), join(child)]

    waiting = run(flow)
    children = Run.objects.filter(parent=waiting).order_by("pk")
    assert [one.key for one in children] == [f"{waiting.key}/branch", f"{waiting.key}#2/branch"]
    for child in children:
        run_signal(run_id=child.pk, name="go")
    runner.drain()
    assert fresh(waiting).output == [1, 2]


def test_keys_of_steps_differ_from_generation_to_generation() -> None:
    seen: list[str] = []

    def reach(handle: Handle) -> None:
        seen.append(handle.key)

    def flow(left: int = 1) -> None:
        call(reach)
        if left:
            continue_as_new(left=left - 1)

    done = run(flow)
    assert seen == [f"{done.key}:1", f"{done.key}#2:1"]


def test_the_next_generation_takes_the_newest_version_of_the_flow() -> None:
    @flow("test.grows", version=1)
    def grows() -> str:
        wait_for("go")
        continue_as_new()

    waiting = run(grows)
    Run.objects.filter(pk=waiting.pk).update(flow="test.grows")

    @flow("test.grows", version=2)
    def grown() -> str:
        return step(note, text="grown")

    run_signal(run_id=waiting.pk, name="go")
    runner.drain()
    done = fresh(waiting)
    assert (done.status, done.version, done.output) == (Run.Status.DONE, 2, "grown")


def test_a_run_that_is_canceled_does_not_begin_anew() -> None:
    def flow() -> None:
        try:
            at_once(lambda: run_cancel(run_id=started.pk))
            continue_as_new()
        except Canceled:
            step(note, text="clean up")
            continue_as_new()

    started = start(flow)
    runner.drain()
    done = fresh(started)
    assert (done.status, done.generation, notes()) == (Run.Status.CANCELED, 1, ["clean up"])


def test_a_run_that_is_paused_begins_anew_when_it_is_resumed() -> None:
    def flow(generation: int = 1) -> int:
        if generation == 1:
            if not fresh(started).pause_requested and not notes():
                step(note, text="asked")
                at_once(lambda: run_pause(run_id=started.pk))
            else:
                step(note, text="asked")
            continue_as_new(generation=2)
        return generation

    started = start(flow)
    runner.advance(started.pk)
    assert (fresh(started).status, fresh(started).generation) == (Run.Status.PAUSED, 1)
    run_resume(run_id=started.pk)
    runner.drain()
    assert (fresh(started).output, notes()) == (2, ["asked"])


def test_a_worker_that_was_presumed_dead_begins_nothing_anew() -> None:
    def flow(generation: int = 1) -> int:
        step(note, text=f"generation {generation}")
        if generation == 1:
            if notes() == ["generation 1"] and fresh(started).attempts == 1:
                crash(started)  # another worker takes it
            continue_as_new(generation=2)
        return generation

    started = start(flow)
    runner.advance(started.pk)
    assert (fresh(started).generation, Step.objects.count()) == (1, 1)
    let_time_pass(started)
    runner.drain()
    assert (fresh(started).output, notes()) == (2, ["generation 1", "generation 2"])


def test_it_is_no_step_and_not_for_steps_and_its_input_is_checked() -> None:
    assert "steps of its own" in run(lambda: step(continue_as_new)).error
    assert "JSON" in run(lambda: continue_as_new(thing=object())).error
    with pytest.raises(RuntimeError, match="only inside a flow"):
        continue_as_new()


def test_a_flow_that_asks_for_less_than_its_history_has_does_not_begin_anew() -> None:
    def longer() -> None:
        step(note, text="one")
        wait_for("go")

    waiting = run(longer)
    FLOWS[waiting.flow] = Flow(name=waiting.flow, function=continue_as_new, version=1)
    run_signal(run_id=waiting.pk, name="go")
    runner.drain()
    assert "started by other code" in fresh(waiting).error
    assert len(steps(waiting)) == 2


def test_a_retry_after_a_failure_knows_only_the_last_generation() -> None:
    def flow(generation: int = 1) -> int:
        step(note, text=f"generation {generation}")
        if generation == 1:
            continue_as_new(generation=2)
        if notes().count("mended") == 0:
            raise ValueError("Broken.")
        return generation

    failed = run(flow)
    assert failed.status == Run.Status.FAILED
    run(lambda: step(note, text="mended"))
    run_retry(run_id=failed.pk)
    runner.drain()
    assert (fresh(failed).output, notes()) == (2, ["generation 1", "generation 2", "mended"])


def test_a_worker_that_stops_leaves_the_new_generation_to_the_next() -> None:
    def flow(left: int = 1) -> int:
        step(note, text=f"left {left}")
        if left:
            leases.stop()
            continue_as_new(left=left - 1)
        return left

    waiting = run(flow)
    assert (waiting.status, waiting.generation) == (Run.Status.READY, 2)
    leases.resume()
    runner.drain()
    assert (fresh(waiting).output, notes()) == (0, ["left 1", "left 0"])


def test_a_history_that_grows_without_end_is_stopped_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(execution, "MAX_STEPS", 5)

    def endless() -> None:
        while current().seq < 50:
            step(note, text=str(current().seq))

    failed = run(endless)
    assert (failed.status, len(notes())) == (Run.Status.FAILED, 5)
    assert "5 steps" in failed.error
    assert "continue_as_new" in failed.error


def test_a_flow_that_begins_anew_in_time_has_no_such_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "MAX_STEPS", 5)

    def steady(left: int = 20) -> str:
        for _ in range(5):
            if not left:
                return "done"
            step(note, text=str(left))
            left -= 1
        return continue_as_new(left=left)

    done = run(steady)
    assert (done.output, done.generation) == ("done", 5)
    assert notes() == [str(n) for n in range(20, 0, -1)]
    assert Step.objects.filter(run=done).count() == 0

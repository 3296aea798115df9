"""Pausing: a run is set aside at its next step, holds no worker, loses nothing, and goes on when it shall."""

from __future__ import annotations

from functools import partial

import pytest
from django.utils import timezone

from apps.core.errors import Conflict, NotFound, Unavailable
from apps.engine import runner
from apps.engine.children import join, start_child
from apps.engine.errors import Canceled
from apps.engine.execution import Execution
from apps.engine.flow import FLOWS, Flow, Handle, Retry, call, sleep, step, wait_for
from apps.engine.models import Run, Signal
from apps.engine.services import run_cancel, run_pause, run_resume, run_retry, run_signal
from apps.events.models import Event
from tests.engine.flows import at_once, crash, fresh, let_time_pass, note, notes, run, start, steps

pytestmark = pytest.mark.django_db(transaction=True)


def story() -> str:
    try:
        step(note, text="first")
        said = wait_for("go", timeout=600) or {}
        step(note, text="last")
        return str(said.get("said", "nothing"))
    except Canceled:
        step(note, text="clean up")
        raise


def told() -> list[tuple[str, str]]:
    rows = Event.objects.filter(kind__regex="^run.(pause|resume)").order_by("id")
    return list(rows.values_list("kind", "actor"))


def turn() -> None:
    """All that would wake a run which is not paused."""
    runner.sweep()
    runner.drain()


def test_a_waiting_run_keeps_what_it_is_told_until_it_is_resumed(rings: list[int]) -> None:
    waiting = run(story)
    run_pause(run_id=waiting.pk, actor="ann")
    rings.clear()
    run_signal(run_id=waiting.pk, name="go", data={"said": "go"})
    turn()
    paused = fresh(waiting)
    assert (paused.status, paused.lease_owner, notes(), rings) == (Run.Status.PAUSED, "", ["first"], [])
    run_resume(run_id=waiting.pk, actor="bob")
    assert rings == [waiting.pk]
    runner.drain()
    assert (fresh(waiting).output, notes()) == ("go", ["first", "last"])
    assert told() == [("run.paused", "ann"), ("run.resumed", "bob")]


def test_a_run_that_was_told_nothing_goes_on_waiting_for_the_same(rings: list[int]) -> None:
    waiting = run(story)
    run_pause(run_id=waiting.pk)
    run_resume(run_id=waiting.pk)
    resumed = fresh(waiting)
    assert (resumed.status, resumed.waits_for) == (Run.Status.WAITING, "go")
    assert resumed.wake_at == waiting.wake_at
    run_signal(run_id=waiting.pk, name="go", data={"said": "late"})
    runner.drain()
    assert fresh(waiting).output == "late"


def test_a_timer_that_rings_meanwhile_is_kept_and_a_signal_that_came_too_wins() -> None:
    def sleeper() -> None:
        sleep(60)

    slept, limited, answered = run(sleeper), run(story), run(story)
    for one in (slept, limited, answered):
        run_pause(run_id=one.pk)
        let_time_pass(one)
    run_signal(run_id=answered.pk, name="go", data={"said": "in time"})
    turn()
    assert not Run.objects.exclude(status=Run.Status.PAUSED).exists()
    for one in (slept, limited, answered):
        run_resume(run_id=one.pk)
    runner.drain()
    assert [fresh(one).output for one in (slept, limited, answered)] == [None, "nothing", "in time"]


def test_a_run_nobody_took_yet_is_not_taken() -> None:
    started = start(story)
    run_pause(run_id=started.pk)
    turn()
    assert (fresh(started).status, notes()) == (Run.Status.PAUSED, [])
    run_resume(run_id=started.pk)
    runner.drain()
    assert notes() == ["first"]


def test_a_run_at_work_stops_before_its_next_step() -> None:
    def flow() -> None:
        step(note, text="first")
        if fresh(started).attempts == 1:
            at_once(lambda: run_pause(run_id=started.pk, actor="ann"))
        step(note, text="second")

    started = start(flow)
    runner.advance(started.pk)
    paused = fresh(started)
    assert (paused.status, paused.pause_requested, paused.lease_owner) == (Run.Status.PAUSED, False, "")
    assert notes() == ["first"]
    run_resume(run_id=started.pk)
    runner.drain()
    assert (fresh(started).status, notes()) == (Run.Status.DONE, ["first", "second"])
    assert told() == [("run.pause_requested", "ann"), ("run.paused", ""), ("run.resumed", "")]


def test_a_call_under_way_is_finished_and_kept() -> None:
    def reach(handle: Handle) -> str:
        run_pause(run_id=started.pk)
        return f"attempt {handle.attempt}"

    def flow() -> list[str]:
        return [call(reach), step(note, text="after")]

    started = start(flow)
    runner.advance(started.pk)
    assert (fresh(started).status, steps(started)) == (Run.Status.PAUSED, [("reach", "done")])
    run_resume(run_id=started.pk)
    runner.drain()
    assert fresh(started).output == ["attempt 1", "after"]


def test_a_call_that_waits_for_its_next_attempt_is_not_made_early() -> None:
    tries: list[int] = []

    def reach(handle: Handle) -> None:
        tries.append(handle.attempt)
        raise Unavailable("Away.")

    waiting = run(lambda: call(reach, retry=Retry(attempts=5, delay=100)))
    run_pause(run_id=waiting.pk)
    run_resume(run_id=waiting.pk)
    turn()
    assert (tries, fresh(waiting).wake_at) == ([1], waiting.wake_at)
    run_pause(run_id=waiting.pk)
    let_time_pass(waiting)
    turn()
    assert tries == [1]
    run_resume(run_id=waiting.pk)
    runner.drain()
    assert tries == [1, 2]


def test_a_pause_that_is_taken_back_before_the_next_step_never_happens() -> None:
    def flow() -> None:
        step(note, text="first")
        at_once(lambda: run_pause(run_id=started.pk))
        at_once(lambda: run_resume(run_id=started.pk))
        step(note, text="second")

    started = start(flow)
    runner.advance(started.pk)
    assert fresh(started).status == Run.Status.DONE


def test_a_pause_that_is_taken_back_while_the_run_stops_leaves_it_ready(rings: list[int]) -> None:
    started = start(story)
    execution = runner._claim(started.pk)
    assert isinstance(execution, Execution)
    rings.clear()
    execution.pause()
    assert (fresh(started).status, rings, told()) == (Run.Status.READY, [started.pk], [])


def test_a_paused_run_can_be_canceled_and_cleans_up() -> None:
    waiting = run(story)
    run_pause(run_id=waiting.pk)
    run_cancel(run_id=waiting.pk)
    runner.drain()
    assert (fresh(waiting).status, notes()) == (Run.Status.CANCELED, ["first", "clean up"])


def test_cancellation_wins_over_a_pause_that_was_asked_for_before() -> None:
    def flow() -> None:
        try:
            step(note, text="first")
            at_once(lambda: run_pause(run_id=started.pk))
            at_once(lambda: run_cancel(run_id=started.pk))
            step(note, text="second")
        except Canceled:
            step(note, text="clean up")
            raise

    started = start(flow)
    runner.drain()
    assert (fresh(started).status, notes()) == (Run.Status.CANCELED, ["first", "clean up"])


def test_what_makes_no_sense_is_refused() -> None:
    waiting, done = run(story), run(lambda: "done")
    with pytest.raises(Conflict, match="is not paused"):
        run_resume(run_id=waiting.pk)
    run_pause(run_id=waiting.pk)
    with pytest.raises(Conflict, match="is paused already"):
        run_pause(run_id=waiting.pk)
    run_cancel(run_id=waiting.pk)
    with pytest.raises(Conflict, match="being canceled"):
        run_pause(run_id=waiting.pk)
    for change in (run_pause, run_resume):
        with pytest.raises(Conflict, match="is done already"):
            change(run_id=done.pk)
        with pytest.raises(NotFound):
            change(run_id=4711)


def test_a_worker_that_dies_on_the_way_to_the_pause_loses_nothing() -> None:
    waiting = run(story)
    run_signal(run_id=waiting.pk, name="go")
    crash(waiting)
    run_pause(run_id=waiting.pk)
    assert fresh(waiting).pause_requested
    let_time_pass(waiting)
    turn()
    assert (fresh(waiting).status, notes()) == (Run.Status.PAUSED, ["first"])
    run_resume(run_id=waiting.pk)
    runner.drain()
    assert notes() == ["first", "last"]


def test_a_run_that_ends_before_it_could_pause_is_not_paused_by_its_retry() -> None:
    def flow() -> None:
        if not notes():
            at_once(lambda: run_pause(run_id=started.pk))
            at_once(note_alone)
            raise ValueError("A mistake.")
        step(note, text="mended")

    started = start(flow)
    runner.advance(started.pk)
    assert fresh(started).status == Run.Status.FAILED
    run_retry(run_id=started.pk)
    runner.drain()
    assert fresh(started).status == Run.Status.DONE


def note_alone() -> None:
    Event.objects.create(kind="test.note", subject="broken", created_at=timezone.now())


def test_children_are_paused_and_resumed_with_their_parent() -> None:
    FLOWS["test.story"] = Flow(name="test.story", function=story, version=1)
    waiting = run(lambda: join(start_child("test.story", key="c", input={})))
    child = Run.objects.get(parent=waiting)
    run_pause(run_id=waiting.pk)
    assert fresh(child).status == Run.Status.PAUSED
    run_signal(run_id=child.pk, name="go", data={"said": "go"})
    turn()
    assert notes() == ["first"]
    run_resume(run_id=waiting.pk)
    runner.drain()
    assert fresh(waiting).output == "go"


def test_a_child_that_ends_while_its_parent_is_paused_is_joined_afterwards() -> None:
    FLOWS["test.story"] = Flow(name="test.story", function=story, version=1)
    waiting = run(lambda: join(start_child("test.story", key="c", input={})))
    child = Run.objects.get(parent=waiting)
    run_pause(run_id=waiting.pk)
    run_resume(run_id=child.pk)
    run_signal(run_id=child.pk, name="go", data={"said": "go"})
    turn()
    assert (fresh(child).status, fresh(waiting).status) == (Run.Status.DONE, Run.Status.PAUSED)
    assert Signal.objects.filter(run=waiting, consumed_at=None).exists()
    run_resume(run_id=waiting.pk)
    runner.drain()
    assert fresh(waiting).output == "go"


def test_pauses_that_meet_a_working_run_lose_and_repeat_nothing() -> None:
    for number in range(6):

        def flow(number: int) -> None:
            for turn_number in range(4):
                step(note, text=f"{number}.{turn_number}")

        started = start(flow, number=number)
        given = at_once(partial(runner.advance, started.pk), partial(run_pause, run_id=started.pk))
        assert not [one for one in given if isinstance(one, BaseException) and not isinstance(one, Conflict)]
        if fresh(started).status == Run.Status.PAUSED:
            run_resume(run_id=started.pk)
        runner.drain()
        assert fresh(started).status == Run.Status.DONE
        assert notes()[-4:] == [f"{number}.{turn_number}" for turn_number in range(4)]
        assert len(notes()) == 4 * (number + 1)


def test_a_signal_that_meets_a_resume_always_wakes_the_run() -> None:
    for _ in range(6):
        waiting = run(story)
        run_pause(run_id=waiting.pk)
        at_once(
            partial(run_resume, run_id=waiting.pk),
            partial(run_signal, run_id=waiting.pk, name="go", data={"said": "go"}),
        )
        assert fresh(waiting).status == Run.Status.READY
        runner.drain()
        assert fresh(waiting).output == "go"

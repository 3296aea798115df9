"""Waiting: signals before, during and after, time, and wake-ups that nobody may lose."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.core.errors import NotFound
from apps.engine import runner
from apps.engine.flow import sleep, sleep_until, step, wait_for
from apps.engine.models import Run, Signal
from apps.engine.services import run_signal
from tests.engine.flows import at_once, fresh, let_time_pass, note, notes, run, start, steps

pytestmark = pytest.mark.django_db(transaction=True)


def one_answer() -> Any:
    return wait_for("answer")


def answer_within_a_minute() -> Any:
    return wait_for("answer", timeout=60)


def test_waiting_costs_no_worker() -> None:
    waiting = run(one_answer)
    assert (waiting.status, waiting.waits_for, waiting.wake_at) == (Run.Status.WAITING, "answer", None)
    assert (waiting.lease_owner, waiting.lease_until) == ("", None)


def test_a_signal_that_came_before_is_taken_at_once() -> None:
    started = start(one_answer)
    run_signal(run_id=started.pk, name="answer", data={"choice": "blue"})
    assert runner.drain() == 1
    assert fresh(started).output == {"choice": "blue"}


def test_a_signal_wakes_the_run_that_waits_for_it(rings: list[int]) -> None:
    waiting = run(one_answer)
    rings.clear()
    run_signal(run_id=waiting.pk, name="answer", data={"choice": "blue"})
    assert rings == [waiting.pk]
    assert fresh(waiting).status == Run.Status.READY
    runner.drain()
    assert fresh(waiting).output == {"choice": "blue"}


def test_a_signal_wakes_nobody_before_it_is_committed(rings: list[int]) -> None:
    waiting = run(one_answer)
    rings.clear()
    with transaction.atomic():
        run_signal(run_id=waiting.pk, name="answer")
        assert rings == []
    assert rings == [waiting.pk]


def test_a_signal_of_another_name_waits_for_whoever_asks_for_it(rings: list[int]) -> None:
    def flow() -> list[Any]:
        return [wait_for("first"), wait_for("second")]

    waiting = run(flow)
    rings.clear()
    run_signal(run_id=waiting.pk, name="second", data={"n": 2})
    assert rings == []
    run_signal(run_id=waiting.pk, name="first", data={"n": 1})
    runner.drain()
    assert fresh(waiting).output == [{"n": 1}, {"n": 2}]


def test_a_signal_after_the_end_disturbs_nothing() -> None:
    done = run(lambda: "done")
    run_signal(run_id=done.pk, name="answer")
    assert runner.drain() == 0
    assert fresh(done).status == Run.Status.DONE


def test_two_waits_for_one_name_take_two_signals_in_order() -> None:
    def flow() -> list[Any]:
        return [wait_for("answer"), wait_for("answer")]

    waiting = run(flow)
    run_signal(run_id=waiting.pk, name="answer", data={"n": 1})
    runner.drain()
    assert fresh(waiting).status == Run.Status.WAITING
    run_signal(run_id=waiting.pk, name="answer", data={"n": 2})
    runner.drain()
    assert fresh(waiting).output == [{"n": 1}, {"n": 2}]
    assert list(Signal.objects.order_by("id").values_list("consumed_seq", flat=True)) == [1, 2]


def test_a_signal_without_data_is_an_answer_too() -> None:
    waiting = run(answer_within_a_minute)
    run_signal(run_id=waiting.pk, name="answer")
    runner.drain()
    assert fresh(waiting).output == {}


def test_a_wait_ends_with_nothing_when_its_time_is_over() -> None:
    waiting = run(answer_within_a_minute)
    assert waiting.wake_at is not None
    assert timedelta(seconds=55) < waiting.wake_at - timezone.now() <= timedelta(seconds=60)
    assert runner.drain() == 0
    let_time_pass(waiting)
    runner.drain()
    assert (fresh(waiting).status, fresh(waiting).output) == (Run.Status.DONE, None)


def test_a_wait_keeps_its_deadline_when_it_is_taken_up_again() -> None:
    waiting = run(answer_within_a_minute)
    Run.objects.filter(pk=waiting.pk).update(status=Run.Status.READY, wake_at=None, waits_for="")
    runner.drain()
    assert fresh(waiting).wake_at == waiting.wake_at
    assert fresh(waiting).waits_for == "answer"


def test_a_late_signal_beats_the_deadline_if_it_is_there_when_the_run_looks() -> None:
    waiting = run(answer_within_a_minute)
    let_time_pass(waiting)
    run_signal(run_id=waiting.pk, name="answer", data={"late": True})
    runner.drain()
    assert fresh(waiting).output == {"late": True}


@pytest.mark.parametrize("timeout", [0, -5])
def test_a_wait_without_time_only_looks(timeout: float) -> None:
    assert run(lambda: wait_for("answer", timeout=timeout)).status == Run.Status.DONE


def test_a_signal_to_nobody_is_refused() -> None:
    with pytest.raises(NotFound, match="no run 4711"):
        run_signal(run_id=4711, name="answer")


def test_a_sleeping_run_wakes_when_it_is_time_and_not_before() -> None:
    def flow() -> None:
        sleep(300)
        step(note, text="awake")
        sleep_until(timezone.now() - timedelta(days=1))
        step(note, text="still awake")

    waiting = run(flow)
    assert runner.sweep() == 0
    assert notes() == []
    let_time_pass(waiting)
    assert runner.sweep() == 1
    runner.drain()
    assert notes() == ["awake", "still awake"]
    assert [name for name, _ in steps(waiting)] == ["wait:timer:1", "note", "wait:timer:3", "note"]


def test_a_wake_up_that_a_crash_swallowed_is_found_by_the_sweep(rings: list[int]) -> None:
    waiting = run(one_answer)
    other = run(one_answer)
    Signal.objects.create(run=waiting, name="answer", data={"choice": "blue"})
    Signal.objects.create(run=other, name="something else")
    rings.clear()
    assert runner.sweep() == 1
    assert rings == [waiting.pk]
    runner.drain()
    assert fresh(waiting).output == {"choice": "blue"}
    assert runner.sweep() == 0


@pytest.mark.parametrize("round_number", range(8))
def test_a_signal_sent_while_the_run_goes_to_sleep_is_not_lost(round_number: int) -> None:
    started = start(one_answer)
    given = at_once(
        lambda: runner.advance(started.pk),
        lambda: run_signal(run_id=started.pk, name="answer", data={"round": round_number}),
    )
    assert not [outcome for outcome in given if isinstance(outcome, BaseException)]
    runner.drain()
    assert fresh(started).output == {"round": round_number}


def test_two_runs_that_signal_each_other_from_their_steps_do_not_lock_each_other_out() -> None:
    def flow(mine: str) -> Any:
        def tell() -> None:
            other = Run.objects.exclude(input={"mine": mine}).get()
            run_signal(run_id=other.pk, name="hello", data={"from": mine})

        for _ in range(5):
            step(tell)
        return [wait_for("hello") for _ in range(5)][-1]

    left, right = start(flow, mine="left"), start(flow, mine="right")
    given = at_once(lambda: runner.advance(left.pk), lambda: runner.advance(right.pk))
    assert given == [True, True]
    runner.drain()
    assert fresh(left).output == {"from": "right"}
    assert fresh(right).output == {"from": "left"}


def test_a_run_that_somebody_has_locked_can_still_be_told_something() -> None:
    if not connection.features.has_select_for_no_key_update:
        pytest.skip("SQLite locks the whole database")
    waiting = run(one_answer)
    with transaction.atomic():
        list(Run.objects.locked().filter(pk=waiting.pk))
        given = at_once(lambda: Signal.objects.create(run_id=waiting.pk, name="answer").name)
    assert given == ["answer"]

"""The sweep: what should be running and is not is rung for again, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.engine import runner, tasks
from apps.engine.flow import sleep, step
from apps.engine.models import Run
from tests.engine.flows import at_once, crash, fresh, let_time_pass, note, run, start

pytestmark = pytest.mark.django_db(transaction=True)


def nothing() -> None:
    return None


def test_a_run_that_was_just_rung_for_is_left_in_peace(rings: list[int]) -> None:
    started = start(nothing)
    assert rings == [started.pk]
    assert runner.sweep() == 0


def test_a_lost_ring_is_repeated(rings: list[int]) -> None:
    started = start(nothing)
    rings.clear()
    let_time_pass(started, seconds=6)
    assert runner.sweep() == 1
    assert rings == [started.pk]


def test_a_run_that_waits_for_a_busy_worker_is_rung_for_less_and_less(rings: list[int]) -> None:
    started = start(nothing)
    rings.clear()
    for _ in range(200):  # ten minutes of sweeps
        let_time_pass(started, seconds=3)
        runner.sweep()
    assert 8 <= len(rings) <= 16
    runner.drain()
    assert fresh(started).status == Run.Status.DONE


def test_runs_rung_for_lately_do_not_hide_the_forgotten_ones(rings: list[int]) -> None:
    recent = [start(nothing) for _ in range(3)]
    forgotten = start(nothing)
    let_time_pass(forgotten, seconds=60)
    rings.clear()
    assert runner.sweep(limit=2) == 1
    assert rings == [forgotten.pk]
    assert len(recent) == 3


def test_a_sweep_never_runs_anything() -> None:
    started = start(lambda: note(text="ran"))
    let_time_pass(started)
    runner.sweep()
    assert fresh(started).attempts == 0


def test_ended_and_sleeping_runs_are_none_of_its_business() -> None:
    run(nothing)
    run(lambda: sleep(3600))
    assert runner.sweep() == 0


def test_two_sweeps_at_once_ring_once(rings: list[int]) -> None:
    started = [start(nothing) for _ in range(10)]
    for one in started:
        crash(one)
        let_time_pass(one)
    rings.clear()
    assert sum(at_once(runner.sweep, runner.sweep)) == 10
    assert sorted(rings) == sorted(one.pk for one in started)


def test_a_run_whose_step_is_committing_is_not_taken_for_dead() -> None:
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("SQLite locks the whole database")
    busy = start(nothing)
    crash(busy)
    let_time_pass(busy)
    with transaction.atomic():
        list(Run.objects.locked().filter(pk=busy.pk))
        assert at_once(runner.sweep) == [0]
    assert runner.sweep() == 1


def test_a_sweep_with_nothing_to_do_is_cheap() -> None:
    run(nothing)
    with CaptureQueriesContext(connection) as said:
        runner.sweep()
    assert len([query for query in said if query["sql"].startswith("SELECT")]) <= 6


def test_celery_only_carries_hints() -> None:
    started = start(nothing)
    tasks.advance(started.pk)
    tasks.advance(started.pk)
    tasks.advance(4711)
    assert (fresh(started).status, fresh(started).attempts) == (Run.Status.DONE, 1)
    crash(other := start(nothing))
    Run.objects.filter(pk=other.pk).update(lease_until=timezone.now() - timedelta(hours=1))
    tasks.sweep()
    assert fresh(other).status == Run.Status.READY


def test_a_drain_says_when_it_goes_in_circles() -> None:
    def again(number: int) -> None:
        step(lambda: start(again, number=number + 1).pk, step_name="again")

    start(again, number=1)
    with pytest.raises(RuntimeError, match="still due after 5"):
        runner.drain(limit=5)

"""A worker's crew: how many runs at once, in which order, and how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery import current_app
from celery.worker import strategy
from django.conf import settings

from apps.core.broker import broker_url
from apps.engine import leases, pacing, runner, tasks
from apps.engine.crew import Crew
from apps.engine.flow import Handle, call, step
from apps.engine.models import Run
from apps.engine.pacing import Lanes, outside, paced
from tests.engine.flows import fresh, start

pytestmark = pytest.mark.django_db(transaction=True)

SECONDS = 10.0


class Stage:
    """What runs of these tests go through: they arrive outside, and stay there until they may leave."""

    def __init__(self) -> None:
        self.outside: list[int] = []
        self.says_so = False  # whether who waits leaves its lane
        self.leave = threading.Event()


stage = Stage()


@pytest.fixture(autouse=True)
def new_stage() -> Iterator[None]:
    global stage  # noqa: PLW0603 - flows are plain functions
    stage = Stage()
    yield
    stage.leave.set()


@pytest.fixture
def crew() -> Iterator[Callable[[int], Crew]]:
    made: list[Crew] = []

    def muster(size: int) -> Crew:
        made.append(Crew(size))
        return made[-1]

    yield muster
    stage.leave.set()
    for one in made:
        one.stop()


def visit(number: int) -> int:
    return int(call(go_outside, number=number))


def go_outside(handle: Handle, number: int) -> int:
    stage.outside.append(number)
    with pacing.outside() if stage.says_so else nullcontext():
        stage.leave.wait(SECONDS)
    return number


def walk(steps: int) -> int:
    return sum(step(one_more) for _ in range(steps))


def one_more() -> int:
    stage.outside.append(0)
    time.sleep(0.01)
    return 1


def visits(count: int) -> list[Run]:
    return [start(visit, number=number) for number in range(count)]


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def all_done(runs: list[Run]) -> bool:
    return all(fresh(run).status == Run.Status.DONE for run in runs)


def test_runs_wait_outside_at_the_same_time(crew: Callable[[int], Crew]) -> None:
    runs = visits(4)

    crew(4).take([run.pk for run in runs])

    until(lambda: len(stage.outside) == 4)
    stage.leave.set()
    until(lambda: all_done(runs))


def test_more_runs_than_threads_go_on_when_others_have_ended(crew: Callable[[int], Crew]) -> None:
    runs = visits(3)

    crew(2).take([run.pk for run in runs])

    until(lambda: len(stage.outside) == 2)
    assert fresh(runs[2]).status == Run.Status.READY
    stage.leave.set()
    until(lambda: all_done(runs))


def test_a_run_rung_for_often_is_advanced_once(crew: Callable[[int], Crew]) -> None:
    (run,) = visits(1)
    stage.leave.set()

    crew(3).take([run.pk] * 5)

    until(lambda: all_done([run]))
    assert stage.outside == [0]
    assert fresh(run).attempts == 1


def test_runs_get_under_way_in_the_order_of_their_rings(
    crew: Callable[[int], Crew], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "LANES", 1)
    monkeypatch.setattr(pacing, "PATIENCE_S", 30.0)  # on a busy machine a thread may get no time for long
    stage.says_so = True
    runs = visits(8)

    crew(8).take([run.pk for run in reversed(runs)])

    until(lambda: len(stage.outside) == 8)
    assert stage.outside == list(reversed(range(8)))


def test_a_run_that_does_not_exist_stops_nobody(crew: Callable[[int], Crew]) -> None:
    runs = visits(1)
    stage.leave.set()

    crew(1).take([4711, runs[0].pk])

    until(lambda: all_done(runs))


def test_what_finds_no_thread_here_is_told_to_all_workers(crew: Callable[[int], Crew]) -> None:
    broker = redis.Redis.from_url(broker_url(settings.LOOM_DATA_DIR))
    broker.delete("celery:rings")
    runs = visits(3)
    full = crew(2)

    full.ring([run.pk for run in runs])

    until(lambda: len(stage.outside) == 2)
    assert broker.llen("celery:rings") == 1
    assert full._waiting == type(full._waiting)()
    broker.delete("celery:rings")


def test_a_crew_that_stops_hands_over_what_it_has_in_hand(crew: Callable[[int], Crew]) -> None:
    run = start(walk, steps=500)
    one = crew(1)
    one.take([run.pk])
    until(lambda: len(stage.outside) >= 3)

    leases.stop()
    one.stop()

    handed = fresh(run)
    assert handed.status == Run.Status.READY
    assert not handed.lease_owner
    assert 3 <= handed.steps.count() < 500
    assert not one.is_here()


def test_without_a_crew_a_message_is_worked_on_where_it_came() -> None:
    runs = visits(2)
    stage.leave.set()

    tasks.advance(*[run.pk for run in runs])

    assert all_done(runs)


def test_the_crew_is_told_by_who_hears_a_message(
    crew: Callable[[int], Crew], monkeypatch: pytest.MonkeyPatch
) -> None:
    ordinary: list[Any] = []
    acked: list[object] = []
    monkeypatch.setattr(strategy, "default", lambda *_: lambda message, *_: ordinary.append(message))
    assert current_app.tasks["engine.advance"].Strategy == "apps.engine.tasks:hear"
    handle = tasks.hear(tasks.advance, None, SimpleNamespace(connection_errors=(OSError,)))
    runs = visits(2)
    ids = [run.pk for run in runs]
    stage.leave.set()

    def hear(payload: Any, eta: str | None = None) -> None:
        message = SimpleNamespace(payload=payload, headers={"eta": eta})
        handle(message, None, lambda *said: acked.append(said), lambda *_: None, [])

    hear([ids, {}, {}])
    assert len(ordinary) == 1, "there is no crew"
    monkeypatch.setattr(tasks, "_crew", crew(2))
    odds: list[Any] = [[["x"], {}, {}], [ids, {"a": 1}, {}], [[], {}, {}], {"args": ids}]
    for odd in odds:
        hear(odd)
    hear([ids, {}, {}], eta="2030-01-01T00:00:00")
    assert len(ordinary) == 6
    hear([ids, {}, {}])
    until(lambda: all_done(runs))
    assert (len(ordinary), acked) == (6, []), "nobody asks the broker in vain"


def test_a_lane_is_free_while_its_thread_is_outside() -> None:
    lanes = Lanes(size=1)

    with paced(lanes):
        assert lanes.free() == 0
        with outside():
            assert lanes.free() == 1
        assert lanes.free() == 0
    assert lanes.free() == 1


def test_who_comes_back_waits_behind_those_who_came_before() -> None:
    lanes, came = Lanes(size=1), list[int]()
    lanes.enter()
    visitors = [threading.Thread(target=_visit, args=(lanes, number, came)) for number in range(4)]

    for number, visitor in enumerate(visitors):
        visitor.start()
        until(lambda number=number: len(lanes._queue) == number + 1)  # type: ignore[misc]
    lanes.leave()
    for visitor in visitors:
        visitor.join()

    assert came == [0, 1, 2, 3]


def _visit(lanes: Lanes, number: int, came: list[int]) -> None:
    with paced(lanes):
        came.append(number)


def test_who_waits_without_saying_so_holds_up_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "PATIENCE_S", 0.02)
    lanes = Lanes(size=1)
    lanes.enter()
    assert lanes.free() == 0

    with paced(lanes):  # comes in although nobody has left
        assert lanes.free() == 0


def test_outside_of_a_crew_there_is_no_pacing() -> None:
    with outside():
        pass


def test_runs_that_come_together_are_claimed_together_as_far_as_there_are_threads(
    crew: Callable[[int], Crew], monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed: list[int] = []
    monkeypatch.setattr(runner, "claim_all", noting(claimed, runner.claim_all))
    monkeypatch.setattr(pacing, "LANES", 1)
    stage.says_so = True
    runs = visits(7)
    some = crew(5)

    with some._changed:  # so that no thread looks before all have come
        some._waiting.extend(run.pk for run in runs)
        some._changed.notify_all()

    until(lambda: len(stage.outside) == 5)
    assert claimed == [5]
    assert [fresh(run).status for run in runs[5:]] == [Run.Status.READY] * 2
    stage.leave.set()
    until(lambda: all_done(runs))
    assert {fresh(run).attempts for run in runs} == {1}


def test_what_others_held_when_it_was_to_be_claimed_is_tried_again(
    crew: Callable[[int], Crew], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    claim_all = runner.claim_all

    def claim_one(run_ids: list[int]) -> Any:
        asked.append(len(run_ids))
        return claim_all(run_ids[:1])

    monkeypatch.setattr(runner, "claim_all", claim_one)
    runs = visits(3)
    some = crew(3)
    with some._changed:
        some._waiting.extend(run.pk for run in runs)
        some._changed.notify_all()
    stage.leave.set()
    until(lambda: all_done(runs))
    assert sum(asked) >= 3
    with some._changed:
        assert some._busy <= 3


def noting(sizes: list[int], function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def noted(run_ids: list[int]) -> Any:
        sizes.append(len(run_ids))
        return function(run_ids)

    return noted


def test_who_stops_hands_over_what_was_claimed_and_not_begun(crew: Callable[[int], Crew]) -> None:
    runs = visits(3)
    one = crew(3)
    held = [one._lanes, Lanes(size=1)]
    one._lanes = held[1]
    with paced(held[1]):  # nobody works meanwhile
        executions = runner.claim_all([run.pk for run in runs])
        with one._changed:
            one._busy += len(executions)
            one._claimed.extend(executions)
            one._changed.notify_all()
        leases.stop()

    one.stop()

    assert {fresh(run).status for run in runs} == {Run.Status.READY}
    assert stage.outside == []
    assert not leases._held

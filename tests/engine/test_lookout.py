"""Runs whose rings were lost: a worker with free hands finds them by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.core.process import place
from apps.engine import doorbell, leases, lookout
from apps.engine.crew import Crew
from apps.engine.flow import step, wait_for
from apps.engine.lookout import Lookout, forgotten
from apps.engine.models import Run
from tests.engine.flows import crash, fresh, let_time_pass, note, notes, run, start

pytestmark = pytest.mark.django_db(transaction=True)


def noting() -> str:
    return step(note, text="done")


def asleep() -> None:
    wait_for("never", timeout=60)


def test_only_what_nobody_took_up_in_time_is_forgotten() -> None:
    sleeper, later = run(asleep), run(asleep)
    fresh_one, silent, dead = start(noting), start(noting), start(noting)
    let_time_pass(silent)
    # However long the sweep means to wait before it rings again.
    Run.objects.filter(pk=silent.pk).update(wake_at=timezone.now() + timedelta(minutes=1))
    crash(dead)
    assert forgotten(10) == [silent.pk]
    for one in (dead, sleeper):
        let_time_pass(one)
    assert forgotten(10) == [sleeper.pk, silent.pk, dead.pk]
    assert forgotten(2) == [sleeper.pk, silent.pk]
    assert not {fresh_one.pk, later.pk} & set(forgotten(10))


def watched(size: int, condition: Callable[[], bool]) -> bool:
    """Whether it comes true while a lookout watches for a crew of that size."""
    crew = Crew(size)
    one = Lookout(crew)
    try:
        deadline = time.monotonic() + 5.0
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.02)
        return condition()
    finally:
        one.stop()
        crew.stop()


def test_a_run_whose_ring_was_lost_is_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "LOOK_EVERY_S", 0.05)
    started = start(noting)
    let_time_pass(started)
    assert watched(1, lambda: fresh(started).status == Run.Status.DONE)
    assert notes() == ["done"]


def test_what_a_dead_worker_of_this_machine_held_is_taken_up_before_its_lease_runs_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lookout, "LOOK_EVERY_S", 0.05)
    doorbell.use(None)  # rings go to the broker, and nobody listens there
    started = start(noting)
    crash(started, owner=f"{place()}:1:0")  # pid 1 lives, but began at another time
    assert watched(1, lambda: fresh(started).status == Run.Status.READY)
    let_time_pass(started)
    assert watched(1, lambda: fresh(started).status == Run.Status.DONE)


def test_a_crew_without_room_is_given_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "LOOK_EVERY_S", 0.02)
    looked, busy = threading.Event(), threading.Event()

    def look(_: int) -> list[int]:
        looked.set()
        return []

    monkeypatch.setattr(lookout, "forgotten", look)

    def working() -> None:
        busy.set()
        assert not looked.wait(0.3)

    crew = Crew(1)
    crew.take([start(working).pk])
    assert busy.wait(5)
    looked.clear()
    one = Lookout(crew)
    crew.stop()
    assert looked.wait(5), "its hands are free again"
    one.stop()


def test_a_worker_that_stops_looks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "LOOK_EVERY_S", 0.02)
    leases.stop()
    started = start(noting)
    let_time_pass(started)
    crew = Crew(1)
    one = Lookout(crew)
    time.sleep(0.2)
    one.stop()
    leases.resume()
    crew.stop()
    assert fresh(started).status == Run.Status.READY

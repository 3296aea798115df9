"""Leases and fences: one worker at a time, and nothing written by one that lost its run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.core.process import place
from apps.engine import leases, runner
from apps.engine.flow import FLOWS, Handle, call, joins, step, wait_for
from apps.engine.models import Run
from tests.core.processes import wait_until
from tests.engine.flows import (
    PATIENCE_S,
    at_once,
    crash,
    fresh,
    let_time_pass,
    note,
    notes,
    run,
    start,
    steps,
)

pytestmark = pytest.mark.django_db(transaction=True)


def lose(run: Run) -> None:
    """Another worker takes the run over, as after a lease that ran out."""
    crash(run)


def test_of_many_workers_one_gets_the_run() -> None:
    started = start(lambda: step(note, text="once"))
    given = at_once(*[lambda: runner.advance(started.pk)] * 6)
    assert sorted(given) == [False] * 5 + [True]
    assert notes() == ["once"]


def test_a_run_that_somebody_holds_is_left_alone() -> None:
    started = start(lambda: step(note, text="mine"))
    crash(started, owner=leases.owner())
    Run.objects.filter(pk=started.pk).update(lease_until=timezone.now() + leases.LEASE)
    assert runner.advance(started.pk) is False
    assert runner.sweep() == 0
    assert runner.drain() == 0


def test_a_worker_that_lost_its_run_writes_nothing_more() -> None:
    def flow() -> None:
        step(note, text="first")
        lose(started)
        step(note, text="too late")

    started = start(flow)
    assert runner.advance(started.pk) is True
    assert notes() == ["first"]
    assert steps(started) == [("note", "done")]
    assert fresh(started).lease_owner == "elsewhere:1:1"


def test_a_call_of_a_worker_that_lost_its_run_is_not_recorded() -> None:
    def flow() -> None:
        call(lambda handle: lose(started), step_name="reach")

    started = start(flow)
    runner.advance(started.pk)
    assert steps(started) == [("reach", "running")]


def test_what_joins_a_step_of_a_lost_run_is_rolled_back() -> None:
    @joins
    def reach(handle: Handle) -> None:
        with transaction.atomic():
            handle.begin()
        lose(started)
        with transaction.atomic():
            note(text="never")
            handle.finish("never")

    started = start(lambda: call(reach))
    runner.advance(started.pk)
    assert (notes(), steps(started)) == ([], [("reach", "running")])


def test_a_lost_run_does_not_go_to_sleep_or_end_by_its_old_worker() -> None:
    def waits() -> None:
        lose(first)
        wait_for("go")

    def ends() -> str:
        lose(second)
        return "stale"

    first, second = start(waits), start(ends)
    runner.advance(first.pk)
    runner.advance(second.pk)
    assert [fresh(one).status for one in (first, second)] == [Run.Status.RUNNING] * 2
    assert fresh(second).output is None


def test_a_failure_of_a_worker_that_lost_its_run_does_not_count() -> None:
    def flow() -> None:
        lose(started)
        raise ValueError("stale")

    started = start(flow)
    runner.advance(started.pk)
    assert (fresh(started).status, fresh(started).error) == (Run.Status.RUNNING, "")


def test_a_run_whose_lease_ran_out_goes_on_elsewhere(rings: list[int]) -> None:
    started = start(lambda: step(note, text="taken over"))
    crash(started)
    rings.clear()
    let_time_pass(started)
    assert runner.sweep() == 1
    assert rings == [started.pk]
    runner.drain()
    assert notes() == ["taken over"]
    assert fresh(started).attempts == 2


def test_a_worker_of_this_host_that_died_is_noticed_at_once(rings: list[int]) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    living = f"{place()}:{child.pid}:{leases._started(child.pid)}"
    started = start(lambda: step(note, text="taken over"))
    crash(started, owner=living)
    Run.objects.filter(pk=started.pk).update(lease_until=timezone.now() + timedelta(hours=1))
    rings.clear()
    assert runner.sweep() == 0
    child.kill()
    child.communicate()
    assert runner.sweep() == 1
    assert rings == [started.pk]


WITHOUT_ITS_FIRST_THREAD = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print("up", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no procfs here")
def test_an_owner_that_is_dying_is_not_dead_before_its_last_thread_is() -> None:
    """Commands that it started go on until then, in the files that who takes over would restore."""
    started = [sys.executable, "-c", WITHOUT_ITS_FIRST_THREAD]
    with subprocess.Popen(started, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        stat = Path(f"/proc/{child.pid}/stat")
        name = f"{place()}:{child.pid}:{leases._started(child.pid)}"
        wait_until(
            lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z", what="the first thread ends"
        )
        assert not leases.owner_is_dead(name)
        child.kill()
        wait_until(lambda: leases.owner_is_dead(name), what="all of it ends")


def test_an_owner_is_dead_only_if_that_is_certain() -> None:
    here, me = place(), os.getpid()
    assert not leases.owner_is_dead(leases.owner())
    assert leases.owner_is_dead(f"{here}:{me}:1"), "the pid was given to another process"
    assert leases.owner_is_dead(f"{here}:{2**22 + 1}:1"), "no process has that pid"
    assert not leases.owner_is_dead(f"elsewhere:{me}:1"), "another host's processes are not known here"
    assert not leases.owner_is_dead(""), "nobody"


def test_a_process_that_ended_but_was_not_reaped_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = f"{place()}:{child.pid}:{leases._started(child.pid)}"
    assert child.stdin is not None
    child.stdin.close()  # now it ends
    deadline = time.monotonic() + PATIENCE_S
    while not leases.owner_is_dead(name) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert leases.owner_is_dead(name)
    child.wait()


def test_the_heartbeat_prolongs_the_lease_of_a_long_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_EVERY_S", 0.05)
    monkeypatch.setattr(leases, "_thread", None)
    seen: list[bool] = []

    def long_call(handle: Handle) -> None:
        first = fresh(started).lease_until
        assert first is not None
        deadline = time.monotonic() + PATIENCE_S
        while fresh(started).lease_until == first and time.monotonic() < deadline:
            time.sleep(0.02)
        seen.append((fresh(started).lease_until or first) > first)

    started = start(lambda: call(long_call))
    runner.advance(started.pk)
    assert seen == [True]
    assert fresh(started).lease_until is None


def test_only_leases_that_are_still_ours_are_prolonged() -> None:
    ours, lost = start(lambda: None), start(lambda: None)
    crash(ours)
    crash(lost)
    held = [(ours.pk, fresh(ours).fence), (lost.pk, fresh(lost).fence - 1)]
    before = fresh(lost).lease_until
    assert leases.renew(held) == 1
    assert (fresh(ours).lease_until or timezone.now()) > timezone.now() + timedelta(seconds=20)
    assert fresh(lost).lease_until == before


def test_the_heartbeat_does_not_wait_for_a_step_that_holds_its_run() -> None:
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("SQLite locks the whole database")
    busy, free = start(lambda: None), start(lambda: None)
    crash(busy)
    crash(free)
    held = [(one.pk, fresh(one).fence) for one in (busy, free)]
    with transaction.atomic():
        list(Run.objects.locked().filter(pk=busy.pk))
        assert at_once(lambda: leases.renew(held)) == [1]


def test_a_run_that_this_process_lost_and_took_again_keeps_its_new_lease() -> None:
    with leases.held(7, 1):
        with leases.held(7, 2):
            pass
        assert leases._held == {(7, 1)}
    assert leases._held == set()


def test_a_forked_child_holds_nothing_and_is_somebody_else() -> None:
    parent = leases.owner()
    with leases.held(7, 1):
        pid = os.fork()
        if pid == 0:
            clean = not leases._held and leases._thread is None and leases.owner() != parent
            os._exit(0 if clean else 1)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_worker_told_to_stop_ends_the_step_in_hand_and_hands_over(rings: list[int]) -> None:
    def last_of_this_worker() -> None:
        note(text="in hand")
        leases.stop()

    def flow() -> str:
        step(last_of_this_worker)
        return step(note, text="next")

    started = start(flow)
    rings.clear()
    runner.advance(started.pk)
    assert notes() == ["in hand"]
    assert (fresh(started).status, fresh(started).lease_owner) == (Run.Status.READY, "")
    assert rings == [started.pk]
    assert runner.advance(started.pk) is False, "a stopping worker takes nothing new"
    leases.resume()
    runner.drain()
    assert (fresh(started).output, notes()) == ("next", ["in hand", "next"])


def test_a_stopping_worker_still_ends_a_run_that_has_no_step_left() -> None:
    done = run(lambda: step(leases.stop))
    assert done.status == Run.Status.DONE


def test_leases_are_renewed_by_one_thread_and_its_connection_is_not_kept() -> None:
    done = threading.Event()

    def renew() -> bool:
        leases.renew([(1, 1)])
        done.set()
        return connection.connection is None

    assert at_once(renew) == [True]
    assert done.is_set()


def test_places_tell_containers_apart_that_share_a_name() -> None:
    host, boot, namespace = place().split("/")
    assert Path("/proc/sys/kernel/random/boot_id").read_text().startswith(boot)
    assert namespace in Path("/proc/self/ns/pid").readlink().name
    assert host


def test_many_runs_are_claimed_in_their_order_and_only_those_that_are_due() -> None:
    runs = [start(idle) for _ in range(20)]
    assert runner.claim_all([runs[3].pk])[0].run.fence == 1
    wanted = [run.pk for run in reversed(runs)]

    claimed = runner.claim_all([*wanted, 4711])

    assert [one.run.pk for one in claimed] == [pk for pk in wanted if pk != runs[3].pk]
    assert {(one.run.fence, one.run.attempts) for one in claimed} == {(1, 1)}
    assert {fresh(run).lease_owner for run in runs} == {leases.owner()}
    assert runner.claim_all(wanted) == []
    assert {(run.pk, 1) for run in runs} <= leases._held
    leases._held.clear()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite locks no rows")
def test_a_run_that_is_locked_just_now_holds_up_no_other() -> None:
    runs = [start(idle) for _ in range(3)]
    is_locked, is_free = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Run.objects.locked().get(pk=runs[1].pk)
            is_locked.set()
            assert is_free.wait(PATIENCE_S)

    def claim() -> list[list[int]]:
        is_locked.wait(PATIENCE_S)
        some = [one.run.pk for one in runner.claim_all([run.pk for run in runs])]
        is_free.set()
        return [some, [one.run.pk for one in runner.claim_all([run.pk for run in runs])]]

    _, claimed = at_once(hold, claim)
    assert claimed == [[runs[0].pk, runs[2].pk], [runs[1].pk]]
    leases._held.clear()


def test_what_was_claimed_goes_on_although_the_next_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [start(idle) for _ in range(2)]
    execution = runner._execution

    def unreadable(run: Run) -> Any:
        if run.pk == runs[1].pk:
            raise ValueError("this cannot be read")
        return execution(run)

    monkeypatch.setattr(runner, "_execution", unreadable)
    claimed = runner.claim_all([run.pk for run in runs])
    assert [one.run.pk for one in claimed] == [runs[0].pk]
    assert leases._held == {(runs[0].pk, 1)}
    leases._held.clear()


def idle() -> None:
    """Does nothing."""


def test_what_runs_need_first_is_read_for_all_that_begin() -> None:
    asked: list[list[int]] = []

    def prepare(runs: Sequence[Run]) -> dict[int, dict[str, Any]]:
        asked.append([run.pk for run in runs])
        return {runs[0].pk: {"read": 1}}

    runs = [start(idle) for _ in range(3)]
    Run.objects.filter(pk=runs[2].pk).update(attempts=1)  # it begins no more
    FLOWS[runs[0].flow] = replace(FLOWS[runs[0].flow], prepare=prepare)

    claimed = runner.claim_all([run.pk for run in runs])

    assert asked == [[runs[0].pk, runs[1].pk]]
    assert [one.scratch for one in claimed] == [{"read": 1}, {}, {}]
    leases._held.clear()


def test_runs_begin_although_what_they_need_could_not_be_read() -> None:
    def prepare(runs: Sequence[Run]) -> dict[int, dict[str, Any]]:
        raise ZeroDivisionError

    runs = [start(idle) for _ in range(2)]
    FLOWS[runs[0].flow] = replace(FLOWS[runs[0].flow], prepare=prepare)

    assert len(runner.claim_all([run.pk for run in runs])) == 2
    leases._held.clear()

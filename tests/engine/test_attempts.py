"""Attempts with a time limit: what takes too long is given up, and nothing it still does counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError, transaction

from apps.core.errors import Unavailable
from apps.engine import attempts, runner
from apps.engine.errors import Abandoned, Canceled, LeaseLost, StepFailed
from apps.engine.flow import Handle, Retry, call, current, joins, step
from apps.engine.models import Run, Step
from apps.engine.services import run_cancel
from tests.engine.flows import crash, fresh, let_time_pass, note, notes, run, start, steps

pytestmark = pytest.mark.django_db(transaction=True)

SOON = 0.15
PATIENCE_S = 10.0


class World:
    """Something outside that does not answer the first time; `wake` lets it, and `late` notes what came."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.came = threading.Event()
        self.late: list[Any] = []

    def plain(self, handle: Handle) -> str:
        if handle.attempt == 1:
            self.answers.wait(PATIENCE_S)
            self.late.append(handle.is_abandoned)
            self.came.set()
        return f"attempt {handle.attempt}"

    @property
    def joining(self) -> Callable[[Handle], None]:
        @joins
        def reach(handle: Handle) -> None:
            try:
                with transaction.atomic():
                    handle.begin()
                if handle.attempt == 1:
                    self.answers.wait(PATIENCE_S)
                with transaction.atomic():
                    note(text=f"attempt {handle.attempt}")
                    handle.finish(f"attempt {handle.attempt}")
            except BaseException as error:
                self.late.append(type(error))
                raise
            finally:
                self.came.set()

        return reach

    def wake(self) -> None:
        self.came.clear()
        self.answers.set()
        assert self.came.wait(PATIENCE_S)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.answers.set()
    deadline = time.monotonic() + PATIENCE_S
    while attempts.abandoned_count() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert attempts.abandoned_count() == 0, "an attempt outlives its test"


def again(waiting: Run) -> Run:
    let_time_pass(waiting)
    runner.drain()
    return fresh(waiting)


def test_an_attempt_that_takes_too_long_is_a_failed_one_and_tried_again(world: World) -> None:
    waiting = run(lambda: call(world.plain, retry=Retry(attempts=3, delay=60, jitter=0, timeout=SOON)))
    assert (waiting.status, waiting.lease_owner) == (Run.Status.WAITING, "")
    row = Step.objects.get(run=waiting)
    assert row.policy["timeout"] == SOON
    assert [(one["attempt"], one["code"]) for one in row.failures] == [(1, "timeout")]
    assert "No answer within 0.15 s." in row.error
    world.wake()
    assert world.late == [True]
    assert again(waiting).output == "attempt 2"
    assert Step.objects.get(run=waiting).failures == row.failures


def test_what_an_abandoned_attempt_finishes_is_refused_and_rolled_back(world: World) -> None:
    waiting = run(lambda: call(world.joining, retry=Retry(attempts=2, delay=60, timeout=SOON)))
    world.wake()
    assert (world.late, notes()) == ([LeaseLost], [])
    assert steps(waiting) == [("reach", "waiting")]
    assert again(waiting).output == "attempt 2"
    assert notes() == ["attempt 2"]


def test_it_is_refused_even_while_the_same_worker_goes_on_with_the_run(world: World) -> None:
    def flow() -> str:
        try:
            return str(call(world.joining, retry=Retry(attempts=1, timeout=SOON)))
        except StepFailed as failed:
            call(lambda handle: world.wake(), step_name="wake")
            return failed.failure.code

    done = run(flow)
    assert (done.output, notes()) == ("timeout", [])
    assert steps(done) == [("reach", "failed"), ("wake", "done")]
    assert world.late == [Abandoned]


def test_it_is_refused_while_the_next_attempt_is_under_way(world: World) -> None:
    second = threading.Event()

    def reach(handle: Handle) -> str:
        if handle.attempt == 2:
            world.wake()
            second.set()
            return "second"
        inner = world.joining
        inner(handle)
        return "never"

    reach_and_join = joins(reach)
    waiting = run(lambda: call(reach_and_join, retry=Retry(attempts=2, delay=60, timeout=SOON)))
    assert again(waiting).output == "second"
    assert second.is_set()
    assert (world.late, notes()) == ([LeaseLost], [])


def test_a_result_that_was_committed_in_time_counts_though_the_function_lingers(world: World) -> None:
    @joins
    def reach(handle: Handle) -> None:
        with transaction.atomic():
            handle.begin()
            note(text="once")
            handle.finish("in time")
        world.answers.wait(PATIENCE_S)

    done = run(lambda: call(reach, retry=Retry(attempts=3, timeout=SOON)))
    assert (done.status, done.output, notes()) == (Run.Status.DONE, "in time", ["once"])


def test_an_attempt_takes_no_steps_even_after_it_was_abandoned(world: World) -> None:
    def reach(handle: Handle) -> None:
        world.answers.wait(PATIENCE_S)
        try:
            step(note, text="stray")
        except RuntimeError as error:
            world.late.append(str(error))
        finally:
            world.came.set()

    waiting = run(lambda: call(reach, retry=Retry(attempts=2, timeout=SOON)))
    world.wake()
    assert "steps of its own" in world.late[0]
    assert steps(waiting) == [("reach", "waiting")]


def test_a_quick_answer_is_an_ordinary_one() -> None:
    def reach(handle: Handle) -> str:
        return f"{current().run.key} {threading.current_thread().name}"

    done = run(lambda: call(reach, retry=Retry(timeout=PATIENCE_S)))
    assert done.output.startswith(done.key)
    assert "attempt-" in done.output


def test_what_it_raises_is_raised() -> None:
    failures: list[Exception] = [Unavailable("Away."), OperationalError("server closed the connection")]

    def reach(handle: Handle) -> str:
        if failures:
            raise failures.pop(0)
        return f"attempt {handle.attempt}"

    waiting = run(lambda: call(reach, retry=Retry(timeout=PATIENCE_S)))
    assert Step.objects.get(run=waiting).failures[0]["message"] == "Away."
    parked = again(waiting)  # the database failed: no failed attempt, but one that was lost
    assert parked.status == Run.Status.WAITING
    assert again(parked).output == "attempt 3"


def test_a_cancellation_that_an_attempt_meets_reaches_the_flow() -> None:
    def flow() -> None:
        try:
            call(meets, retry=Retry(timeout=PATIENCE_S))
        except Canceled:
            step(note, text="clean up")
            raise

    @joins
    def meets(handle: Handle) -> None:
        run_cancel(run_id=started.pk)
        with transaction.atomic():
            handle.begin()

    started = start(flow)
    runner.drain()
    assert (fresh(started).status, notes()) == (Run.Status.CANCELED, ["clean up"])


def test_a_worker_that_lost_its_lease_meanwhile_writes_no_failure(world: World) -> None:
    def reach(handle: Handle) -> str:
        if handle.attempt == 1:
            crash(started)  # another worker has it now
        return world.plain(handle)

    started = start(lambda: call(reach, retry=Retry(attempts=2, timeout=SOON)))
    runner.advance(started.pk)
    assert (fresh(started).status, steps(started)) == (Run.Status.RUNNING, [("reach", "running")])
    assert again(started).output == "attempt 2"


def test_a_process_full_of_abandoned_attempts_begins_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "MAX_ABANDONED", 1)
    stuck = run(lambda: call(world.plain, retry=Retry(attempts=1, timeout=SOON)))
    refused = run(lambda: call(world.plain, retry=Retry(attempts=1, timeout=SOON)))
    assert "No answer within" in stuck.error
    assert "1 attempts that took too long are still at work" in refused.error
    world.wake()


@pytest.mark.parametrize("listed", ["timeout", "unavailable", Unavailable])
def test_the_list_of_what_is_final_takes_codes_and_classes(world: World, listed: Any) -> None:
    def reach(handle: Handle) -> str:
        if listed == "timeout":
            return world.plain(handle)
        raise Unavailable("Away.")

    failed = run(lambda: call(reach, retry=Retry(attempts=9, never=(listed, "other"), timeout=SOON)))
    assert failed.status == Run.Status.FAILED
    row = Step.objects.get(run=failed)
    assert (row.attempt, len(row.failures)) == (1, 1)
    assert row.policy["never"] == [listed if isinstance(listed, str) else "Unavailable", "other"]


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"delay": -1.0}, {"jitter": -0.1}, {"timeout": 0.0}])
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"attempts|negative|timeout"):
        Retry(**wrong)


def test_the_wait_before_a_distant_attempt_is_the_longest_allowed() -> None:
    retry = Retry(attempts=10**6, delay=1, factor=10, max_delay=60, jitter=0)
    assert retry.delay_after(5000, ValueError()) == 60


def test_only_the_last_failures_of_many_are_kept() -> None:
    def reach(handle: Handle) -> None:
        raise Unavailable(f"Away {handle.attempt}.")

    waiting = run(lambda: call(reach, retry=Retry(attempts=23, delay=0)))
    while waiting.status != Run.Status.FAILED:
        waiting = again(waiting)
    kept = Step.objects.get(run=waiting).failures
    assert [one["attempt"] for one in kept] == list(range(4, 24))

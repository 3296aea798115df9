"""Calls to the outside world: intent before, result after, retries in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.utils import timezone

from apps.core.errors import Unavailable
from apps.engine import runner
from apps.engine.errors import StepFailed
from apps.engine.flow import MAX_LOST, Handle, Retry, call, joins, wait_for
from apps.engine.models import Run, Step
from apps.engine.services import run_signal
from tests.engine.flows import at_once, crash, fresh, let_time_pass, note, notes, run, start, steps

pytestmark = pytest.mark.django_db(transaction=True)


class RateLimited(Unavailable):
    retry_after = 77.0


class Hopeless(Unavailable):
    retryable = False


def failing(*errors: Exception | None) -> Callable[[Handle], str]:
    """An outside world that raises these one after the other; None is an answer."""
    left = list(errors)

    def reach(handle: Handle) -> str:
        error = left.pop(0)
        if error is not None:
            raise error
        return f"{handle.key} attempt {handle.attempt}"

    return reach


def wait_of(waiting: Run) -> float:
    """Seconds until the run wakes."""
    assert waiting.status == Run.Status.WAITING
    assert waiting.wake_at is not None
    return (waiting.wake_at - timezone.now()).total_seconds()


def test_the_intent_is_on_record_before_the_world_is_touched() -> None:
    seen: list[Any] = []

    def look() -> Any:
        return Step.objects.values_list("name", "status", "attempt").get()

    def reach(handle: Handle) -> str:
        seen.extend(at_once(look))  # another connection sees what is committed
        return "answer"

    done = run(lambda: call(reach))
    assert seen == [("reach", "running", 1)]
    assert (done.output, steps(done)) == ("answer", [("reach", "done")])


def test_a_result_is_kept_and_the_world_left_alone_afterwards() -> None:
    reach = failing(None)

    def flow() -> str:
        answer: str = call(reach)
        wait_for("go")
        return answer

    waiting = run(flow)
    run_signal(run_id=waiting.pk, name="go")
    runner.drain()
    assert fresh(waiting).output == f"{waiting.key}:1 attempt 1"


def test_a_call_that_joins_commits_what_it_writes_with_its_step() -> None:
    @joins
    def reach(handle: Handle) -> None:
        with transaction.atomic():
            note(text="begin")
            handle.begin()
        with transaction.atomic():
            note(text="finish")
            handle.finish({"ok": True})

    done = run(lambda: call(reach))
    assert (done.output, notes()) == ({"ok": True}, ["begin", "finish"])


def test_a_result_that_is_rolled_back_was_never_there() -> None:
    @joins
    def reach(handle: Handle) -> None:
        with transaction.atomic():
            handle.begin()
            note(text="rolled back")
            handle.finish("too early")
            raise Unavailable("The disk is full.")

    def flow() -> str:
        try:
            return str(call(reach))
        except StepFailed as failed:
            return failed.failure.code

    done = run(flow)
    assert (done.output, notes()) == ("unavailable", [])
    assert steps(done) == [("reach", "failed")]


def test_the_result_is_recorded_in_a_transaction_or_not_at_all() -> None:
    @joins
    def reach(handle: Handle) -> None:
        handle.finish("loose")

    failed = run(lambda: call(reach))
    assert "inside the transaction" in failed.error


def test_a_failed_call_parks_the_run_and_is_tried_again_when_its_time_has_come(rings: list[int]) -> None:
    reach = failing(Unavailable("Away."), Unavailable("Still away."), None)
    retry = Retry(attempts=3, delay=10, factor=6, jitter=0)
    waiting = run(lambda: call(reach, retry=retry))
    assert wait_of(waiting) == pytest.approx(10, abs=2)
    assert (waiting.lease_owner, steps(waiting)) == ("", [("reach", "waiting")])

    rings.clear()
    assert runner.sweep() == 0
    let_time_pass(waiting)
    assert runner.sweep() == 1
    assert rings == [waiting.pk]
    runner.drain()
    assert wait_of(fresh(waiting)) == pytest.approx(60, abs=2)

    let_time_pass(waiting)
    runner.drain()
    assert fresh(waiting).output == f"{waiting.key}:1 attempt 3"
    assert Step.objects.get(run=waiting).error == ""


def test_the_last_failure_is_final() -> None:
    reach = failing(Unavailable("Away."), Unavailable("Gone.", hint="Call a doctor."))
    waiting = run(lambda: call(reach, retry=Retry(attempts=2)))
    let_time_pass(waiting)
    runner.drain()
    failed = fresh(waiting)
    assert (failed.status, failed.error, failed.failed_seq) == (Run.Status.FAILED, "reach: Gone.", 1)
    assert Step.objects.get(run=failed).attempt == 2


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (Hopeless("No."), Retry(attempts=9)),
        (Unavailable("No."), Retry(attempts=9, never=(Unavailable,))),
        (Unavailable("No."), Retry(attempts=1)),
    ],
    ids=["says so itself", "on the never list", "once"],
)
def test_some_failures_are_final_at_once(error: Exception, retry: Retry) -> None:
    reach = failing(error)
    assert run(lambda: call(reach, retry=retry)).status == Run.Status.FAILED


def test_the_wait_grows_up_to_a_limit_and_is_never_shorter_than_the_world_asks() -> None:
    retry = Retry(attempts=10, delay=2, factor=3, max_delay=30, jitter=0)
    assert [retry.delay_after(n, ValueError()) for n in range(1, 6)] == [2, 6, 18, 30, 30]
    assert retry.delay_after(10, ValueError()) is None
    assert retry.delay_after(1, RateLimited("Slower.")) == 77
    spread = {Retry(delay=10, jitter=0.5).delay_after(1, ValueError()) for _ in range(20)}
    assert len(spread) > 1
    assert all(10 <= (delay or 0) <= 15 for delay in spread)


def test_a_call_whose_worker_died_is_made_again_and_says_so() -> None:
    reach = failing(None)
    started = start(lambda: call(reach))
    Step.objects.create(
        run=started, seq=1, name="reach", status="running", attempt=1, started_at=timezone.now()
    )
    crash(started)
    let_time_pass(started)
    runner.drain()
    assert fresh(started).output == f"{started.key}:1 attempt 2"


def test_attempts_that_ended_with_their_worker_use_up_no_retries() -> None:
    reach = failing(Unavailable("Not now."), None)
    started = start(lambda: call(reach, retry=Retry(attempts=2, delay=0)))
    Step.objects.create(
        run=started, seq=1, name="reach", status="running", attempt=5, started_at=timezone.now()
    )
    crash(started)
    for _ in range(2):
        let_time_pass(started)
        runner.drain()
    assert fresh(started).output == f"{started.key}:1 attempt 7"


def test_a_call_that_keeps_killing_its_worker_is_given_up() -> None:
    started = start(lambda: call(failing(None)))
    Step.objects.create(
        run=started, seq=1, name="reach", status="running", attempt=MAX_LOST, started_at=timezone.now()
    )
    crash(started)
    let_time_pass(started)
    runner.drain()
    assert f"{MAX_LOST} attempts ended with the worker's death" in fresh(started).error


def test_a_database_that_fails_under_a_call_is_like_a_crash() -> None:
    reach = failing(OperationalError("server closed the connection"), None)
    parked = run(lambda: call(reach))
    assert wait_of(parked) < 5
    let_time_pass(parked)
    runner.drain()
    assert fresh(parked).output == f"{parked.key}:1 attempt 2"


def test_a_result_that_is_no_json_is_not_tried_again() -> None:
    tries: list[int] = []

    def reach(handle: Handle) -> object:
        tries.append(handle.attempt)
        return object()

    assert "JSON" in run(lambda: call(reach, retry=Retry(attempts=5))).error
    assert tries == [1]


def test_a_call_takes_no_steps_of_its_own() -> None:
    assert (
        "steps of its own" in run(lambda: call(lambda handle: call(failing(None)), step_name="outer")).error
    )

"""Steps: done once, recorded with their effects, replayed as they were."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction

from apps.accounts.models import Membership
from apps.core.errors import Conflict
from apps.engine import runner
from apps.engine.errors import Failure, StepFailed, is_outage
from apps.engine.flow import current, step, wait_for
from apps.engine.models import Run, Step
from apps.engine.services import run_signal
from tests.engine.flows import crash, fresh, let_time_pass, note, notes, run, start, steps

pytestmark = pytest.mark.django_db(transaction=True)


def three_notes() -> list[str]:
    return [step(note, step_name=f"note {text}", text=text) for text in ("a", "b", "c")]


def test_a_run_takes_its_steps_and_keeps_its_result() -> None:
    done = run(three_notes)
    assert (done.status, done.output, done.error) == (Run.Status.DONE, ["a", "b", "c"], "")
    assert notes() == ["a", "b", "c"]
    assert steps(done) == [("note a", "done"), ("note b", "done"), ("note c", "done")]
    assert done.ended_at is not None
    assert (done.lease_owner, done.lease_until) == ("", None)


def test_finished_steps_are_not_taken_again_when_a_run_is_taken_over() -> None:
    calls: list[str] = []

    def flow() -> list[str]:
        calls.append("flow")
        first = step(note, text="first")
        wait_for("go")
        return [first, step(note, text="second")]

    waiting = run(flow)
    crash(waiting)
    run_signal(run_id=waiting.pk, name="go")
    let_time_pass(waiting)
    runner.drain()
    assert fresh(waiting).output == ["first", "second"]
    assert notes() == ["first", "second"]
    assert calls == ["flow", "flow"]


def test_a_failing_step_leaves_nothing_but_its_failure() -> None:
    def stumble() -> None:
        note(text="never seen")
        raise Conflict("Somebody was faster.", hint="Look again.")

    def flow() -> dict[str, str]:
        try:
            step(stumble)
        except StepFailed as failed:
            step(note, text="after")
            return {"step": failed.step, "code": failed.failure.code, "hint": failed.failure.hint}
        return {}

    done = run(flow)
    assert done.output == {"step": "stumble", "code": "conflict", "hint": "Look again."}
    assert notes() == ["after"]
    assert steps(done) == [("stumble", "failed"), ("note", "done")]


def test_a_failed_step_fails_the_same_way_when_it_is_replayed() -> None:
    seen: list[Failure] = []

    def stumble() -> None:
        raise ValueError(f"for the {len(seen)}th time")

    def flow() -> None:
        try:
            step(stumble)
        except StepFailed as failed:
            seen.append(failed.failure)
        wait_for("go")

    waiting = run(flow)
    run_signal(run_id=waiting.pk, name="go")
    runner.drain()
    assert seen == [Failure(code="ValueError", message="for the 0th time")] * 2


def test_an_uncaught_failure_fails_the_run_and_names_the_step() -> None:
    def stumble() -> None:
        raise ValueError("no\0way")

    failed = run(lambda: step(stumble))
    assert (failed.status, failed.error, failed.failed_seq) == (Run.Status.FAILED, "stumble: noway", 1)


def test_what_a_step_returns_is_what_its_replay_returns() -> None:
    given: list[Any] = []

    def flow() -> None:
        given.append(step(lambda: {"pair": (1, 2), "text": "a\0b \ud800 \U0001f600", "back": "\\u0000"}))
        wait_for("go")

    waiting = run(flow)
    run_signal(run_id=waiting.pk, name="go")
    runner.drain()
    assert given[0] == {"pair": [1, 2], "text": "ab ? \U0001f600", "back": "\\u0000"}
    assert given[0] == given[1]


@pytest.mark.parametrize(
    "value", [object(), {"nan": float("nan")}, {1: object()}], ids=["object", "nan", "deep"]
)
def test_a_result_that_is_no_json_fails_the_step_and_undoes_it(value: Any) -> None:
    def flow() -> str:
        try:
            step(lambda: (note(text="undone"), value)[1], step_name="odd")
        except StepFailed as failed:
            return failed.failure.code
        return "kept"

    assert run(flow).output == "NotJSON"
    assert notes() == []


def test_a_result_of_the_flow_that_is_no_json_fails_the_run() -> None:
    failed = run(object)
    assert failed.status == Run.Status.FAILED
    assert "JSON" in failed.error


def test_a_constraint_that_is_checked_at_commit_fails_the_step() -> None:
    def dangle() -> None:
        Membership.objects.create(user_id=987654, organization_id=987654)

    def flow() -> str:
        try:
            step(dangle)
        except StepFailed as failed:
            return failed.failure.code
        return "committed"

    done = run(flow)
    assert done.output == IntegrityError.__name__
    assert steps(done) == [("dangle", "failed")]


def test_a_step_takes_no_steps_of_its_own() -> None:
    failed = run(lambda: step(lambda: step(note, text="inner"), step_name="outer"))
    assert failed.status == Run.Status.FAILED
    assert "steps of its own" in failed.error
    assert notes() == []


def test_a_step_is_no_part_of_a_larger_transaction() -> None:
    def flow() -> None:
        with transaction.atomic():
            step(note, text="x")

    failed = run(flow)
    assert failed.status == Run.Status.FAILED
    assert "durable" in failed.error
    assert notes() == []


def test_steps_exist_only_inside_a_flow() -> None:
    with pytest.raises(RuntimeError, match="only inside a flow"):
        step(note, text="x")


def test_a_database_that_fails_under_a_step_costs_nothing_but_time() -> None:
    tries: list[int] = []

    def deadlock() -> str:
        note(text="effect")
        tries.append(1)
        if len(tries) == 1:
            raise OperationalError("deadlock detected")
        return "through"

    def flow() -> str:
        try:
            return step(deadlock)
        except Exception:  # noqa: BLE001 - an outage is none of the flow's business
            return "swallowed"

    parked = run(flow)
    assert (parked.status, steps(parked), notes()) == (Run.Status.WAITING, [], [])
    let_time_pass(parked)
    runner.drain()
    assert (fresh(parked).output, notes()) == ("through", ["effect"])


def test_a_wrong_statement_is_no_outage() -> None:
    with pytest.raises(DatabaseError) as wrong, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")
    assert not is_outage(wrong.value)
    locked = OperationalError("database is locked")
    locked.__cause__ = sqlite3.OperationalError("database is locked")
    locked.__cause__.sqlite_errorcode = sqlite3.SQLITE_BUSY
    assert is_outage(locked)
    assert not is_outage(IntegrityError())


def test_a_flow_of_other_code_fails_instead_of_going_on_wrongly() -> None:
    order = ["one", "two"]

    def flow() -> None:
        for name in order:
            step(note, step_name=name, text=name)
        try:
            wait_for("go")
        except Exception:  # noqa: BLE001 - a flow that catches everything must not swallow it either
            step(note, text="swallowed")

    waiting = run(flow)
    order.reverse()
    run_signal(run_id=waiting.pk, name="go")
    runner.drain()
    failed = fresh(waiting)
    assert failed.status == Run.Status.FAILED
    assert "is 'one', but its flow now asks for 'two'" in failed.error
    assert notes() == ["one", "two"]


def test_a_flow_that_ends_before_its_history_fails() -> None:
    names = ["one", "two"]

    def flow() -> None:
        for name in names:
            step(note, step_name=name, text=name)
        if names:
            wait_for("go")

    waiting = run(flow)
    names.clear()
    run_signal(run_id=waiting.pk, name="go")
    runner.drain()
    assert "ended before the last step" in fresh(waiting).error


def test_a_flow_that_this_version_does_not_have_fails() -> None:
    started = start(three_notes)
    Run.objects.filter(pk=started.pk).update(flow="long.gone")
    runner.drain()
    assert "does not exist in this version" in fresh(started).error


def test_a_step_that_has_ended_is_never_written_again() -> None:
    def flow() -> None:
        step(note, text="kept")
        execution = current()
        with execution.transaction():
            execution.write(1, "note", Step.Status.FAILED, started=execution.run.created_at, error="{}")

    failed = run(flow)
    assert "never written again" in failed.error
    assert steps(failed) == [("note", "done")]

"""Steps begin their transaction with their first query, and lose no promise by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F

from apps.core.sql import direct
from apps.engine import runner
from apps.engine.errors import Canceled
from apps.engine.flow import current, step
from apps.engine.models import Run
from apps.engine.services import run_cancel, run_pause, run_resume
from tests.engine.flows import fresh, note, notes, run, start, steps

pytestmark = pytest.mark.django_db(transaction=True)


def pure() -> int:
    return 7


def words_of(work: Callable[..., Any], **arguments: Any) -> list[str]:
    """The first word of each statement of one step, in the order in which they were done."""
    said: list[str] = []

    def listen(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        said.append(sql.split(None, 1)[0])
        return result

    def flow() -> None:
        with connection.execute_wrapper(listen):
            step(work, step_name="one", **arguments)

    assert run(flow).status == Run.Status.DONE
    return [word for word in said if word != "BEGIN"]  # SQLite's, which Django says itself


def test_a_step_without_queries_is_one_statement() -> None:
    assert words_of(pure) == ["INSERT"]


def test_the_run_is_held_before_the_first_query() -> None:
    assert words_of(note, text="effect") == ["SELECT", "INSERT", "INSERT"]


def test_statements_written_by_hand_count_as_queries() -> None:
    def by_hand() -> None:
        with direct() as cursor:
            cursor.execute("SELECT 1")

    assert words_of(by_hand)[:2] == ["SELECT", "SELECT"]


@pytest.mark.parametrize("work", [pure, lambda: note(text="never seen") and 7])
def test_a_worker_that_lost_its_lease_records_nothing(work: Callable[[], int]) -> None:
    def flow() -> None:
        step(pure, step_name="first")
        Run.objects.filter(pk=current().run.pk).update(fence=F("fence") + 1)
        step(work, step_name="second")

    lost = run(flow)
    assert (lost.status, steps(lost), notes()) == (Run.Status.RUNNING, [("first", "done")], [])


@pytest.mark.parametrize("work", [pure, lambda: note(text="never seen") and 7])
def test_a_canceled_run_takes_no_further_step_but_those_that_clean_up(work: Callable[[], int]) -> None:
    def flow() -> None:
        run_cancel(run_id=current().run.pk)
        try:
            step(work, step_name="late")
        except Canceled:
            step(pure, step_name="clean")
            raise

    done = run(flow)
    assert (done.status, steps(done), notes()) == (Run.Status.CANCELED, [("clean", "done")], [])


def test_a_paused_run_goes_on_with_the_step_it_did_not_take() -> None:
    pauses = iter([True])

    def flow() -> int:
        if next(pauses, False):
            run_pause(run_id=current().run.pk)
        return step(pure)

    paused = run(flow)
    assert (paused.status, steps(paused)) == (Run.Status.PAUSED, [])
    run_resume(run_id=paused.pk)
    runner.drain()
    assert fresh(paused).output == 7


def test_what_shall_happen_after_a_step_sees_it_recorded() -> None:
    seen: list[list[tuple[str, str]]] = []

    def announce() -> None:
        transaction.on_commit(lambda: seen.append(steps(current().run)))

    run(lambda: step(announce))
    assert seen == [[("announce", "done")]]


def test_work_without_queries_that_fails_is_recorded_as_failed() -> None:
    def stumble() -> None:
        raise ValueError("no")

    done = run(lambda: step(stumble))
    assert (done.status, steps(done)) == (Run.Status.FAILED, [("stumble", "failed")])


def test_a_step_that_has_ended_is_never_written_again() -> None:
    started = start(lambda: step(pure))
    runner.advance(started.pk)
    Run.objects.filter(pk=started.pk).update(status=Run.Status.READY, attempts=0)  # so its rows are not read

    runner.advance(started.pk)
    done = fresh(started)
    assert (done.status, steps(done)) == (Run.Status.FAILED, [("pure", "done")])
    assert "never written again" in done.error

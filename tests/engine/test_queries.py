"""Looking at runs: where one stands, and what it has been through."""

from __future__ import annotations

import pytest

from apps.core.errors import NotFound, Unavailable
from apps.engine import runner
from apps.engine.flow import Handle, Retry, call, step, wait_for
from apps.engine.queries import run_history, run_query
from apps.engine.services import run_cancel, run_signal
from tests.engine.flows import note, run, start

pytestmark = pytest.mark.django_db(transaction=True)


def away(handle: Handle) -> None:
    raise Unavailable("Away.")


def test_a_fresh_run_has_done_nothing_yet() -> None:
    told = run_query(run_id=start(lambda: None).pk)
    assert (told["status"], told["step"], told["attempt"]) == ("ready", "", 0)


def test_a_waiting_run_says_for_what_and_until_when() -> None:
    waiting = run(lambda: wait_for("answer", timeout=60))
    told = run_query(run_id=waiting.pk)
    assert (told["status"], told["step"], told["waits_for"]) == ("waiting", "wait:answer", "answer")
    assert waiting.wake_at is not None
    assert told["wake_at"] == waiting.wake_at.isoformat()


def test_a_run_that_tries_again_says_how_often_it_did() -> None:
    told = run_query(run_id=run(lambda: call(away, retry=Retry(attempts=3))).pk)
    assert (told["step"], told["step_status"]) == ("away", "waiting")
    assert (told["attempt"], told["waits_for"]) == (1, "")


def test_a_failed_run_says_why() -> None:
    assert run_query(run_id=run(lambda: call(away)).pk)["error"] == "away: Away."


def test_the_history_tells_steps_signals_and_events_in_order() -> None:
    def flow() -> None:
        step(note, text="first")
        wait_for("go")
        call(away)

    waiting = run(flow)
    run_signal(run_id=waiting.pk, name="go", data={"n": 1})
    run_cancel(run_id=waiting.pk)
    runner.drain()
    history = run_history(run_id=waiting.pk)
    assert [(entry["kind"], entry["name"]) for entry in history] == [
        ("step", "note"),
        ("step", "wait:go"),
        ("signal", "go"),
        ("event", "run.cancel_requested"),
        ("event", "run.canceled"),
    ]
    assert history[0]["data"] == "first"
    assert history[0]["ended_at"] is not None


def test_the_history_keeps_the_reason_of_a_failed_step_and_nothing_of_other_runs() -> None:
    failed, other = run(lambda: call(away)), run(lambda: step(note, text="other"))
    [told] = [entry for entry in run_history(run_id=failed.pk) if entry["kind"] == "step"]
    assert (told["status"], told["error"], told["attempt"]) == ("failed", "Away.", 1)
    assert {entry["name"] for entry in run_history(run_id=other.pk)} == {"note", "run.done"}


def test_there_is_nothing_to_tell_of_a_run_that_is_not_there() -> None:
    for read in (run_query, run_history):
        with pytest.raises(NotFound):
            read(run_id=4711)

"""The timeline of a run: one read model for its page and the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core.errors import Unavailable
from apps.engine import runner
from apps.engine.children import join, start_child
from apps.engine.errors import StepFailed
from apps.engine.flow import FLOWS, Flow, Handle, Retry, call, sleep, step, wait_for
from apps.engine.models import Run, Step
from apps.engine.services import run_signal
from apps.engine.timeline import run_timeline
from apps.engine.words import row_shown, took
from tests.engine.flows import fresh, let_time_pass, note, run

pytestmark = pytest.mark.django_db(transaction=True)


def away(handle: Handle) -> str:
    if handle.attempt < 3:
        raise Unavailable(f"Away {handle.attempt}.", hint="Wait.")
    return "there"


def told(run: Run, **options: Any) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = run_timeline(fresh(run), **options)["entries"]
    return entries


def named(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(entry.get("kind", entry["type"]), entry["name"]) for entry in entries]


def test_it_tells_every_kind_of_thing_in_the_order_it_happened() -> None:
    FLOWS["test.child"] = Flow(name="test.child", function=lambda: step(note, text="child"), version=1)

    def flow() -> None:
        step(note, text="first")
        child = start_child("test.child", key="c", input={})
        join(child)
        sleep(0)
        wait_for("go")
        try:
            call(away)
        except StepFailed:
            step(note, text="last")

    waiting = run(flow)
    run_signal(run_id=waiting.pk, name="go", data={"n": 1}, actor="ann")
    runner.drain()
    child = Run.objects.get(parent=waiting)
    entries = told(waiting)
    kinds = named(entries)
    assert kinds[:2] == [("step", "note"), ("start", "start:c")]
    assert ("child", child.key) in kinds
    assert ("signal", f"child:{child.pk}") in kinds
    assert [name for kind, name in kinds if kind == "sleep"] == [f"wait:timer:{4 + kinds_before(kinds)}"]
    assert kinds.index(("wait", "wait:go")) < kinds.index(("signal", "go")) < kinds.index(("step", "away"))
    assert kinds[-1] == ("event", "run.done")
    failed = next(entry for entry in entries if entry["name"] == "away")
    assert failed["error"] == {"code": "unavailable", "message": "Away 1.", "hint": "Wait."}
    assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)


def kinds_before(kinds: list[tuple[str, str]]) -> int:
    """How many more steps the join took, which depends on who was first."""
    return sum(1 for kind, name in kinds if kind == "join" or name.startswith("wait:child:")) - 1


def test_attempts_are_told_with_why_they_failed_and_how_often_it_is_tried() -> None:
    waiting = run(lambda: call(away, retry=Retry(attempts=5, delay=60, jitter=0, timeout=9, never=("odd",))))
    [entry] = told(waiting)
    assert (entry["status"], entry["attempt"], entry["attempts"]) == ("waiting", 1, 5)
    assert (entry["policy"]["timeout"], entry["policy"]["never"]) == (9, ["odd"])
    for _ in range(2):
        let_time_pass(waiting)
        runner.drain()
    entry = told(waiting)[0]
    assert (entry["status"], entry["attempt"], entry["output"], entry["error"]) == ("done", 3, "there", None)
    assert [one["message"] for one in entry["failures"]] == ["Away 1.", "Away 2."]


def test_a_wait_took_as_long_as_it_waited() -> None:
    waiting = run(lambda: wait_for("go"))
    began = timezone.now() - timedelta(seconds=90)
    Step.objects.filter(run=waiting).update(started_at=began)
    assert told(waiting)[0]["duration_ms"] >= 90_000
    run_signal(run_id=waiting.pk, name="go")
    runner.drain()
    entry = next(entry for entry in told(waiting) if entry["type"] == "step")
    assert (entry["at"], entry["status"]) == (began, "done")
    assert 90_000 <= entry["duration_ms"] < 180_000


def test_a_long_run_is_told_in_pieces_that_leave_nothing_out() -> None:
    def flow() -> None:
        for number in range(7):
            step(note, text=str(number))
            run_signal(run_id=Run.objects.get().pk, name=f"word {number}")

    done = run(flow)
    whole = named(told(done))
    pieces: list[list[tuple[str, str]]] = []
    before: int | None = None
    while True:
        piece = run_timeline(done, limit=3, before=before)
        pieces.insert(0, named(piece["entries"]))
        before = piece["older"]
        if before is None:
            break
    assert [len([kind for kind, _ in piece if kind == "step"]) for piece in pieces] == [1, 3, 3]
    assert [entry for piece in pieces for entry in piece] == whole


def test_more_steps_cost_no_more_queries() -> None:
    def many(count: int) -> int:
        done = run(lambda: [step(note, text="x") for _ in range(count)])
        with CaptureQueriesContext(connection) as said:
            run_timeline(done)
        return len(said)

    assert many(2) == many(20)


def test_a_fresh_run_has_nothing_to_tell_but_itself() -> None:
    fresh_run = Run.objects.create(key="k", flow="f")
    timeline = run_timeline(fresh_run)
    assert (timeline["entries"], timeline["older"]) == ([], None)
    assert timeline["run"]["status"] == "ready"


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(0, "0 ms"), (999, "999 ms"), (1500, "1.5 s"), (99_900, "99.9 s"), (3_600_000, "1:00:00")],
)
def test_durations_are_said_as_people_say_them(milliseconds: int, words: str) -> None:
    assert took(milliseconds) == words


def test_the_page_says_it_in_words() -> None:
    waiting = run(lambda: call(away, retry=Retry(attempts=5, delay=60)))
    asleep, listening = run(lambda: sleep(60)), run(lambda: wait_for("go", timeout=60))
    [tried], [slept], [waits] = (
        [row_shown(entry) for entry in told(one)] for one in (waiting, asleep, listening)
    )
    assert tried["state"].startswith("◌ waiting, attempt 1 of 5, until 20")
    assert "Away 1. Wait. (unavailable)" in tried["result"]
    assert (slept["what"], slept["named"][:8]) == ("sleeps", "until 20")
    assert (waits["what"], waits["named"]) == ("waits for", "go")


def test_what_flows_and_people_wrote_cannot_break_the_page() -> None:
    def flow() -> str:
        return step(lambda: "<script>alert(1)</script>", step_name="<b>bold</b>")

    [entry, *_] = told(run(flow))
    assert "&lt;script&gt;" in row_shown(entry)["result"]

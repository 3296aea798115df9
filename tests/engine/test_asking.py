"""Asking a run: its flow answers from where it has come to, and nothing is disturbed."""

from __future__ import annotations

from typing import Any

import pytest

from apps.core.errors import Conflict, NotFound
from apps.engine import runner
from apps.engine.flow import FLOWS, Flow, Handle, answers, call, sleep, step, wait_for
from apps.engine.generations import continue_as_new
from apps.engine.models import Run, Signal, Step
from apps.engine.queries import run_query
from apps.engine.services import run_cancel, run_pause, run_signal
from apps.events.models import Event
from tests.engine.flows import at_once, crash, fresh, let_time_pass, note, notes, run, start

pytestmark = pytest.mark.django_db(transaction=True)


def builder(floors: int) -> str:
    built: list[str] = []
    answers("built", lambda: built)
    answers("left", lambda: {"floors": floors - len(built)})
    for number in range(floors):
        said = wait_for("brick") or {}
        built.append(f"{said['color']} {number}")
        step(note, text=built[-1])
    return "built"


def state() -> list[Any]:
    return [list(model.objects.order_by("pk").values()) for model in (Run, Step, Signal, Event)]


def test_a_flow_answers_from_where_it_has_come_to() -> None:
    waiting = run(builder, floors=3)
    assert run_query(run_id=waiting.pk, name="left") == {"floors": 3}
    for n, color in enumerate(["red", "blue"], start=1):
        run_signal(run_id=waiting.pk, name="brick", data={"color": color})
        runner.drain()
        assert run_query(run_id=waiting.pk, name="left") == {"floors": 3 - n}
    assert run_query(run_id=waiting.pk, name="built") == ["red 0", "blue 1"]


def test_asking_changes_nothing() -> None:
    waiting = run(builder, floors=3)
    run_signal(run_id=waiting.pk, name="brick", data={"color": "red"})
    before = state()
    for _ in range(3):
        assert run_query(run_id=waiting.pk, name="built") == []
    assert state() == before


def test_it_answers_whatever_becomes_of_it() -> None:
    def failing() -> None:
        done = ["begun"]
        answers("done", lambda: done)
        done.append(step(note, text="stepped"))
        raise ValueError("Broken.")

    started, failed = start(builder, floors=1), run(failing)
    assert run_query(run_id=started.pk, name="left") == {"floors": 1}
    assert run_query(run_id=failed.pk, name="done") == ["begun", "stepped"]
    runner.drain()
    run_pause(run_id=started.pk)
    assert run_query(run_id=started.pk, name="left") == {"floors": 1}
    run_cancel(run_id=started.pk)
    runner.drain()
    assert run_query(run_id=started.pk, name="left") == {"floors": 1}


def test_a_run_at_work_is_asked_while_it_works() -> None:
    seen: list[Any] = []

    def flow() -> None:
        made: list[str] = []
        answers("made", lambda: made)
        made.append(step(note, text="one"))
        call(look)

    def look(handle: Handle) -> None:
        seen.extend(at_once(lambda: run_query(run_id=started.pk, name="made")))

    started = start(flow)
    runner.drain()
    assert (seen, notes()) == ([["one"]], ["one"])


def test_waits_calls_and_new_generations_are_not_begun_by_a_question() -> None:
    def flow(generation: int = 1) -> None:
        answers("generation", lambda: generation)
        if generation == 1:
            continue_as_new(generation=2)
        sleep(60)

    started = start(flow)
    assert run_query(run_id=started.pk, name="generation") == 1
    assert fresh(started).generation == 1
    runner.drain()
    assert run_query(run_id=started.pk, name="generation") == 2
    crash(started)
    let_time_pass(started)
    assert run_query(run_id=started.pk, name="generation") == 2


def test_a_question_it_does_not_know_is_refused_with_those_it_does() -> None:
    waiting = run(builder, floors=1)
    with pytest.raises(NotFound, match="it can be asked for: built, left"):
        run_query(run_id=waiting.pk, name="color")
    with pytest.raises(NotFound, match="asked for: nothing"):
        run_query(run_id=run(lambda: None).pk, name="color")
    with pytest.raises(NotFound):
        run_query(run_id=4711, name="color")


def test_a_run_of_other_code_cannot_be_asked() -> None:
    waiting = run(builder, floors=1)
    FLOWS[waiting.flow] = Flow(name=waiting.flow, function=lambda floors: step(note, text="x"), version=1)
    with pytest.raises(Conflict, match="started by other code"):
        run_query(run_id=waiting.pk, name="left")
    FLOWS[waiting.flow] = Flow(name=waiting.flow, function=builder, version=2)
    with pytest.raises(Conflict, match="needs version 1"):
        run_query(run_id=waiting.pk, name="left")


@pytest.mark.parametrize("kind", ["writes", "steps", "no json"])
def test_an_answer_reads_and_nothing_else(kind: str) -> None:
    wrong = {
        "writes": lambda: Run.objects.update(error="by a question"),
        "steps": lambda: step(note, text="stray"),
        "no json": object,
    }

    def flow() -> None:
        answers("wrong", wrong[kind])
        wait_for("go")

    waiting = run(flow)
    before = state()
    with pytest.raises((RuntimeError, TypeError)):
        run_query(run_id=waiting.pk, name="wrong")
    assert state() == before


def test_an_answer_may_look_things_up() -> None:
    def flow() -> None:
        answers("runs", Run.objects.count)
        wait_for("go")

    assert run_query(run_id=run(flow).pk, name="runs") == 1

"""Child runs: parallel branches, joined by what they came to."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from apps.engine import runner
from apps.engine.children import join, join_all, start_child
from apps.engine.errors import ChildFailed, StepFailed
from apps.engine.flow import FLOWS, Flow, step, wait_for
from apps.engine.models import Run, Signal
from apps.engine.services import run_cancel, run_signal, run_start
from tests.engine.flows import at_once, crash, fresh, let_time_pass, note, notes, run, start

pytestmark = pytest.mark.django_db(transaction=True)


def double(n: int) -> int:
    return step(lambda: n * 2, step_name="double")


def patient(n: int) -> Any:
    return (wait_for("go") or {}) | {"n": n}


def crooked() -> None:
    raise ValueError("Crooked.")


@pytest.fixture(autouse=True)
def flows() -> None:
    for function in (double, patient, crooked):
        name = f"test.{function.__name__}"
        FLOWS[name] = Flow(name=name, function=function, version=1)


def fan_out(flow: str, count: int) -> list[Any]:
    children = [start_child(flow, key=str(n), input={"n": n}) for n in range(count)]
    return join_all(children)


def test_branches_run_side_by_side_and_are_joined_in_order() -> None:
    waiting = run(fan_out, flow="test.patient", count=3)
    children = list(Run.objects.filter(parent=waiting).order_by("id"))
    assert [child.status for child in children] == [Run.Status.WAITING] * 3
    for child in reversed(children):
        run_signal(run_id=child.pk, name="go", data={"by": child.key[-1]})
        runner.drain()
    assert fresh(waiting).output == [{"by": str(n), "n": n} for n in range(3)]


def test_branches_that_ended_before_anybody_joined_are_joined_at_once() -> None:
    done = run(fan_out, flow="test.double", count=4)
    assert (done.status, done.output) == (Run.Status.DONE, [0, 2, 4, 6])


def test_a_child_belongs_where_its_parent_belongs() -> None:
    start(lambda: start_child("test.double", key="c", input={"n": 1}, bead_id=9))
    parent = Run.objects.get()
    Run.objects.update(organization_id=1, project_id=2, bead_id=3)
    runner.drain()
    child = Run.objects.get(parent=parent)
    assert (child.organization_id, child.project_id, child.bead_id) == (1, 2, 9)
    assert child.key == f"{parent.key}/c"


def test_a_child_that_fails_fails_the_join_with_its_reason() -> None:
    def flow() -> dict[str, str]:
        try:
            join(start_child("test.crooked", key="c", input={}))
        except ChildFailed as failed:
            return {"code": failed.failure.code, "message": failed.failure.message}
        return {}

    assert run(flow).output == {"code": "failed", "message": "Crooked."}


def test_a_canceled_child_fails_the_join() -> None:
    waiting = run(lambda: join(start_child("test.patient", key="c", input={"n": 1})))
    run_cancel(run_id=Run.objects.get(parent=waiting).pk)
    runner.drain()
    assert fresh(waiting).status == Run.Status.FAILED
    assert "It was canceled." in fresh(waiting).error


def test_all_branches_end_before_one_failure_is_told() -> None:
    def flow() -> None:
        children = [
            start_child("test.crooked", key="bad", input={}),
            start_child("test.patient", key="slow", input={"n": 1}),
        ]
        try:
            join_all(children)
        except StepFailed:
            step(note, text="told")

    waiting = run(flow)
    assert notes() == []
    run_signal(run_id=Run.objects.get(key__endswith="slow").pk, name="go")
    runner.drain()
    assert (fresh(waiting).status, notes()) == (Run.Status.DONE, ["told"])


def test_a_parent_that_crashes_starts_no_child_twice() -> None:
    waiting = run(fan_out, flow="test.patient", count=2)
    crash(waiting)
    let_time_pass(waiting)
    runner.drain()
    assert Run.objects.filter(parent=waiting).count() == 2


def test_a_last_word_that_did_not_wake_the_parent_is_found_by_the_sweep() -> None:
    waiting = run(lambda: join(start_child("test.patient", key="c", input={"n": 1})))
    child = Run.objects.get(parent=waiting)
    Run.objects.filter(pk=child.pk).update(status=Run.Status.DONE, output="said", ended_at=timezone.now())
    Signal.objects.create(run=waiting, name=f"child:{child.pk}")
    assert runner.sweep() == 1
    runner.drain()
    assert fresh(waiting).output == "said"


def test_children_that_end_together_wake_their_parent_every_time() -> None:
    for round_number in range(4):
        waiting = run(fan_out, flow="test.patient", count=3)
        children = list(Run.objects.filter(parent=waiting).values_list("pk", flat=True))
        for child_id in children:
            run_signal(run_id=child_id, name="go", data={"round": round_number})
        given = at_once(*[partial(runner.advance, child_id) for child_id in children])
        assert given == [True] * 3
        runner.drain()
        assert fresh(waiting).output == [{"round": round_number, "n": n} for n in range(3)]


def test_a_run_of_the_same_key_without_a_parent_is_another_run() -> None:
    run_start(flow="test.double", key="c", input={"n": 50})
    assert run(lambda: join(start_child("test.double", key="c", input={"n": 1}))).output == 2

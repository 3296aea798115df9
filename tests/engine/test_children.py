"""Child runs: parallel branches, joined by what they came to."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from apps.engine import runner
from apps.engine.children import children_cancel, join, join_all, join_or_cancel, start_child
from apps.engine.errors import Canceled, ChildFailed, StepFailed
from apps.engine.flow import FLOWS, Flow, step, wait_for
from apps.engine.models import ANY_CHILD, Run, Signal
from apps.engine.services import run_cancel, run_retry, run_signal, run_start
from tests.engine.flows import at_once, crash, fresh, let_time_pass, note, notes, run, start

pytestmark = pytest.mark.django_db(transaction=True)


def double(n: int) -> int:
    return step(lambda: n * 2, step_name="double")


def patient(n: int) -> Any:
    return (wait_for("go") or {}) | {"n": n}


def crooked() -> None:
    raise ValueError("Crooked.")


def tidy(n: int) -> Any:
    """Waits for a word, which may be a bad one, and cleans up when it is canceled."""
    try:
        said = wait_for("go") or {}
    except Canceled:
        step(note, text=f"clean up {n}")
        raise
    if said.get("word") == "bad":
        raise ValueError(f"Branch {n} is bad.")
    return n


@pytest.fixture(autouse=True)
def flows() -> None:
    for function in (double, patient, crooked, tidy):
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


# -- joins with a limit, and branches that only count together ---------------------------------------


def together(count: int, timeout: float | None = None) -> Any:
    children = [start_child("test.tidy", key=str(n), input={"n": n}) for n in range(count)]
    try:
        return join_or_cancel(children, timeout=timeout)
    except ChildFailed as failed:
        return [failed.failure.code, failed.failure.message, failed.step.rpartition("/")[2]]


def say(parent: Run, n: int, word: str) -> None:
    run_signal(
        run_id=Run.objects.get(parent=parent, key__endswith=f"/{n}").pk, name="go", data={"word": word}
    )
    runner.drain()


def statuses(parent: Run) -> list[str]:
    return list(Run.objects.filter(parent=parent).order_by("pk").values_list("status", flat=True))


def test_a_join_gives_up_after_its_limit_and_the_child_goes_on() -> None:
    def flow() -> list[Any]:
        child = start_child("test.patient", key="c", input={"n": 1})
        try:
            join(child, timeout=60)
        except ChildFailed as failed:
            said = [failed.failure.code, failed.failure.message]
        else:
            said = []
        return [said, join(child)]

    waiting = run(flow)
    assert waiting.wake_at is not None
    let_time_pass(waiting)
    crash(waiting)  # and the limit is still the same when the flow is called again
    let_time_pass(waiting)
    runner.drain()
    assert statuses(waiting) == [Run.Status.WAITING]
    run_signal(run_id=Run.objects.get(parent=waiting).pk, name="go", data={"by": "ann"})
    runner.drain()
    assert fresh(waiting).output == [["timeout", "It took longer than 60 s."], {"by": "ann", "n": 1}]


def test_one_limit_holds_for_all_that_are_joined() -> None:
    def flow() -> str:
        children = [start_child("test.patient", key=str(n), input={"n": n}) for n in range(3)]
        try:
            join_all(children, timeout=60)
        except ChildFailed as failed:
            return failed.failure.code
        return ""

    waiting = run(flow)
    first_limit = waiting.wake_at
    run_signal(run_id=Run.objects.get(key__endswith="/0").pk, name="go")
    runner.drain()
    assert fresh(waiting).wake_at == first_limit
    let_time_pass(waiting)
    runner.drain()
    assert fresh(waiting).output == "timeout"


def test_a_child_that_ends_just_as_the_limit_passes_is_joined() -> None:
    waiting = run(lambda: join(start_child("test.patient", key="c", input={"n": 1}), timeout=60))
    child = Run.objects.get(parent=waiting)
    Run.objects.filter(pk=child.pk).update(status=Run.Status.DONE, output="in time", ended_at=timezone.now())
    let_time_pass(waiting)
    runner.drain()
    assert fresh(waiting).output == "in time"


def test_branches_that_all_succeed_give_their_outputs_in_order() -> None:
    waiting = run(together, count=3)
    assert waiting.waits_for == ANY_CHILD
    for n in (2, 0, 1):
        say(waiting, n, "good")
    assert fresh(waiting).output == [0, 1, 2]
    assert run(together, count=0).output == []


def test_the_first_branch_that_fails_cancels_its_siblings_and_is_told_once_they_cleaned_up() -> None:
    waiting = run(together, count=4)
    say(waiting, 3, "good")
    say(waiting, 2, "bad")
    assert fresh(waiting).output == ["failed", "Branch 2 is bad.", "2"]
    assert statuses(waiting) == ["canceled", "canceled", "failed", "done"]
    assert sorted(notes()) == ["clean up 0", "clean up 1"]


def test_a_branch_that_somebody_cancels_counts_as_one_that_failed() -> None:
    waiting = run(together, count=2)
    run_cancel(run_id=Run.objects.get(parent=waiting, key__endswith="/1").pk)
    runner.drain()
    assert fresh(waiting).output == ["canceled", "It was canceled.", "1"]
    assert statuses(waiting) == ["canceled", "canceled"]


def test_branches_that_take_too_long_are_canceled() -> None:
    waiting = run(together, count=2, timeout=60)
    say(waiting, 0, "good")
    let_time_pass(waiting)
    runner.drain()
    assert fresh(waiting).output == ["timeout", "It took longer than 60 s.", "2 branches"]
    assert (statuses(waiting), notes()) == (["done", "canceled"], ["clean up 1"])


def test_a_parent_that_crashes_anywhere_among_its_branches_comes_to_the_same_end() -> None:
    waiting = run(together, count=3)
    for word, n in (("good", 1), ("bad", 0)):
        crash(waiting)
        say(waiting, n, word)
        let_time_pass(waiting)
        runner.drain()
    assert fresh(waiting).output == ["failed", "Branch 0 is bad.", "0"]
    assert statuses(waiting) == ["failed", "done", "canceled"]
    assert notes() == ["clean up 2"]


def test_branches_that_fail_together_cancel_the_rest_once() -> None:
    for _ in range(3):
        waiting = run(together, count=4)
        ids = list(Run.objects.filter(parent=waiting).order_by("pk").values_list("pk", flat=True))
        for child_id in ids[:3]:
            run_signal(run_id=child_id, name="go", data={"word": "bad"})
        at_once(*[partial(runner.advance, child_id) for child_id in ids[:3]])
        runner.drain()
        assert fresh(waiting).output[0] == "failed"
        assert statuses(waiting) == ["failed", "failed", "failed", "canceled"]


def test_a_lost_ring_of_a_branch_is_found_by_the_sweep_and_only_once() -> None:
    waiting = run(together, count=2)
    child = Run.objects.get(parent=waiting, key__endswith="/0")
    Run.objects.filter(pk=child.pk).update(status=Run.Status.DONE, output=0, ended_at=timezone.now())
    Signal.objects.create(run=waiting, name=f"child:{child.pk}")
    assert runner.sweep() == 1
    runner.drain()
    assert fresh(waiting).status == Run.Status.WAITING
    assert runner.sweep() == 0


def test_a_retry_cannot_bring_back_branches_that_were_canceled_and_says_so() -> None:
    def flow() -> Any:
        return join_or_cancel([start_child("test.tidy", key=str(n), input={"n": n}) for n in range(2)])

    waiting = run(flow)
    say(waiting, 0, "bad")
    assert "Branch 0 is bad." in fresh(waiting).error
    FLOWS["test.tidy"] = Flow(name="test.tidy", function=lambda n: (wait_for("go"), n), version=1)
    run_retry(run_id=waiting.pk)
    runner.drain()
    assert statuses(waiting) == ["done", "canceled"]
    assert (fresh(waiting).status, "It was canceled." in fresh(waiting).error) == (Run.Status.FAILED, True)


def test_children_can_be_canceled_as_a_step() -> None:
    def flow() -> list[str]:
        children = [start_child("test.tidy", key=str(n), input={"n": n}) for n in range(2)]
        done = start_child("test.double", key="d", input={"n": 1})
        join(done)
        children_cancel([*children, done])
        return []

    waiting = run(flow)
    assert (waiting.status, statuses(waiting)) == (Run.Status.DONE, ["canceled", "canceled", "done"])

"""Starting runs: once for each key, whoever asks and however often."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from apps.core.errors import BadInput
from apps.engine import doorbell, runner
from apps.engine.models import Run
from apps.engine.services import Start, run_start, runs_start
from tests.engine.flows import at_once, fresh, start

pytestmark = pytest.mark.django_db(transaction=True)


def echo(**input: Any) -> dict[str, Any]:  # noqa: A002 - the field's word
    return input


def test_a_run_gets_its_input_and_belongs_where_it_was_started() -> None:
    start(echo)
    started = run_start(flow="test.echo", key="k", input={"n": 1}, organization_id=1, project_id=2, bead_id=3)
    runner.drain()
    run = fresh(started)
    assert run.output == {"n": 1}
    assert (run.organization_id, run.project_id, run.bead_id) == (1, 2, 3)


def test_the_same_key_starts_one_run(rings: list[int]) -> None:
    first = start(echo, key="bead:7:1", n=1)
    second = start(echo, key="bead:7:1", n=2)
    assert second.pk == first.pk
    assert (second.input, rings) == ({"n": 1}, [first.pk])


def test_the_same_key_starts_one_run_even_at_the_same_moment(rings: list[int]) -> None:
    given = at_once(*[lambda: start(echo, key="bead:7:1", n=1).pk] * 6)
    assert len(set(given)) == 1
    assert rings == [given[0]]


def test_a_start_can_be_part_of_a_larger_transaction_that_meets_a_key_in_use(rings: list[int]) -> None:
    start(echo, key="taken")
    with transaction.atomic():
        start(echo, key="taken")
        start(echo, key="free")
    assert Run.objects.count() == 2
    assert len(rings) == 2


def test_a_start_that_is_rolled_back_rings_no_bell(rings: list[int]) -> None:
    with transaction.atomic():
        start(echo)
        transaction.set_rollback(True)
    assert (Run.objects.count(), rings) == (0, [])


def test_an_unknown_flow_is_refused() -> None:
    with pytest.raises(BadInput, match="There is no flow"):
        run_start(flow="made.up", key="k", input={})


@pytest.mark.parametrize("key", ["", "x" * 161])
def test_a_key_that_cannot_be_kept_is_refused(key: str) -> None:
    start(echo)
    with pytest.raises(BadInput, match="1 to 160 characters"):
        run_start(flow="test.echo", key=key, input={})


def test_a_flow_that_does_not_take_its_input_fails_with_a_reason() -> None:
    def picky(*, color: str) -> str:
        return color

    started = start(picky, size=3)
    runner.drain()
    assert "unexpected keyword argument 'size'" in fresh(started).error


def test_a_broken_bell_does_not_break_the_start() -> None:
    def broken(run_ids: Sequence[int]) -> None:
        raise OSError("no broker")

    doorbell.use(broken)
    assert start(echo).status == Run.Status.READY


# -- many at once -------------------------------------------------------------------------------------


def keys(*numbers: int) -> list[Start]:
    return [Start(f"many:{number}", {"n": number}, bead_id=number) for number in numbers]


def test_many_runs_start_in_order_and_those_there_are_are_left_alone(rings: list[int]) -> None:
    start(echo, key="many:2")
    rings.clear()
    runs = runs_start(flow="test.echo", starts=keys(3, 2, 1), organization_id=7, project_id=8)
    assert [run.key for run in runs] == ["many:3", "many:1"]
    assert rings == [run.pk for run in runs]
    assert [(run.organization_id, run.project_id, run.bead_id) for run in runs] == [(7, 8, 3), (7, 8, 1)]
    assert runs_start(flow="test.echo", starts=keys(1, 2, 3)) == []


def test_a_key_that_is_given_twice_starts_one_run() -> None:
    start(echo, key="other")
    runs = runs_start(flow="test.echo", starts=[Start("k", {"n": 1}), Start("k", {"n": 2})])
    assert [fresh(run).input for run in runs] == [{"n": 1}]


@pytest.mark.parametrize("wrong", [Start("", {}), Start("x" * 161, {})])
def test_one_key_that_cannot_be_kept_starts_nothing(wrong: Start) -> None:
    start(echo, key="other")
    with pytest.raises(BadInput):
        runs_start(flow="test.echo", starts=[*keys(1), wrong])
    assert Run.objects.count() == 1


def test_many_callers_who_start_the_same_runs_at_once_start_each_once(rings: list[int]) -> None:
    start(echo, key="other")
    for round_number in range(3):
        numbers = [round_number * 100 + number for number in range(20)]
        wanted = [keys(*numbers), keys(*reversed(numbers)), keys(*numbers[5:]), keys(*numbers)]
        rings.clear()
        given = at_once(*[partial(runs_start, flow="test.echo", starts=starts) for starts in wanted])
        assert not [one for one in given if isinstance(one, BaseException)], given
        assert sorted(run.key for runs in given for run in runs) == sorted(one.key for one in wanted[0])
        assert sorted(rings) == sorted(run.pk for runs in given for run in runs)


def test_a_start_that_meets_one_in_an_open_transaction_waits_and_starts_the_rest() -> None:
    start(echo, key="other")
    began, go_on = threading.Event(), threading.Event()

    def first() -> int:
        with transaction.atomic():
            runs = runs_start(flow="test.echo", starts=keys(1, 2))
            began.set()
            go_on.wait(10)
        return len(runs)

    def second() -> int:
        began.wait(10)
        threading.Timer(0.2, go_on.set).start()
        return len(runs_start(flow="test.echo", starts=keys(2, 3)))

    assert at_once(first, second) == [2, 1]
    assert Run.objects.filter(key__startswith="many:").count() == 3

"""Starting runs: once for each key, whoever asks and however often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.db import transaction

from apps.core.errors import BadInput
from apps.engine import doorbell, runner
from apps.engine.models import Run
from apps.engine.services import run_start
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

"""Places in a stream: what was seen, and what may still come from below."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.errors import BadInput
from apps.events.position import MAX_TOLD, SETTLE_SECONDS, Position, Tail


@settings(deadline=None)
@given(st.permutations(range(1, 30)))
def test_the_gaps_are_exactly_what_was_not_read_yet(order: list[int]) -> None:
    tail, seen = Tail(), set[int]()
    for number in order:
        tail.take(number, 0.0)
        seen.add(number)
        missing = {one for low, high in tail.position.missing for one in range(low, high + 1)}
        assert missing == set(range(1, tail.last)) - seen


@pytest.mark.parametrize("position", [Position(7), Position(9, ((3, 3), (5, 8))), Position(0)])
def test_it_is_read_back_as_it_was_written(position: Position) -> None:
    assert Position.parse(str(position)) == position


def test_more_gaps_than_anybody_has_are_no_place() -> None:
    with pytest.raises(BadInput):
        Position.parse("1000~" + ",".join(["1"] * 900))


def test_many_gaps_are_written_as_fewer_that_hold_them_all() -> None:
    gaps = [(number, number) for number in range(1, 200, 2)]
    random.Random(1).shuffle(gaps)
    told = Position.parse(str(Position(300, tuple(gaps))))
    assert len(told.missing) == MAX_TOLD
    assert all(any(low <= gap <= high for low, high in told.missing) for gap, _ in gaps)


def test_a_gap_of_a_change_that_was_rolled_back_is_forgotten_in_time() -> None:
    tail = Tail(10)
    tail.take(13, 0.0)
    tail.take(15, SETTLE_SECONDS / 2)
    assert tail.settled(SETTLE_SECONDS - 1).position == Position(15, ((11, 12), (14, 14)))
    assert tail.settled(SETTLE_SECONDS).position == Position(15, ((14, 14),))


@pytest.mark.parametrize("text", ["", "x", "-1", "5~", "5~x", "5~9-3", "5~0", "9" * 30, "1;drop", "5~1-2-3"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        Position.parse(text)

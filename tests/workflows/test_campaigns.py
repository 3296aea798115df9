"""Small editions of the campaigns of weak and of stuck models."""

from __future__ import annotations

import pytest

from tests.campaigns._rooms import rooms
from tests.campaigns.stuck import circles, endless, play
from tests.campaigns.weak import play as play_weak

pytestmark = pytest.mark.django_db(transaction=True)


def test_stuck_models_are_stopped_for_the_true_reason() -> None:
    with rooms(LOOM_MAX_TURNS=16):
        ways = circles() | endless()
        for name in (
            "two in turn",
            "endless reading",
            "endless talking",
            "the same failing command, whatever is changed",
        ):
            found = play(name, ways[name])
            assert found["ok"], (name, found)


@pytest.mark.parametrize("tools", [True, False])
def test_a_weak_model_finishes_a_simple_bead(tools: bool) -> None:
    with rooms():
        found = play_weak(3, tools=tools)
    assert found["finished"], found
    assert found["garbage"].total() > 0

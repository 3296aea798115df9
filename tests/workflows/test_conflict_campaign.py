"""The campaign of conflicting beads, small."""

from __future__ import annotations

from collections.abc import Callable

from tests.campaigns.conflict import conflicts
from tests.workflows.studio import Studio


def test_beads_that_conflict_all_land_or_wait_for_a_person_and_main_is_never_red(
    open_studio: Callable[..., Studio],
) -> None:
    figures = conflicts(6)
    assert figures["ok"], figures
    assert figures["red_main"] == 0
    assert list(figures["at_once"]["waiting"].values())

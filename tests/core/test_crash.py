"""Crash points: they kill where they are told to, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.core.crash import crashpoint
from tests.crash.dying import KILLED, in_child


def pass_by(*names: str) -> None:
    for name in names:
        crashpoint(name)


@pytest.mark.parametrize(
    ("crash_at", "dies"),
    [
        ("", False),
        ("second", True),
        ("other", False),
        ("sec", False),
        ("first:1", True),
        ("first:2", True),
        ("first:3", False),
        ("second:2", False),
    ],
)
def test_the_process_dies_at_the_point_that_is_named(crash_at: str, dies: bool) -> None:
    code = in_child(lambda: pass_by("first", "second", "first"), crash_at=crash_at)
    assert code == (KILLED if dies else 0)


def test_with_a_marker_one_process_dies_and_the_next_goes_on(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    assert in_child(lambda: pass_by("here"), crash_at=f"here={marker}") == KILLED
    assert marker.exists()
    assert in_child(lambda: pass_by("here"), crash_at=f"here={marker}") == 0


def test_nothing_happens_where_nobody_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOOM_CRASH_AT", raising=False)
    pass_by("here")

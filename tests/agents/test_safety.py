"""Detectors of work that goes in circles: what they see, and what they must leave alone."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.safety import (
    CYCLES,
    MAX_ERRORS,
    MAX_REPEATS,
    MAX_RETURNS,
    MAX_STALE,
    Trail,
    fingerprint,
    steady,
)

Action = dict[str, Any]


def action(name: str, number: int = 0, **arguments: Any) -> Action:
    return {"id": f"call_{number}", "name": name, "arguments": arguments}


def turns(trail: Trail, *done: tuple[Action, str], tree: str = "") -> None:
    """One turn for each action with its result."""
    for one, text in done:
        trail.note([one], [{"id": one["id"], "name": one["name"], "text": text}], tree)


def reason(trail: Trail) -> str:
    stop = trail.stop()
    return stop.reason if stop else ""


def test_replies_without_an_action_end_a_session_unless_one_comes_between() -> None:
    trail = Trail()
    for _ in range(MAX_ERRORS - 1):
        trail.note([], [])
    assert reason(trail) == ""
    turns(trail, (action("read_file", path="a"), "A"))
    for _ in range(MAX_ERRORS - 1):
        trail.note([], [])
    assert reason(trail) == ""
    trail.note([], [])
    assert reason(trail) == "no_action"


def test_the_same_actions_again_and_again_are_a_repetition_whatever_they_give() -> None:
    trail = Trail()
    for number in range(MAX_REPEATS):
        assert reason(trail) == ""
        turns(trail, (action("run_tests", number), f"failed after {number} s"))
    assert reason(trail) == "repetition"


@pytest.mark.parametrize("length", sorted(CYCLES))
def test_a_pattern_of_turns_is_seen_after_its_last_round_and_not_before(length: int) -> None:
    trail = Trail()
    rounds = CYCLES[length]
    for turn in range(length * rounds):
        assert reason(trail) == "", f"after {turn} turns"
        turns(trail, (action("edit_file", path=f"file-{turn % length}"), f"edited {turn}"))
    assert reason(trail) == "ping_pong"


def test_a_pattern_that_is_broken_once_is_none() -> None:
    trail = Trail()
    for turn in range(40):
        step = "extra" if turn % 7 == 6 else f"file-{turn % 2}"
        turns(trail, (action("read_file", path=step), "x" * turn))
        assert reason(trail) == ""


def test_files_that_keep_coming_back_to_one_state_are_a_ping_pong() -> None:
    """A/B edits, each time with other words: no action is the same, only the files are."""
    trail = Trail()
    for turn in range(2 * MAX_RETURNS + 1):
        assert reason(trail) == ""
        text = f"edited in words of turn {turn}, {'x' * turn}"
        turns(trail, (action("edit_file", path="a", note=turn), text), tree="A" if turn % 2 == 0 else "B")
    assert reason(trail) == "ping_pong"


def test_reading_and_testing_between_edits_does_not_count_as_coming_back() -> None:
    """`tree` is only given for turns that changed files."""
    trail = Trail()
    turns(trail, (action("write_file", path="a"), "written"), tree="A")
    for turn in range(9):
        turns(trail, (action("read_file", path=f"f{turn}"), f"content of f{turn}"))
    turns(trail, (action("write_file", path="b"), "written"), tree="B")
    assert (reason(trail), trail.trees["A"]) == ("", 1)


def test_nothing_new_for_long_is_no_progress() -> None:
    trail = Trail()
    read = [(action("read_file", path=f"f{n}"), f"content {n}") for n in range(5)]
    turns(trail, *read)
    order = [0, 2, 4, 1, 3, 0, 3, 1, 2, 4, 2, 0]
    assert len(order) == MAX_STALE
    for number in order:
        assert reason(trail) == ""
        turns(trail, read[number])
    assert reason(trail) == "no_progress"


@pytest.mark.parametrize("news", ["result", "tree"])
def test_a_new_result_or_a_new_state_of_the_files_is_progress(news: str) -> None:
    trail = Trail()
    read = [(action("read_file", path=f"f{n}"), f"content {n}") for n in range(5)]
    turns(trail, *read, *[read[n] for n in (0, 2, 4, 1, 3, 0, 3, 1, 2, 4, 2)])
    assert trail.stale == MAX_STALE - 1
    if news == "result":
        turns(trail, (read[0][0], "content that somebody changed"))
    else:
        turns(trail, read[0], tree="new")
    assert trail.stale == 0


def test_a_test_run_that_only_took_another_time_is_not_news() -> None:
    trail = Trail()
    turns(trail, (action("run_tests"), "Ran 3 tests in 0.004s\nFAILED"))
    turns(trail, (action("run_tests"), "Ran 3 tests in 0.117s\nFAILED"))
    assert trail.stale == 1


def test_another_number_in_a_file_is_news() -> None:
    trail = Trail()
    turns(trail, (action("read_file", path="pyproject.toml"), "version = 1"))
    turns(trail, (action("read_file", path="pyproject.toml"), "version = 2"))
    assert trail.stale == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("timeout after 30 s at 12:04:11", "timeout after 31 s at 09:15:59"),
        ("No module at /tmp/loom-a1/x/calc.py line 3", "No module at /srv/other/calc.py line 77"),
        ("object at 0x7f3a9c10 is gone", "object at 0x1b00ffee is gone"),
        ("commit 9afd7db1 failed", "commit 5e21ac04 failed"),
        (
            "session 0b5f9b0e-94b4-4c2e-8f6b-3a4d0f6f4f11 broke",
            "session 7a5f9b0e-11b4-4c2e-8f6b-3a4d0f6f4f22 broke",
        ),
        ("\x1b[31mFAILED\x1b[0m  test_add", "FAILED test_add"),
    ],
)
def test_reports_of_one_error_share_a_fingerprint(first: str, second: str) -> None:
    assert fingerprint(first) == fingerprint(second), (steady(first), steady(second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("FAILED test_add", "FAILED test_sub"),
        ("No module named calc", "No module named book"),
        ("The key was refused.", "The model is missing."),
        ("a facade decade", "a facade defaced"),
        ("calc.py is broken", "tests/calc_test.py is broken"),
    ],
)
def test_other_errors_have_other_fingerprints(first: str, second: str) -> None:
    assert fingerprint(first) != fingerprint(second)

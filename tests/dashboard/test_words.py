"""Money, time and counts as people read them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.dashboard.queries_weave import ended_state
from apps.dashboard.templatetags.loom import FLOWS, SHAPES, ago, flow, money, shape, share, told
from apps.engine.flow import FLOWS as KNOWN
from apps.workflows.terminal import SHAPES as TERMINAL_SHAPES


@pytest.mark.parametrize(
    ("microusd", "text"),
    [
        (0, "$0.00"),
        (200, "under $0.001"),
        (4_300, "$0.004"),
        (99_499, "$0.099"),
        (99_500, "$0.10"),
        (1_140_000, "$1.14"),
        (1_234_567_890, "$1,234.57"),
    ],
)
def test_money_keeps_what_matters(microusd: int, text: str) -> None:
    assert money(microusd) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "now"), (125, "2 min"), (7300, "2 h"), (172_800, "2 d"), (-30, "under 1 min"), (-7300, "2 h")],
)
def test_time_is_told_in_one_unit(seconds: int, text: str) -> None:
    assert ago(timezone.now() - timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(("part", "whole", "percent"), [(1, 4, 25), (9, 4, 100), (1, 0, 0), (1, None, 0)])
def test_a_share_stays_within_its_bar(part: int, whole: int | None, percent: int) -> None:
    assert share(part, whole) == percent


def test_counts_leave_out_what_did_not_happen() -> None:
    assert told({"passed_count": 12, "failed_count": 0, "skipped_count": 1}) == "12 passed, 1 skipped"
    assert told({}) == ""


def test_pages_and_terminal_know_the_same_six_states() -> None:
    assert set(SHAPES) == set(TERMINAL_SHAPES)
    assert all('role="img"' in shape(state) for state in SHAPES)


def test_every_durable_flow_is_told_in_words() -> None:
    ours = {name for name, one in KNOWN.items() if one.function.__module__.startswith("apps.")}
    known = {name for name in ours if not name.startswith("test.")}  # tests have flows with functions of ours
    assert known <= FLOWS.keys()
    assert (flow("bead.work"), flow("of a plugin")) == ("Work on a bead", "of a plugin")


def test_a_session_that_stopped_does_not_look_done() -> None:
    assert [ended_state(reason) for reason in ("no_progress", "canceled", "merged")] == [
        "failed",
        "waiting",
        "done",
    ]

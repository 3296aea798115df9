"""Who may answer, in which order, and why the others may not: tables, no database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.core.errors import BadInput
from apps.providers.routing import Candidate, choose
from apps.providers.terms import Needs

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CHEAP = Candidate(
    1, "cheap", 100_000, 400_000, latency_ms=4000, quality=40, context_window=32_000, tools=True
)
FAST = Candidate(
    2, "fast", 1_000_000, 4_000_000, latency_ms=500, quality=60, context_window=128_000, tools=None
)
GOOD = Candidate(
    3,
    "good",
    5_000_000,
    25_000_000,
    3000,
    95,
    1_000_000,
    tools=True,
    vision=True,
    tags=frozenset({"eu", "zdr"}),
)
TEXT_ONLY = Candidate(4, "text-only", 200_000, 200_000, latency_ms=2000, quality=50, tools=False)
ALL = [GOOD, TEXT_ONLY, CHEAP, FAST]


def names(
    candidates: list[Candidate], needs: Needs | None = None, policy: str = "minimize_cost", **kw: Any
) -> str:
    choice = choose(candidates, needs=needs or Needs(), policy=policy, now=NOW, **kw)
    return " ".join(candidate.name for candidate in choice.order)


@pytest.mark.parametrize(
    ("policy", "order"),
    [
        ("minimize_cost", "cheap text-only fast good"),
        ("minimize_latency", "fast text-only good cheap"),
        ("maximize_quality", "good fast text-only cheap"),
        ("balanced", "fast text-only cheap good"),
    ],
)
def test_policies_order_the_same_candidates_differently(policy: str, order: str) -> None:
    assert names(ALL, policy=policy) == order


@pytest.mark.parametrize(
    ("needs", "order"),
    [
        (Needs(), "cheap text-only fast good"),
        (Needs(context_window=100_000), "text-only fast good"),  # an unknown window is given a chance
        (Needs(tools=True), "cheap fast good"),  # unknown tools are given a chance
        (Needs(vision=True), "good"),
        (Needs(max_price=2_000_000), "cheap text-only fast"),
        (Needs(max_price=0), ""),
        (Needs(max_latency_ms=2500), "text-only fast"),
        (Needs(tags=("eu",)), "good"),
        (Needs(tags=("eu", "gpu")), ""),
        (Needs(tools=True, context_window=64_000, max_price=3_000_000), "fast"),
    ],
)
def test_needs_leave_only_those_that_meet_them(needs: Needs, order: str) -> None:
    assert names(ALL, needs) == order


def test_offered_tools_rule_out_models_known_to_take_none() -> None:
    assert names(ALL, tools_offered=True) == "cheap fast good"


def test_one_that_failed_last_time_comes_last_but_is_not_given_up() -> None:
    broken = Candidate(9, "broken", 1, 1, failed=True)
    assert names([broken, GOOD]) == "good broken"


@pytest.mark.parametrize(
    ("cool_until", "order"),
    [
        (NOW + timedelta(seconds=1), "good"),
        (NOW, "resting good"),
        (NOW - timedelta(seconds=1), "resting good"),
    ],
)
def test_an_open_circuit_keeps_a_candidate_out_until_its_rest_is_over(
    cool_until: datetime, order: str
) -> None:
    assert names([Candidate(9, "resting", 1, 1, cool_until=cool_until), GOOD]) == order


def test_the_end_of_the_shortest_rest_is_known() -> None:
    soon, late = NOW + timedelta(seconds=5), NOW + timedelta(seconds=50)
    resting = [Candidate(1, "a", cool_until=late), Candidate(2, "b", cool_until=soon)]
    choice = choose(resting, needs=Needs(), policy="balanced", now=NOW)
    assert choice.order == ()
    assert choice.rest_until() == soon


def test_every_refusal_has_a_reason() -> None:
    choice = choose(
        ALL, needs=Needs(tools=True, vision=True, context_window=64_000), policy="balanced", now=NOW
    )
    assert [candidate.name for candidate in choice.order] == ["good"]
    assert choice.reasons() == ("text-only: takes no tools; cheap: sees no images; fast: sees no images")


def test_the_demo_takes_part_only_when_alone_or_pinned() -> None:
    demo = Candidate(7, "demo", 250_000, 1_250_000, is_demo=True)
    assert names([demo]) == "demo"
    assert names([demo, GOOD]) == "good"
    assert names([demo, GOOD], pinned=7) == "demo"
    assert names([demo, GOOD], Needs(tags=("nowhere",))) == "", (
        "the demo is no stand-in for what does not fit"
    )


def test_a_pin_leaves_one_candidate_and_its_obstacles_count() -> None:
    assert names(ALL, pinned=3) == "good"
    assert names(ALL, Needs(vision=True), pinned=1) == ""
    assert names(ALL, pinned=99) == ""


def test_equal_candidates_keep_one_order_however_they_are_listed() -> None:
    twins = [Candidate(n, f"twin-{n}", 10, 10) for n in (5, 3, 4)]
    for policy in ("balanced", "minimize_cost", "minimize_latency", "maximize_quality"):
        assert names(twins, policy=policy) == names(twins[::-1], policy=policy) == "twin-3 twin-4 twin-5"


def test_a_free_model_wins_on_cost_without_dividing_by_zero() -> None:
    free = Candidate(8, "free", 0, 0)
    assert names([GOOD, free]) == "free good"
    assert names([free, Candidate(9, "free-too", 0, 0)], policy="balanced") == "free free-too"


def test_an_unmeasured_provider_is_neither_favored_nor_buried() -> None:
    new = Candidate(8, "new", latency_ms=0)
    quick, slow = Candidate(9, "quick", latency_ms=100), Candidate(10, "slow", latency_ms=9000)
    assert names([slow, new, quick], policy="minimize_latency") == "quick new slow"


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput) as caught:
        names(ALL, policy="cheapest")
    assert "minimize_cost" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "more", "order"),
    [
        ({}, {}, "good cheap text-only fast"),
        ({"failed": True}, {}, "cheap text-only fast good"),
        ({"cool_until": NOW + timedelta(minutes=1)}, {}, "cheap text-only fast"),
        ({"vision": False}, {"needs": Needs(vision=True)}, ""),
        ({"tools": False}, {"tools_offered": True}, "cheap fast"),
        ({"is_demo": True}, {}, "cheap text-only fast"),
        ({}, {"pinned": CHEAP.id}, "cheap"),
    ],
)
def test_the_preferred_one_comes_first_while_it_is_well_and_fits(
    changes: dict[str, Any], more: dict[str, Any], order: str
) -> None:
    changed = replace(GOOD, **changes)
    assert names([changed, TEXT_ONLY, CHEAP, FAST], preferred=GOOD.id, **more) == order


def test_one_that_is_gone_is_preferred_by_nobody() -> None:
    assert names(ALL, preferred=99) == names(ALL)

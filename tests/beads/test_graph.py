"""Cycles and depths of a graph, as pure functions."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.beads.graph import depths, find_cycle

GRAPHS = st.dictionaries(st.integers(0, 7), st.lists(st.integers(0, 7), max_size=4), max_size=8)


@pytest.mark.parametrize(
    ("graph", "cycle"),
    [
        ({}, []),
        ({1: [2], 2: [3]}, []),
        ({1: [2, 3], 2: [4], 3: [4]}, []),
        ({1: [1]}, [1, 1]),
        ({1: [2], 2: [1]}, [1, 2, 1]),
        ({0: [1], 1: [2], 2: [3], 3: [1]}, [1, 2, 3, 1]),
    ],
)
def test_a_cycle_is_found_with_the_way_around_it(graph: dict[int, list[int]], cycle: list[int]) -> None:
    assert find_cycle(graph) == cycle


@given(GRAPHS)
def test_what_is_called_a_cycle_is_one_and_the_rest_has_depths(graph: dict[int, list[int]]) -> None:
    cycle = find_cycle(graph)
    if cycle:
        assert cycle[0] == cycle[-1]
        assert all(to in graph[start] for start, to in pairwise(cycle))
    else:
        depth = depths(graph)
        assert all(depth[node] > depth[blocker] for node in graph for blocker in graph[node])


def test_a_very_long_chain_does_not_exhaust_the_stack() -> None:
    chain = {n: [n + 1] for n in range(20_000)}
    assert find_cycle(chain) == []
    assert depths(chain)[0] == 20_000
    assert find_cycle(chain | {20_000: [0]})[0] == find_cycle(chain | {20_000: [0]})[-1]


def test_the_depth_is_the_longest_way_down() -> None:
    assert depths({"a": ["b", "d"], "b": ["c"], "c": ["d"]}) == {"d": 0, "c": 1, "b": 2, "a": 3}

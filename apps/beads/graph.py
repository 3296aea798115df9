"""The dependency graph, as plain functions on ids."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


def find_cycle(blockers: Mapping[Node, Iterable[Node]]) -> list[Node]:
    """One cycle as a list that starts and ends with the same node; empty if there is none.

    `blockers` maps each node to the nodes it waits for. Iterative, so a long chain cannot exhaust the stack.
    """
    done: set[Node] = set()
    for start in blockers:
        path: list[Node] = []
        on_path: set[Node] = set()
        stack = [(start, False)]
        while stack:
            node, leaving = stack.pop()
            if leaving:
                path.pop()
                on_path.discard(node)
                done.add(node)
            elif node in on_path:
                return [*path[path.index(node) :], node]
            elif node not in done:
                path.append(node)
                on_path.add(node)
                stack.append((node, True))
                stack += [(blocker, False) for blocker in blockers.get(node, ())]
    return []


def depths(blockers: Mapping[Node, Iterable[Node]]) -> dict[Node, int]:
    """Length of the longest chain of blockers below each node; the graph must have no cycle."""
    known: dict[Node, int] = {}
    for start in blockers:
        stack = [start]
        while stack:
            node = stack[-1]
            missing = [blocker for blocker in blockers.get(node, ()) if blocker not in known]
            if missing:
                stack += missing
            else:
                stack.pop()
                known[node] = 1 + max((known[blocker] for blocker in blockers.get(node, ())), default=-1)
    return known

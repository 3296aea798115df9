"""The work graph as a picture: layers from what blocks to what waits, and the critical path. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from apps.beads.graph import depths

BOX, HIGH, GAP_X, GAP_Y, EDGE = 190, 40, 46, 12, 16
SHORT, SHORTEST = 134, 88  # of boxes with a word or two
ROOM = 1064  # what a page has beside its menu in a window of 1360
ROUNDS = 3


@dataclass(frozen=True)
class Node:
    id: int
    key: str
    title: str
    state: str
    is_done: bool


@dataclass(frozen=True)
class Box:
    node: Node
    x: int
    y: int
    is_critical: bool
    width: int = BOX
    height: int = HIGH

    @property
    def words(self) -> str:
        title = self.node.title
        room = self.width // 7
        return title if len(title) <= room else f"{title[: room - 1]}…"


@dataclass(frozen=True)
class Edge:
    path: str
    is_critical: bool


@dataclass(frozen=True)
class Drawing:
    width: int
    height: int
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    critical: list[Node]


def draw(nodes: Sequence[Node], blockers: Mapping[int, Sequence[int]], *, short: bool = False) -> Drawing:
    """Boxes in columns, so that every edge goes right; the order within a column keeps edges short.

    Boxes of few words are as narrow as lets them all stand beside each other, where that is possible.
    """
    known = {node.id: node for node in nodes}
    edges = {node.id: [pk for pk in blockers.get(node.id, ()) if pk in known] for node in nodes}
    layer = depths(edges)
    columns: dict[int, list[int]] = defaultdict(list)
    for node in nodes:
        columns[layer[node.id]].append(node.id)
    _untangle(columns, edges)
    box = _width(len(columns)) if short else BOX
    path = critical_path(known, edges)
    on_path = set(pairwise(path))
    place = {
        pk: (EDGE + column * (box + GAP_X), EDGE + row * (HIGH + GAP_Y))
        for column, ids in columns.items()
        for row, pk in enumerate(ids)
    }
    drawn = [
        Edge(_edge(place[blocker], place[pk], box), (blocker, pk) in on_path)
        for pk, found in edges.items()
        for blocker in found
    ]
    return Drawing(
        width=2 * EDGE + max(1, len(columns)) * (box + GAP_X) - GAP_X,
        height=2 * EDGE + max((len(ids) for ids in columns.values()), default=1) * (HIGH + GAP_Y) - GAP_Y,
        boxes=tuple(Box(known[pk], x, y, pk in path, box) for pk, (x, y) in place.items()),
        edges=tuple(sorted(drawn, key=lambda edge: edge.is_critical)),
        critical=[known[pk] for pk in path],
    )


def _width(columns: int) -> int:
    return max(SHORTEST, min(SHORT, (ROOM - 2 * EDGE + GAP_X) // max(1, columns) - GAP_X))


def _untangle(columns: dict[int, list[int]], edges: Mapping[int, Sequence[int]]) -> None:
    """Order each column by the middle of what its boxes are tied to, to and fro."""
    dependents: dict[int, list[int]] = defaultdict(list)
    for pk, found in edges.items():
        for blocker in found:
            dependents[blocker].append(pk)
    for number in range(ROUNDS):
        tied = dependents if number % 2 else edges
        row = {pk: at for ids in columns.values() for at, pk in enumerate(ids)}
        for ids in columns.values():
            ids.sort(key=lambda pk: _middle([row[one] for one in tied.get(pk, ())], row[pk]))
            row |= {pk: at for at, pk in enumerate(ids)}


def _middle(rows: Sequence[int], default: int) -> float:
    return sum(rows) / len(rows) if rows else default


def critical_path(nodes: Mapping[int, Node], edges: Mapping[int, Sequence[int]]) -> list[int]:
    """The longest chain of unfinished work: what decides when all is done."""
    open_edges = {
        pk: [one for one in found if not nodes[one].is_done]
        for pk, found in edges.items()
        if not nodes[pk].is_done
    }
    length = depths(open_edges)
    if not length:
        return []
    at = max(length, key=lambda pk: (length[pk], -pk))
    path = [at]
    while open_edges[at]:
        at = max(open_edges[at], key=lambda pk: (length[pk], -pk))
        path.append(at)
    return path[::-1]


def _edge(start: tuple[int, int], end: tuple[int, int], box: int) -> str:
    x1, y1, x2, y2 = start[0] + box, start[1] + HIGH // 2, end[0], end[1] + HIGH // 2
    half = GAP_X // 2
    return f"M{x1} {y1}C{x1 + half} {y1} {x2 - half} {y2} {x2} {y2}"

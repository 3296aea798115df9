"""What is wrong with a graph as a whole: places nobody reaches, ways without exit, unknown words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from apps.agents.personas import role_resolve
from apps.beads.models import WORKABLE
from apps.workflows.graph import ENDS, Action, Approval, Edge, Graph, Merge, Staffed, Task, Wait, distances
from apps.workflows.graph_reading import Problem

NEEDS_WORK = {"verify", "review", "merge"}

Roles = Mapping[str, tuple[str, ...]]
Actions = Mapping[str, frozenset[str]]


def graph_problems(
    graph: Graph, *, roles: Roles, personas: Mapping[str, str], actions: Actions
) -> list[Problem]:
    """Everything that speaks against using the graph. `personas` names the role of each."""
    found = list(_unknown_nodes(graph))
    if found:
        return found  # what follows walks along the edges
    checks: list[Callable[[], Iterator[Problem]]] = [
        lambda: _edges(graph),
        lambda: _missing(graph),
        lambda: _unreached(graph),
        lambda: _endless(graph),
        lambda: _unworked(graph),
        lambda: _unmerged(graph),
        lambda: _nodes(graph, actions),
        lambda: _staff(graph, roles, personas),
        lambda: _rules(graph),
    ]
    return [problem for check in checks for problem in check()]


def _unknown_nodes(graph: Graph) -> Iterator[Problem]:
    for key in graph.nodes:
        if key in ENDS:
            yield Problem(f"node {key}", f"the names {' and '.join(ENDS)} are the ends of every workflow")
    if graph.start not in graph.nodes:
        yield Problem("start", f"there is no node {graph.start!r}")
    for edge in graph.edges:
        if edge.source not in graph.nodes:
            yield Problem(f"edge {edge}", f"there is no node {edge.source!r}")
        if edge.target not in graph.nodes and edge.target not in ENDS:
            yield Problem(f"edge {edge}", f"there is no node {edge.target!r}")


def _edges(graph: Graph) -> Iterator[Problem]:
    ways: defaultdict[tuple[str, str], list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        allowed = (*graph.nodes[edge.source].can_end(), "escalated")
        if edge.on not in allowed:
            kind = graph.nodes[edge.source].kind
            yield Problem(f"edge {edge}", f"this {kind} ends with {', '.join(allowed)}, never with {edge.on}")
        ways[edge.source, edge.on].append(edge)
    for (key, condition), edges in ways.items():
        ordered = graph.edges_from(key, condition)
        for number, edge in enumerate(ordered):
            if any(edge.target == other.target and edge.labels == other.labels for other in ordered[:number]):
                yield Problem(f"edge {edge}", "stands here twice")
            elif any(not other.labels or other.labels == edge.labels for other in ordered[:number]):
                yield Problem(
                    f"edge {edge}", f"is never taken: {ordered[number - 1].target} comes first on {condition}"
                )
        if condition != "escalated" and all(edge.labels for edge in edges):
            yield Problem(f"node {key}", f"beads without these labels have no way on after {condition}")


def _missing(graph: Graph) -> Iterator[Problem]:
    for key, node in graph.nodes.items():
        for condition in node.can_end():
            if not graph.edges_from(key, condition):
                yield Problem(f"node {key}", f"it can end with {condition}, but no edge says what follows")


def _unreached(graph: Graph) -> Iterator[Problem]:
    for key in graph.nodes.keys() - graph.depths.keys():
        yield Problem(f"node {key}", f"it cannot be reached from {graph.start}")


def _endless(graph: Graph) -> Iterator[Problem]:
    """Nodes from which no way leads to an end."""
    back: dict[str, list[str]] = defaultdict(list)
    for edge in graph.edges:
        back[edge.target].append(edge.source)
    ending = set().union(*(distances(end, back) for end in ENDS))
    stuck = sorted(key for key in graph.depths if key in graph.nodes and key not in ending)
    for key in stuck:
        around = [other for other in distances(key, graph.ways()) if other in stuck and other != key]
        others = f" (with {', '.join(sorted(around))})" if around else ""
        yield Problem(f"node {key}", f"it goes round without an exit{others}: no way leads from it to an end")
    if not stuck and "end" not in graph.depths:
        yield Problem("", "no way leads to end")


def _unworked(graph: Graph) -> Iterator[Problem]:
    """Verification, review and merge need a claim: from the start, or after a merge, a task comes first."""
    if graph.subject != "bead":
        return
    tasks = {key for key, node in graph.nodes.items() if isinstance(node, Task)}
    merged = {
        edge.target
        for edge in graph.edges
        if isinstance(graph.nodes[edge.source], Merge) and edge.on == "success"
    }
    ways = {key: targets for key, targets in graph.ways().items() if key not in tasks}
    idle = {key for start in {graph.start, *merged} for key in distances(start, ways)}
    for key, node in graph.nodes.items():
        if key in idle and node.kind in NEEDS_WORK:
            yield Problem(f"node {key}", "it can be reached without a task that makes something first")


def _unmerged(graph: Graph) -> Iterator[Problem]:
    """A bead is closed as done only when its work is on main."""
    if graph.subject != "bead":
        return
    ways: dict[str, list[str]] = {key: [] for key in graph.nodes}
    for edge in graph.edges:
        if not (isinstance(graph.nodes[edge.source], Merge) and edge.on == "success"):
            ways[edge.source].append(edge.target)
    unmerged = distances(graph.start, ways)
    for edge in graph.edges:
        if edge.target == "end" and edge.source in unmerged and "end" in ways[edge.source]:
            yield Problem(
                f"edge {edge}", "the bead would be closed as done without a merge; lead it to drop or merge"
            )


def _nodes(graph: Graph, actions: Actions) -> Iterator[Problem]:
    for key, node in graph.nodes.items():
        if isinstance(node, Wait):
            if (node.delay is None) == (not node.signal):
                yield Problem(f"node {key}", "a wait has either a delay or a signal")
            if node.delay is not None and node.timeout is not None:
                yield Problem(f"node {key}", "a delay has no timeout")
        if isinstance(node, Action):
            yield from _action(key, node, actions)
        if graph.subject == "project" and not isinstance(node, Wait | Action | Approval):
            yield Problem(f"node {key}", f"a workflow of a project has no {node.kind} nodes")


def _action(key: str, node: Action, actions: Actions) -> Iterator[Problem]:
    if node.action not in actions:
        known = ", ".join(sorted(actions))
        yield Problem(f"node {key}", f"there is no action {node.action!r}; the actions are {known}")
        return
    for name in sorted(node.given.keys() - actions[node.action]):
        yield Problem(f"node {key}", f"{node.action} takes no {name!r}")


def _staff(graph: Graph, roles: Roles, personas: Mapping[str, str]) -> Iterator[Problem]:
    for key, node in graph.nodes.items():
        if not isinstance(node, Staffed):
            continue
        role = role_resolve(node.role, roles) if node.role else ""
        if role is None:
            yield Problem(f"node {key}", f"there is no role {node.role!r}; the roles are {', '.join(roles)}")
        if node.persona and node.persona not in personas:
            yield Problem(f"node {key}", f"there is no persona {node.persona!r}")
        elif node.persona and role and personas[node.persona] != role:
            yield Problem(
                f"node {key}", f"the persona {node.persona} has the role {personas[node.persona]}, not {role}"
            )


def _rules(graph: Graph) -> Iterator[Problem]:
    if graph.subject == "project" and (graph.match or graph.default):
        yield Problem("match", "a workflow of a project is not for beads")
    for number, rule in enumerate(graph.match, 1):
        if not rule.types and not rule.labels:
            yield Problem(f"match {number}", "a rule names types or labels; for all other beads say default")
        for name in rule.types:
            if name not in WORKABLE:
                types = ", ".join(WORKABLE)
                yield Problem(f"match {number}", f"nobody works on beads of type {name!r}, but on {types}")

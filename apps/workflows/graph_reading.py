"""Reading a definition: YAML with the lines it came from, or the API's JSON; every problem with its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from pydantic import ValidationError

from apps.core.errors import BadInput
from apps.core.storable import storable
from apps.workflows.graph import END, Graph

MAX_CHARS = 128 * 1024
SHOWN = 30  # problems that an error lists
# What the reader finds, in words for people rather than for its makers.
SAID = {
    "extra_forbidden": "is not a field of this place",
    "missing": "is missing",
    "too_short": "must not be empty",
    "dict_type": "must be names with values below them",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "string_type": "must be a text",
}

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where: a node's key, an edge as `from → to on condition`, or a field."""

    place: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{self.message}" + (f" (line {self.line})" if self.line else "")

    def data(self) -> dict[str, Any]:
        return {"place": self.place, "message": self.message, "line": self.line}


class GraphRefused(BadInput):
    """A definition that cannot be used."""

    def __init__(self, name: str, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        listed = "; ".join(str(problem) for problem in self.problems[:SHOWN])
        super().__init__(
            f"The workflow {name or 'given'} is not valid: {listed}.",
            hint="See docs/workflows.md for the format.",
            details={"problems": [problem.data() for problem in self.problems]},
        )


@dataclass
class Source:
    """Plain data, and the line of each part of it where it was read from YAML."""

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.data.get("name", ""))[:60] if isinstance(self.data, dict) else ""

    def line(self, path: Path) -> int | None:
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path) if path else None


def graph_read(given: str | Mapping[str, Any]) -> Graph:
    """The graph of a YAML text or of the API's fields; GraphRefused lists what its form lacks."""
    source = yaml_source(given) if isinstance(given, str) else Source(dict(given))
    if not isinstance(source.data, dict):
        raise GraphRefused("", [Problem("", "a definition has fields such as name, start, nodes and edges")])
    data = native(source.data)
    try:
        return Graph.model_validate(data)
    except ValidationError as error:
        raise GraphRefused(source.name, [_problem(one, data, source) for one in error.errors()]) from None


def _problem(error: Any, data: dict[str, Any], source: Source) -> Problem:
    path: Path = tuple(part for part in error["loc"])
    message = SAID.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
    place, rest = ".".join(map(str, path)), ""
    if path[:1] == ("nodes",) and len(path) > 1:
        # The third part is the kind that the node was read as.
        place, rest = f"node {path[1]}", ".".join(map(str, path[3:]))
        if error["type"] == "string_pattern_mismatch" and path[-1] == "[key]":
            message = "a key has lower-case words joined by hyphens"
            rest = ""
        path = (*path[:2], *path[3:])
    elif path[:1] == ("edges",) and len(path) > 1:
        place, rest = _edge_place(data, int(path[1])), ".".join(map(str, path[2:]))
    return Problem(place, f"{rest}: {message}" if rest else message, source.line(path))


def _edge_place(data: dict[str, Any], index: int) -> str:
    edge = data["edges"][index]
    if not isinstance(edge, dict):
        return f"edge {index + 1}"
    return f"edge {index + 1} ({edge.get('from', '?')} → {edge.get('to', '?')} on {edge.get('on', '?')})"


# -- YAML ------------------------------------------------------------------------------------------


def yaml_source(text: str) -> Source:
    """Plain data of a YAML text. Scalars stay strings, so that `on` is not a truth value."""
    if len(text) > MAX_CHARS:
        raise BadInput(f"A definition has at most {MAX_CHARS} characters, not {len(text)}.")
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "it cannot be read"
        raise GraphRefused(
            "", [Problem("", f"this is not YAML: {reason}", mark.line + 1 if mark else None)]
        ) from error
    except RecursionError:
        raise BadInput("A definition is not nested that deeply.") from None
    source = Source(None)
    source.data = storable(_plain(root, (), source.lines, set())) if root is not None else None
    return source


def located(problems: Iterable[Problem], text: str) -> list[Problem]:
    """The problems with the lines of the text that they are about, as far as it says."""
    source = yaml_source(text)
    edges: list[Any] = source.data.get("edges", [])
    places: dict[str, Path] = {
        f"edge {edge.get('from')} → {edge.get('to')} on {edge.get('on')}": ("edges", number)
        for number, edge in enumerate(edges)
        if isinstance(edge, dict)
    }

    def line(place: str) -> int | None:
        kind, _, rest = place.partition(" ")
        if kind == "match" and rest.isdigit():
            return source.line(("match", int(rest) - 1))
        return source.line(places.get(place) or (("nodes", rest) if kind == "node" else (kind,)))

    return [one if one.line else replace(one, line=line(one.place)) for one in problems]


def _plain(node: Any, path: Path, lines: dict[Path, int], seen: set[int]) -> Any:
    line = node.start_mark.line + 1
    if id(node) in seen:
        raise GraphRefused("", [Problem(_dotted(path), "anchors and aliases are not read", line)])
    seen.add(id(node))
    lines[path] = line
    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return [_plain(one, (*path, index), lines, seen) for index, one in enumerate(node.value)]
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        if key in data:
            again = key_node.start_mark.line + 1
            raise GraphRefused("", [Problem(_dotted((*path, key)), "stands here twice", again)])
        data[key] = _plain(value_node, (*path, key), lines, seen)
    return data


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))


# -- the API's words -------------------------------------------------------------------------------

OWN = {"name", "description", "subject", "default", "match", "start", "max_cycles", "nodes", "edges"}
NODE_WORDS = {"node_type": "kind", "role_required": "role", "persona_hint": "persona"}
KINDS = {"commit": "merge"}
IGNORED = {"id", "workflow_id", "created_at", "updated_at", "node_key"}


def native(data: dict[str, Any]) -> dict[str, Any]:
    """The same definition in our words, whether it came in those of the HTTP API (lists, `node_key`, ...)."""
    nodes, edges = data.get("nodes"), data.get("edges")
    if not isinstance(nodes, list) or not isinstance(edges, list | None):
        return data
    _objects_require(nodes, edges or ())
    found = {key: value for key, value in data.items() if key in OWN}
    found["default"] = data.get("is_default", data.get("default", False))
    found["nodes"] = {
        str(node.get("node_key") or f"node-{number}"): _native_node(node)
        for number, node in enumerate(nodes, 1)
    }
    pairs = [_native_edge(edge) for edge in edges or ()]
    starts = [edge["to"] for edge in pairs if not edge["from"]]
    if starts and "start" not in found:
        found["start"] = starts[0]
    found["edges"] = [{**edge, "to": edge["to"] or END} for edge in pairs if edge["from"]]
    return found


def _objects_require(nodes: Iterable[Any], edges: Iterable[Any]) -> None:
    """GraphRefused where a node or an edge would be lost on the way: no object, or a key used before."""
    problems, keys = [], set()
    for word, given in (("node", nodes), ("edge", edges)):
        for number, one in enumerate(given, 1):
            if not isinstance(one, dict):
                problems.append(Problem(f"{word} {number}", "must be an object"))
            elif word == "node" and (key := str(one.get("node_key") or f"node-{number}")) in keys:
                problems.append(Problem(f"node {key}", "stands here twice"))
            elif word == "node":
                keys.add(key)
    if problems:
        raise GraphRefused("", problems)


def _native_node(node: dict[str, Any]) -> dict[str, Any]:
    metadata = node.get("metadata")
    found: dict[str, Any] = dict(metadata) if isinstance(metadata, dict) else {}
    for key, value in node.items():
        if key in IGNORED or key in {"metadata", "timeout_minutes"} or value in ("", None):
            continue
        found[NODE_WORDS.get(key, key)] = value
    if minutes := node.get("timeout_minutes"):
        found["timeout"] = f"{minutes}m"
    found["kind"] = KINDS.get(str(found.get("kind")), found.get("kind"))
    return {key: value for key, value in found.items() if value is not None}


def _native_edge(edge: dict[str, Any]) -> dict[str, Any]:
    words = {"from_node_key": "from", "to_node_key": "to", "condition": "on"}
    found = {words.get(key, key): value for key, value in edge.items() if key not in IGNORED}
    return {"from": "", "to": "", **found}

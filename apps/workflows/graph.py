"""Workflows as graphs: what a definition says, checked field by field, and the places it names."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

END, DROP = "end", "drop"
ENDS = (END, DROP)
CONDITIONS = ("success", "failure", "approved", "rejected", "timeout", "escalated")
MAX_NODES = 60
MAX_CYCLES = 20
NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Condition = Literal["success", "failure", "approved", "rejected", "timeout", "escalated"]
Name = Annotated[str, Field(pattern=NAME, max_length=60)]


def _seconds(value: Any) -> Any:
    """`90s`, `30m`, `8h`, `2d`, or a number of seconds."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", value.strip().lower())
    if found is None:
        raise ValueError(f"{value!r} is no length of time; say 90s, 30m, 8h or 2d")
    return float(found[1]) * UNITS[found[2] or "s"]


Duration = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=366 * 86400)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Node(Model):
    """A place in the graph; `max_attempts` is how often it may end without success before it is given up."""

    outcomes: ClassVar[tuple[str, ...]] = ("success", "failure")
    good: ClassVar[str] = "success"

    max_attempts: int = Field(default=3, ge=1, le=100)

    def can_end(self) -> tuple[str, ...]:
        """The outcomes that need an edge; `escalated` goes to a person where it has none."""
        timed = ("timeout",) if getattr(self, "timeout", None) is not None else ()
        return (*self.outcomes, *timed)


class Staffed(Node):
    """A node at which an agent works. No role: the bead's own."""

    role: str = Field(default="", max_length=60)
    persona: str = Field(default="", max_length=120)
    instructions: str = Field(default="", max_length=8000)
    timeout: Duration | None = None


class Task(Staffed):
    """An agent changes files until it claims to be done."""

    kind: Literal["task"] = "task"
    max_attempts: int = Field(default=2, ge=1, le=100)


class Review(Staffed):
    """An agent of another persona judges the claim."""

    outcomes = ("approved", "rejected", "failure")
    good = "approved"

    kind: Literal["review"] = "review"
    role: str = Field(default="code-reviewer", max_length=60)
    max_attempts: int = Field(default=4, ge=1, le=100)


class Verify(Node):
    """The platform proves the claim on a clean checkout."""

    kind: Literal["verify"] = "verify"
    max_attempts: int = Field(default=5, ge=1, le=100)


class Approval(Node):
    """A decision: by a person, by the decision-maker, or by whoever the project's setting says."""

    outcomes = ("approved", "rejected")
    good = "approved"

    kind: Literal["approval"] = "approval"
    question: str = Field(default="", max_length=500)
    by: Literal["person", "agent", "project"] = "project"
    timeout: Duration | None = None


class Merge(Node):
    """The merge queue; `timeout` limits the wait for the turn."""

    kind: Literal["merge"] = "merge"
    max_attempts: int = Field(default=6, ge=1, le=100)
    timeout: Duration | None = None


class Wait(Node):
    """A timer (`delay`), or a signal that somebody sends to the run."""

    outcomes = ("success",)

    kind: Literal["wait"] = "wait"
    delay: Duration | None = None
    signal: str = Field(default="", max_length=60, pattern=r"^[A-Za-z0-9._-]*$")
    timeout: Duration | None = None


class Action(Node):
    """Something the platform does itself; `with` holds its parameters."""

    kind: Literal["action"] = "action"
    max_attempts: int = Field(default=1, ge=1, le=100)
    action: str = Field(max_length=60)
    given: dict[str, str] = Field(default_factory=dict, alias="with")


AnyNode = Annotated[Task | Review | Verify | Approval | Merge | Wait | Action, Field(discriminator="kind")]


class Edge(Model):
    """The way from a node after an outcome. Of several the highest priority whose `labels` the bead has."""

    source: Name = Field(alias="from")
    target: Name = Field(alias="to")
    on: Condition
    priority: int = Field(default=0, ge=-1000, le=1000)
    labels: tuple[str, ...] = Field(default=(), max_length=20)

    def __str__(self) -> str:
        return f"{self.source} → {self.target} on {self.on}"


class Rule(Model):
    """Which beads a workflow is for: one of the types (if any are named) and one of the labels (if any)."""

    types: tuple[str, ...] = Field(default=(), max_length=20)
    labels: tuple[str, ...] = Field(default=(), max_length=40)


class Graph(Model):
    name: Name
    description: str = Field(default="", max_length=2000)
    subject: Literal["bead", "project"] = "bead"
    default: bool = False
    match: tuple[Rule, ...] = Field(default=(), max_length=40)
    start: Name
    max_cycles: int = Field(default=MAX_CYCLES, ge=1, le=1000)
    nodes: dict[Name, AnyNode] = Field(min_length=1, max_length=MAX_NODES)
    edges: tuple[Edge, ...] = Field(min_length=1, max_length=6 * MAX_NODES)

    def edges_from(self, key: str, condition: str) -> list[Edge]:
        """The ways that an outcome opens, the first to be tried first."""
        found = [edge for edge in self.edges if edge.source == key and edge.on == condition]
        return sorted(found, key=lambda edge: (-edge.priority, not edge.labels, edge.target))

    def way(self, key: str, condition: str, labels: Any = ()) -> str | None:
        """Where an outcome leads a bead with these labels; None if nowhere."""
        held = tuple(labels)
        for edge in self.edges_from(key, condition):
            if not edge.labels or any(label_matches(wanted, held) for wanted in edge.labels):
                return edge.target
        return None

    @cached_property
    def depths(self) -> dict[str, int]:
        """How far each node is from the start; nodes that cannot be reached have none."""
        return distances(self.start, self.ways())

    def ways(self) -> dict[str, list[str]]:
        """Where edges lead from each node, whatever their condition."""
        found: dict[str, list[str]] = {key: [] for key in self.nodes}
        for edge in self.edges:
            found.setdefault(edge.source, []).append(edge.target)
        return found

    def goes_back(self, source: str, target: str) -> bool:
        """Whether a way leads back to where the walk has been; these are the cycles that are counted."""
        return target not in ENDS and self.depths.get(target, 0) <= self.depths.get(source, 0)

    def content(self) -> dict[str, Any]:
        """The definition as plain data, without what stands at its default."""
        data = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        # What tells the kinds of nodes apart is a default of each, and the first thing a reader wants.
        data["nodes"] = {key: {"kind": self.nodes[key].kind, **node} for key, node in data["nodes"].items()}
        return data

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.content(), sort_keys=True).encode()).hexdigest()


def distances(start: str, ways: Mapping[str, list[str]]) -> dict[str, int]:
    """Steps from `start` to whatever can be reached from it."""
    found, ring = {start: 0}, [start]
    while ring:
        depth = found[ring[0]] + 1
        ring = list(dict.fromkeys(to for source in ring for to in ways.get(source, ()) if to not in found))
        found |= dict.fromkeys(ring, depth)
    return found


def words_of(text: str) -> str:
    """A label in lower case with one space between its words, and at both ends."""
    return " " + " ".join(re.findall(r"[^\W_]+", text.casefold())) + " "


def label_matches(wanted: str, labels: Any) -> bool:
    """Whether one of a bead's labels holds these whole words: `ui` is in `area/ui`, not in `build`."""
    words = words_of(wanted)
    return bool(words.strip()) and any(words in words_of(str(label)) for label in labels)

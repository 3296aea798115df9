"""What action nodes can do: functions of flows, registered under the names that definitions use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """How a node ended. `detail` is told to the next ones and to people; `data` is kept in the history."""

    condition: str
    detail: str = ""
    data: dict[str, Any] | None = None


@dataclass(frozen=True)
class GraphAction:
    """`run(walk, **given)` is a part of a flow: it may take steps and wait."""

    run: Callable[..., Outcome]
    takes: frozenset[str]


ACTIONS: dict[str, dict[str, GraphAction]] = {"bead": {}, "project": {}}


def graph_action(
    name: str, *, subject: str = "bead", takes: tuple[str, ...] = ()
) -> Callable[[Callable[..., Outcome]], Callable[..., Outcome]]:
    """Register what nodes with `action: <name>` do; modules with actions are imported in AppConfig.ready."""

    def register(function: Callable[..., Outcome]) -> Callable[..., Outcome]:
        ACTIONS[subject][name] = GraphAction(function, frozenset(takes))
        return function

    return register

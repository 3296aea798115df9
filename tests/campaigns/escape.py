"""Ways out of the sandbox, tried through the doors of agents: how many were tried, and how many succeeded.

Every attempt has a control that must be noticed: the same try without a sandbox where it can be made so, else
one that is let through. An attempt whose control is not noticed proves nothing, and fails the campaign.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from apps.agents.sandbox import sandbox_status
from tests.campaigns import (  # noqa: F401 - each registers its attempts
    _escape_bombs,
    _escape_git,
    _escape_kernel,
    _escape_more,
    _escape_system,
)
from tests.campaigns._escape_room import ATTEMPTS, Attempt, Room, open_room

LEAST = 40


def campaign(scale: float = 1.0) -> dict[str, Any]:
    """With a smaller scale fewer of them, of every group."""
    status = sandbox_status()
    if status.kind != "bwrap":
        return {"ok": False, "error": f"There is no sandbox here: {status.reason}"}
    chosen = ATTEMPTS[:: max(1, round(1 / scale))]
    return figures(chosen, list(tried(chosen)), least=int(LEAST * min(scale, 1.0)))


def tried(attempts: Iterable[Attempt]) -> Iterator[tuple[bool, bool]]:
    """(succeeded, control noticed) of each attempt."""
    with open_room() as room:
        for one in attempts:
            yield _try(one, room), _control(one, room)


def figures(attempts: list[Attempt], results: list[tuple[bool, bool]], *, least: int) -> dict[str, Any]:
    escaped = [one.name for one, (succeeded, _) in zip(attempts, results, strict=True) if succeeded]
    blind = [one.name for one, (_, noticed) in zip(attempts, results, strict=True) if not noticed]
    return {
        "attempts": len(attempts),
        "groups": dict(Counter(one.group for one in attempts)),
        "succeeded": len(escaped),
        "escaped": escaped,
        "controls_noticed": len(attempts) - len(blind),
        "blind": blind,
        "ok": not escaped and not blind and len(attempts) >= least,
    }


def _try(one: Attempt, room: Room) -> bool:
    room.reset()
    one.act(room)
    return one.noticed(room)


def _control(one: Attempt, room: Room) -> bool:
    room.reset()
    one.control(room)
    return one.noticed(room)

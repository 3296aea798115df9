"""What an agent may decide alone: its persona's autonomy says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from apps.core.errors import Forbidden
from apps.decisions.models import Decision

FULL, SEMI, SUPERVISED = "full", "semi", "supervised"


@dataclass(frozen=True)
class AgentVoice:
    """An agent as decisions see it."""

    name: str
    role: str
    autonomy: str  # of its persona: full, semi or supervised


Finder = Callable[[int, str], AgentVoice | None]
_finders: list[Finder] = []


def agents_known_by(finder: Finder) -> None:
    """Register who finds an agent of a project by name or id; agents are an app above this one."""
    if finder not in _finders:
        _finders.append(finder)


def agent_find(project_id: int, name: str) -> AgentVoice | None:
    return next((found for finder in _finders if (found := finder(project_id, name))), None)


def may_decide(autonomy: str, decision: Decision) -> bool:
    """Full: anything but P0. Semi: routine questions. Supervised: nothing. Facts may be told by everybody."""
    if decision.kind == Decision.Kind.INFORMATION:
        return True
    if decision.needs_person or decision.priority == 0:
        return False
    return autonomy == FULL or (autonomy == SEMI and decision.is_routine)


def authority_require(agent: AgentVoice, decision: Decision) -> None:
    if agent.name == decision.requester and decision.kind != Decision.Kind.INFORMATION:
        raise Forbidden(f"{agent.name} asked this and cannot answer it too.")
    if not may_decide(agent.autonomy, decision):
        raise Forbidden(
            f"{agent.name} ({agent.autonomy} autonomy) has no authority over this decision.",
            hint="It waits for a person."
            if decision.needs_person or decision.priority == 0
            else "The decision-maker has it.",
            details={"autonomy": agent.autonomy, "priority": decision.priority, "kind": decision.kind},
        )

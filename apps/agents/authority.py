"""Agents as decisions see them: who speaks, and what their persona may decide alone."""

from __future__ import annotations

from collections.abc import Sequence

from apps.agents.models import Agent, Persona
from apps.agents.personas import role_resolve, roles_of
from apps.decisions.authority import SEMI, AgentVoice, agents_known_by
from apps.decisions.voters import voters_named_by
from apps.projects.models import Project


def autonomy_of(persona: Persona) -> str:
    """The persona's autonomy: full, semi (if it does not say) or supervised."""
    metadata = persona.metadata or {}
    return str(metadata.get("autonomy") or metadata.get("autonomy_level") or SEMI)


def voice_of(agent: Agent) -> AgentVoice:
    return AgentVoice(name=agent.name, role=agent.role, autonomy=autonomy_of(agent.persona))


def agent_named(project_id: int, name: str) -> Agent | None:
    """The agent of a project's team that is meant by its id or its name."""
    agents = Agent.objects.filter(project_id=project_id, retired_at=None).select_related("persona")
    wanted = name.removeprefix("agent-")
    if wanted.isascii() and wanted.isdecimal() and len(wanted) < 19:
        return agents.filter(pk=int(wanted)).first()
    return agents.filter(name__iexact=name.strip()).first()


def voice_find(project_id: int, name: str) -> AgentVoice | None:
    agent = agent_named(project_id, name)
    return voice_of(agent) if agent is not None else None


def voters_named(project: Project, names: Sequence[str]) -> dict[str, str]:
    """Those of the names that agents of the team or roles have; a role is counted under its own name."""
    team = Agent.objects.filter(project=project, retired_at=None).values_list("name", flat=True)
    called = {name.casefold() for name in team}
    personas = Persona.objects.for_organization(project.organization_id).only("role", "metadata")
    roles = roles_of(personas)
    meant = {name: name if name.casefold() in called else role_resolve(name, roles) for name in names}
    return {name: found for name, found in meant.items() if found}


agents_known_by(voice_find)
voters_named_by(voters_named)

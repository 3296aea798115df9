"""The team: personas, agents, org charts, messages."""

from __future__ import annotations

from typing import Any

from apps.agents.models import Message, Persona
from apps.agents.persona_services import persona_keep
from apps.agents.skills import skill_mend
from tests.tenancy.table import Row, many, one, organization
from tests.world import World

AGENT, CHART = {"pk": "agent"}, {"pk": "project"}
PLACE = {**CHART, "role": "cto"}
NAME = {"name": "persona"}
SHARED = "zqshared"  # no stranger reads it
TEXT = {"instructions": "Build well.", "organization": "@organization"}
ROWS: dict[str, Row] = {
    "GET /api/v1/agents": many(),
    "POST /api/v1/agents": one(body={"persona_name": "own/builder", "project_id": "@project"}),
    "GET /api/v1/agents/{pk}": one(AGENT),
    "PUT /api/v1/agents/{pk}": one(AGENT, body={"name": ""}),
    "PATCH /api/v1/agents/{pk}": one(AGENT, body={"name": ""}),
    "DELETE /api/v1/agents/{pk}": one(AGENT),
    "POST /api/v1/agents/{pk}/activate": one(AGENT),
    "POST /api/v1/agents/{pk}/clone": one(AGENT, body={"new_persona_name": "twin", "replace": False}),
    "POST /api/v1/agents/{pk}/pause": one(AGENT),
    "POST /api/v1/agents/{pk}/resume": one(AGENT),
    "POST /api/v1/agents/{pk}/stop": one(AGENT),
    "GET /api/v1/org-charts/{pk}": one(CHART),
    "PUT /api/v1/org-charts/{pk}": one(CHART, body={"positions": []}),
    "DELETE /api/v1/org-charts/{pk}": one(CHART),
    "POST /api/v1/org-charts/{pk}/positions": one(CHART, body={"role_name": "builder"}),
    "PUT /api/v1/org-charts/{pk}/positions/{role}": one(PLACE, body={"max_instances": 2}),
    "PATCH /api/v1/org-charts/{pk}/positions/{role}": one(PLACE, body={"max_instances": 2}),
    "DELETE /api/v1/org-charts/{pk}/positions/{role}": one(PLACE),
    "GET /api/v1/messages": many(),
    "POST /api/v1/messages": one(body={"to_agent_id": "@agent", "subject": "Hi", "body": "Look."}),
    "GET /api/v1/messages/{pk}": one({"pk": "message"}),
    "GET /api/v1/personas": many(common=True),
    "POST /api/v1/personas": organization(body={"name": "own/another", "description": "Builds.", **TEXT}),
    "GET /api/v1/personas/{name}": organization(NAME),
    "PUT /api/v1/personas/{name}": organization(NAME, body=TEXT),
    "PATCH /api/v1/personas/{name}": organization(NAME, body=TEXT),
    "DELETE /api/v1/personas/{name}": organization(NAME, expect={"shared": 403}),
    "POST /api/v1/personas/{name}/clone": organization(NAME, body={"new_name": "own/twin", **TEXT}),
    "GET /api/v1/personas/{name}/skill": organization(NAME),
    "GET /api/v1/personas/{name}/versions": organization(NAME),
    "GET /api/v1/personas/{name}/versions/{number}": organization({**NAME, "number": "1"}),
    "POST /api/v1/personas/{name}/restore": organization(
        NAME, body={"version": 1, "organization": "@organization"}
    ),
}


def grow(tenancy: Any) -> None:
    def own_persona(world: World) -> str:
        """Of the organization, so the same for both projects."""
        name = "own/builder"
        if not Persona.objects.filter(name=name).exists():
            skill = skill_mend(
                {"description": f"{SHARED} builds."}, {"role": "builder"}, "Build.", name="builder"
            )
            persona_keep(organization=world.organization, name=name, skill=skill, author="ann")
        return name

    tenancy.add("persona", own_persona)
    tenancy.add("persona_id", lambda world: Persona.objects.get(name=own_persona(world)).pk)
    tenancy.add("message", lambda world: Message.objects.filter(project=world.project).first().pk)  # type: ignore[union-attr]

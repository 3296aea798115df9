"""Motivations."""

from __future__ import annotations

from typing import Any

from apps.motivations.firing import motivation_trigger
from apps.motivations.services import motivation_create
from tests.tenancy.table import Row, many, one
from tests.world import World

PK = {"pk": "motivation"}
NEW: dict[str, Any] = {
    "name": "Look",
    "type": "calendar",
    "condition": "scheduled_interval",
    "parameters": {"minutes": 60},
}
ROWS: dict[str, Row] = {
    "GET /api/v1/motivations": many(),
    "POST /api/v1/motivations": one(body={**NEW, "project_id": "@project"}),
    "POST /api/v1/motivations/defaults": one(body={"project_id": "@project"}),
    "POST /api/v1/motivations/external": one(body={"kind": "external.release", "project_id": "@project"}),
    "GET /api/v1/motivations/history": many(),
    "GET /api/v1/motivations/idle": many(),
    "GET /api/v1/motivations/roles": many(),
    "GET /api/v1/motivations/{pk}": one(PK),
    "PUT /api/v1/motivations/{pk}": one(PK, body=NEW),
    "PATCH /api/v1/motivations/{pk}": one(PK, body={"name": "Look again"}),
    "DELETE /api/v1/motivations/{pk}": one(PK),
    "POST /api/v1/motivations/{pk}/disable": one(PK),
    "POST /api/v1/motivations/{pk}/enable": one(PK),
    "POST /api/v1/motivations/{pk}/trigger": one(PK),
}


def grow(tenancy: Any) -> None:
    def build(world: World) -> int:
        motivation = motivation_create(
            organization=world.organization,
            project=world.project,
            **{**NEW, "name": f"{world.project.name} clock"},
        )
        motivation_trigger(motivation=motivation, actor="ann")
        return motivation.pk

    tenancy.add("motivation", build)

"""Lessons of projects, and recordings of sessions."""

from __future__ import annotations

from typing import Any

from apps.agents.lesson_models import Lesson
from tests.tenancy.table import Row, many, one
from tests.world import World

PK = {"pk": "lesson"}
ROWS: dict[str, Row] = {
    "GET /api/v1/lessons": many(),
    "POST /api/v1/lessons": one(body={"project_id": "@project", "text": "Use tabs for tables."}),
    "GET /api/v1/lessons/{pk}": one(PK),
    "PATCH /api/v1/lessons/{pk}": one(PK, body={"is_pinned": True}),
    "DELETE /api/v1/lessons/{pk}": one(PK),
    "GET /api/v1/sessions/{pk}/recording": one({"pk": "session"}),
    "GET /api/v1/sessions/{pk}/live": one({"pk": "session"}),
}


def grow(tenancy: Any) -> None:
    def build(world: World) -> int:
        return int(Lesson.objects.filter(project=world.project).values_list("pk", flat=True)[0])

    tenancy.add("lesson", build)

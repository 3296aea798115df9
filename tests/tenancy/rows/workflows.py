"""Runs and workflows."""

from __future__ import annotations

from typing import Any

from apps.engine.models import Run
from apps.workflows.definition_services import definition_create
from tests.tenancy.table import Row, many, one
from tests.workflows.test_graph_reading import changed
from tests.workflows.test_workflow_api import walk_add
from tests.world import World

RUN, WORKFLOW = {"pk": "run"}, {"pk": "workflow"}
UNKNOWN_FLOW = dict.fromkeys(("viewer", "user", "admin", "key", "shared"), 409)
ROWS: dict[str, Row] = {
    "GET /api/v1/runs": many(),
    "GET /api/v1/runs/{pk}": one(RUN),
    "GET /api/v1/runs/{pk}/answers/{name}": one({**RUN, "name": "state"}, expect=UNKNOWN_FLOW),
    "GET /api/v1/runs/{pk}/timeline": one(RUN),
    "POST /api/v1/runs/{pk}/cancel": one(RUN),
    "POST /api/v1/runs/{pk}/pause": one(RUN),
    "POST /api/v1/runs/{pk}/resume": one(RUN),
    "POST /api/v1/runs/{pk}/retry": one(RUN),
    "POST /api/v1/runs/{pk}/signal": one(RUN, body={"name": "go"}),
    "GET /api/v1/workflows": many(common=True),
    "POST /api/v1/workflows": one(body={"project_id": "@project", **changed(name="another")}),
    "POST /api/v1/workflows/import": one(body={"project_id": "@project", **changed(name="other")}),
    "POST /api/v1/workflows/validate": many(body=changed(name="another"), common=True),
    "GET /api/v1/workflows/analytics": many(),
    "GET /api/v1/workflows/executions": many(),
    "GET /api/v1/workflows/{pk}": one(WORKFLOW),
    "PUT /api/v1/workflows/{pk}": one(WORKFLOW, body=changed(name="links")),
    "DELETE /api/v1/workflows/{pk}": one(WORKFLOW),
    "GET /api/v1/workflows/{pk}/export": one(WORKFLOW),
    "GET /api/v1/beads/workflow": one(query="bead_id={bead}"),
}


def grow(tenancy: Any) -> None:
    def define(world: World) -> str:
        given = changed(name="links")
        row = definition_create(organization=world.organization, project=world.project, given=given)
        return f"wf-{row.pk}"

    tenancy.add("workflow", define)
    tenancy.add("execution", lambda world: walk_add(world, world.beads[0]).pk)
    tenancy.add("run", lambda world: Run.objects.get(bead_id=world.beads[0].pk).pk)

"""Rules of commands, proofs, merges and pull requests."""

from __future__ import annotations

from typing import Any

from apps.agents.models import MergeRequest
from apps.commands.models import CommandRule
from tests.tenancy.table import Row, many, one

PROJECT, RULE = {"pk": "project"}, {"pk": "command_rule"}
ROWS: dict[str, Row] = {
    "GET /api/v1/command-rules": many(common=True),
    "POST /api/v1/command-rules": one(body={"project_id": "@project", "pattern": "rm *", "verdict": "deny"}),
    "GET /api/v1/command-rules/defaults": many(common=True),
    "POST /api/v1/command-rules/judge": one(body={"project_id": "@project", "command": "ls"}),
    "GET /api/v1/command-rules/{pk}": one(RULE),
    "PUT /api/v1/command-rules/{pk}": one(RULE, body={"pattern": "rm *", "verdict": "deny"}),
    "PATCH /api/v1/command-rules/{pk}": one(RULE, body={"verdict": "deny"}),
    "DELETE /api/v1/command-rules/{pk}": one(RULE),
    "GET /api/v1/beads/{key}/proof": one({"key": "bead_key"}),
    "GET /api/v1/projects/{pk}/merge-policy": one(PROJECT),
    "PATCH /api/v1/projects/{pk}/merge-policy": one(PROJECT),
    "GET /api/v1/merges": many(),
    "GET /api/v1/merges/{pk}": one({"pk": "merge"}),
    "GET /api/v1/pull-requests": many(),
    "GET /api/v1/pull-requests/{pk}": one(
        {"pk": "no_pull_request"}, expect={"all": 404, "anonymous": 401, "other key": 403}
    ),
}


def grow(tenancy: Any) -> None:
    tenancy.add("merge", lambda world: MergeRequest.objects.get(project=world.project).pk)
    tenancy.add(
        "command_rule",
        lambda world: CommandRule.objects.create(project=world.project, pattern="ls", verdict="allow").pk,
    )
    tenancy.ids["no_pull_request"] = tenancy.hidden_ids["no_pull_request"] = 10**6

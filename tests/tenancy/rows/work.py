"""Work that is given: tasks, claims, errors; file locks and commands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.agents.lock_models import FileLock
from apps.commands.models import CommandRun
from tests.tenancy.table import Row, everybody, many, one
from tests.world import World

KEY = {"key": "bead_key"}
FORBIDDEN = dict.fromkeys(("user", "admin", "key", "shared"), 403)  # by the rules on commands
PERSONAS = ("anonymous", "stranger", "removed", "viewer", "user", "admin", "key", "other key", "shared")
ANOTHERS = dict.fromkeys(("user", "admin", "key", "shared"), 404)  # who has the lock is another
HOLDS_NOT = dict.fromkeys(("user", "admin", "key", "shared"), 409)  # who has it is another
ROWS: dict[str, Row] = {
    "POST /api/v1/work": one(body={"project_id": "@project", "prompt": "Do it."}),
    "GET /api/v1/work/{key}": one(KEY),
    "POST /api/v1/beads/auto-file": one(body={"project_id": "@project", "message": "It fell over."}),
    "POST /api/v1/beads/{key}/claim": one(KEY, body={"agent_id": "me"}),
    "POST /api/v1/beads/{key}/redispatch": one(KEY, body={"reason": "Again."}),
    "POST /api/v1/beads/{key}/take-over": one(KEY),
    "POST /api/v1/beads/{key}/give-back": one(KEY, expect=HOLDS_NOT),
    "GET /api/v1/beads/{key}/bundle": one(KEY, permission="beads:write", expect=HOLDS_NOT),
    "GET /api/v1/file-locks": many(),
    "POST /api/v1/file-locks": one(body={"project_id": "@project", "file_path": "new.py"}),
    "DELETE /api/v1/file-locks/{pk}/{path}": one({"pk": "project", "path": "lock"}, expect=ANOTHERS),
    "GET /api/v1/webhooks/status": many(common=True),
    "POST /api/v1/webhooks/github": everybody(body={}, expect=dict.fromkeys(PERSONAS, 400)),  # GitHub signs
    "POST /api/v1/projects/{pk}/webhook-secret": one({"pk": "project"}),
    "GET /api/v1/commands": many(),
    "GET /api/v1/commands/{pk}": one({"pk": "command"}),
    "POST /api/v1/commands/execute": one(
        body={"project_id": "@project", "command": "git push", "wait_seconds": 0}, expect=FORBIDDEN
    ),
}


def grow(tenancy: Any) -> None:
    def command(world: World) -> int:
        return CommandRun.objects.create(
            project=world.project, command="cat links", verdict="allow", output="All links."
        ).pk

    def lock(world: World) -> str:
        until = timezone.now() + timedelta(hours=1)
        kept = FileLock.objects.create(
            project=world.project, file_path="links.py", holder=world.staff.username, expires_at=until
        )
        return kept.file_path

    tenancy.add("command", command)
    tenancy.add("lock", lock)

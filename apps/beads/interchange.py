"""Beads as JSON lines that `bd import` and other tools of the beads format read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db.models import Prefetch, QuerySet

from apps.beads.models import Bead, Dependency

CHUNK = 500


def beads_write(beads: QuerySet[Bead], path: Path) -> int:
    """Write a file of one bead per line, complete or not at all; how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    count = 0
    try:
        with unfinished.open("x", encoding="utf-8", newline="\n") as file:
            for record in bead_records(beads):
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def bead_records(beads: QuerySet[Bead]) -> Iterator[dict[str, Any]]:
    """Oldest first, so that two exports differ only where beads do."""
    blockers = Dependency.objects.select_related("blocker").order_by("id")
    related = (
        beads.order_by("id")
        .select_related("parent")
        .prefetch_related(Prefetch("dependencies", queryset=blockers), "requirements")
    )
    return map(bead_record, related.iterator(chunk_size=CHUNK))


def bead_record(bead: Bead) -> dict[str, Any]:
    """One bead with the field names of the format; empty ones are left out, Loom's own go to `metadata`."""
    record = {
        "_type": "issue",
        "id": bead.key,
        "title": bead.title,
        "description": bead.description,
        "acceptance_criteria": "\n".join(f"- {criterion}" for criterion in bead.acceptance),
        "status": bead.status,
        "priority": bead.priority,  # always there: a missing one reads as 0, critical
        "issue_type": bead.type,
        "assignee": bead.assigned_to,
        "labels": bead.labels,
        "created_at": _time(bead.created_at),
        "updated_at": _time(bead.updated_at),
        "started_at": _time(bead.started_at),
        "closed_at": _time(bead.closed_at),
        "close_reason": bead.close_reason,
        "dependencies": list(_dependencies(bead)),
        "metadata": _metadata(bead),
    }
    return {name: value for name, value in record.items() if value not in ("", None, [], {})}


def _dependencies(bead: Bead) -> Iterator[dict[str, str | None]]:
    if bead.parent is not None:
        yield _dependency(bead, bead.parent, "parent-child", bead.created_at)
    for link in bead.dependencies.all():
        yield _dependency(bead, link.blocker, link.kind, link.created_at)


def _dependency(bead: Bead, other: Bead, kind: str, since: datetime) -> dict[str, str | None]:
    return {"issue_id": bead.key, "depends_on_id": other.key, "type": kind, "created_at": _time(since)}


def _metadata(bead: Bead) -> dict[str, Any]:
    own = {
        "role": bead.role,
        "stage": bead.stage,
        "attempts": bead.attempts,
        "blocked_reason": bead.blocked_reason,
        "merged_commit": bead.merged_commit,
        "requirements": [requirement.key for requirement in bead.requirements.all()],
    }
    kept = {name: value for name, value in own.items() if value}
    return {"loom": kept} if kept else {}


def _time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None

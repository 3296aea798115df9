"""Errors that programs report become beads: one open bead for one error, however often it is reported."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Organization
from apps.agents.safety import fingerprint
from apps.beads.models import Bead
from apps.beads.services import TITLE_CHARS, bead_create, bead_tell, bead_update
from apps.core.errors import Conflict, NotFound, RateLimited
from apps.core.masking import mask
from apps.projects.models import Project
from apps.workflows.self_improvement import WORKFLOW

SEVERITIES = {"critical": 0, "high": 1, "medium": 2, "low": 3}
LABEL = "auto-filed"
MOST_AN_HOUR = 30  # new ones of a project: a storm of different errors is one for people
SHOWN = 8_000  # characters of a stack trace


def improving_project(organization: Organization) -> Project:
    """The project that improves Loom itself, which reports without a project are about."""
    rows = Project.objects.filter(organization=organization, workflow=WORKFLOW)
    found = rows.exclude(status=Project.Status.CLOSED).order_by("id").first()
    if found is None:
        raise NotFound(
            f"{organization.name} has no project that improves itself.",
            hint="Send project_id, or make one with manage.py self_improve.",
        )
    return found


@transaction.atomic
def error_file(*, project: Project, report: dict[str, Any], actor: str) -> tuple[Bead, bool]:
    """The open bead about this error, and whether it is new. A graver report raises its priority."""
    if Project.objects.locked(project.pk).status == Project.Status.CLOSED:
        raise Conflict(f"{project.name} is closed.", hint="Reopen it first.")
    report = {name: mask(value) if isinstance(value, str) else value for name, value in report.items()}
    about = [report[name] for name in ("source", "error_type", "message", "stack_trace")]
    mark = fingerprint("\n".join(about if any(about) else [report["title"]]))[:32]
    filed = Bead.objects.filter(project=project, origin__startswith=f"auto-filed:{mark}:")
    priority = SEVERITIES[report["severity"]]
    known = filed.exclude(status=Bead.Status.CLOSED).select_related("project").first()
    if known is not None:
        _again(known, priority, actor)
        return known, False
    _refuse_storm(project)
    source, kind = report["source"], report["error_type"]
    bead = bead_create(
        project=project,
        type=Bead.Type.BUG,
        title=f"[{LABEL}] {f'[{source}] ' if source else ''}{_title(report)}"[:TITLE_CHARS],
        description=_description(report),
        priority=priority,
        labels=[label for label in (LABEL, source, kind) if label],
        context={**report["context"], "occurrences": "1"},
        origin=f"auto-filed:{mark}:{filed.count() + 1}",
        actor=actor,
    )
    return bead, True


def _again(bead: Bead, priority: int, actor: str) -> None:
    said = str(bead.context.get("occurrences", ""))  # which people may change
    count = (int(said) if said.isascii() and said.isdigit() and len(said) < 10 else 1) + 1
    changes: dict[str, Any] = {"context": {**bead.context, "occurrences": str(count)}}
    if priority < bead.priority:
        changes["priority"] = priority
    bead_update(bead=bead, actor=actor, **changes)
    bead_tell(bead, "bead.error_again", actor=actor, count=count)


def _refuse_storm(project: Project) -> None:
    since = timezone.now() - timedelta(hours=1)
    filed = Bead.objects.filter(project=project, origin__startswith="auto-filed:", created_at__gte=since)
    if filed.count() >= MOST_AN_HOUR:
        raise RateLimited(
            f"{MOST_AN_HOUR} different errors were filed within an hour.",
            hint="Look at those first.",
            details={"retry_after": 600},
        )


def _title(report: dict[str, Any]) -> str:
    words = report["title"] or report["message"] or report["error_type"] or "An error without words"
    return " ".join(str(words).split())[:200]


def _description(report: dict[str, Any]) -> str:
    parts = [
        ("", report["message"]),
        ("Type: ", report["error_type"]),
        ("Severity: ", report["severity"]),
        ("Occurred at: ", report["occurred_at"].isoformat() if report["occurred_at"] else ""),
        ("", f"```\n{report['stack_trace'][-SHOWN:]}\n```" if report["stack_trace"] else ""),
    ]
    return "\n\n".join(f"{name}{text}" for name, text in parts if text)

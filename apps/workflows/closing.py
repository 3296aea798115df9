"""Closing a project: at once where nothing is left to do, else by the word of its team or of a person."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.places import hub_path
from apps.beads.models import Bead
from apps.core.errors import Conflict
from apps.decisions.models import Decision
from apps.decisions.services import decision_request
from apps.events.bus import on
from apps.events.models import Event
from apps.projects.models import Project
from apps.projects.services import project_close
from apps.providers.models import Provider

YES, NO = "yes", "no"
OPTIONS = [
    {"key": YES, "label": "Close it", "detail": "What is ready stays undone."},
    {"key": NO, "label": "Keep it open", "detail": "Work goes on."},
]
ORIGIN = "close:"
LEADERS = ("product-manager", "project-manager", "engineering-manager")  # whose consensus closes a project


@transaction.atomic
def project_close_request(*, project: Project, reason: str = "", actor: str = "") -> Decision | None:
    """Close the project, or ask its team where beads are ready: the decision; Conflict if it cannot close."""
    Project.objects.locked(project.pk)
    current = Project.objects.get(pk=project.pk)
    if obstacle := obstacle_of(current):
        raise Conflict(obstacle)
    ready = Bead.objects.filter(project=project).ready().count()
    if not ready:
        project_close(project=current, reason=reason or f"Closed by {actor}.", actor=actor)
        return None
    asked = Decision.objects.filter(project=project, origin__startswith=ORIGIN)
    if known := asked.open().select_related("project", "bead").first():
        return known
    voters = _leaders(project)
    return decision_request(
        project=current,
        question=f"Close {current.name} although {ready} of its beads are ready?",
        options=OPTIONS,
        recommendation=NO,
        context=reason,
        requester=actor,
        priority=1,
        voters=voters,
        needs_person=not voters,
        default_choice=NO,
        origin=f"{ORIGIN}{project.pk}:{asked.count() + 1}",
    )


def obstacle_of(project: Project) -> str:
    """Why a project cannot close, whatever is said; empty where it can."""
    if project.status == Project.Status.CLOSED:
        return f"{project.name} is closed already."
    if project.is_perpetual:
        return f"{project.name} is perpetual and never closes."
    if project.is_sticky:
        return f"{project.name} is sticky and stays."
    return ""


def _leaders(project: Project) -> list[str]:
    team = Agent.objects.filter(project=project, role__in=LEADERS).exclude(status=Agent.Status.STOPPED)
    return sorted(set(team.values_list("role", flat=True)))


@on("decision.resolved")
def close_as_decided(event: Event) -> None:
    decision = Decision.objects.filter(pk=event.data["decision_id"]).select_related("project").first()
    if decision is None or not decision.origin.startswith(ORIGIN) or decision.choice != YES:
        return
    with suppress(Conflict):  # it was marked or closed meanwhile
        project_close(
            project=decision.project,
            reason=decision.rationale or f"Decided by {decision.decider}.",
            actor=decision.decider,
        )


def project_state(project: Project) -> dict[str, Any]:
    """Whether a project can work and whether it can close."""
    ready = Bead.objects.filter(project=project).ready().count()
    issues = _issues(project)
    return {
        "id": str(project.pk),
        "name": project.name,
        "status": project.status,
        "is_perpetual": project.is_perpetual,
        "is_sticky": project.is_sticky,
        "open_beads": ready,
        "can_close": not ready and not obstacle_of(project),
        "readiness_ok": not issues,
        "readiness_issues": issues,
        "created_at": project.created_at,
        "updated_at": project.updated_at,
        "closed_at": project.closed_at,
        "comments_count": project.comments.count(),
    }


def _issues(project: Project) -> list[str]:
    issues = []
    if not (hub_path(project.pk) / "HEAD").exists():
        issues.append("The project has no repository yet; the first work makes it.")
    usable = Provider.objects.usable_by(project.organization_id)
    if not usable.exclude(status=Provider.Status.FAILED).exists():
        issues.append("No model is connected that works.")
    resting = usable.filter(cool_until__gt=timezone.now()).count()
    if resting and resting == usable.count():
        issues.append("Every model rests after failures.")
    if not settings.LOOM_MAX_SESSIONS:
        issues.append("This installation allows no sessions.")
    return issues

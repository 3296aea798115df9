"""How busy an organization is: what GET /motivations/idle tells."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet

from apps.agents.models import Agent
from apps.beads.models import Bead
from apps.motivations.sensing import BUSY, is_busy, last_activity
from apps.projects.models import Project

IDLE_AFTER = timedelta(minutes=20)  # the shortest of the default set


def idle_report(projects: QuerySet[Project], now: datetime) -> dict[str, Any]:
    """Counts, and whether nobody works in these projects; `system_idle_period` is in seconds."""
    projects = projects.exclude(status=Project.Status.CLOSED)
    agents: dict[str, int] = dict(_counts(Agent.objects.filter(project__in=projects)))
    beads: dict[str, int] = dict(_counts(Bead.objects.filter(project__in=projects)))
    since = last_activity(projects)
    is_idle = since is not None and now - since >= IDLE_AFTER and not is_busy(projects)
    working = Agent.objects.filter(project__in=projects, status__in=BUSY).values("project_id")
    return {
        "is_system_idle": is_idle,
        **({"system_idle_period": int((now - since).total_seconds())} if is_idle and since else {}),
        "total_agents": sum(agents.values()),
        "working_agents": sum(agents.get(status, 0) for status in BUSY),
        "idle_agents": agents.get(Agent.Status.IDLE, 0),
        "paused_agents": agents.get(Agent.Status.PAUSED, 0),
        "total_beads": sum(beads.values()),
        "open_beads": beads.get(Bead.Status.OPEN, 0),
        "in_progress_beads": beads.get(Bead.Status.IN_PROGRESS, 0),
        "idle_projects": list(projects.exclude(pk__in=working).order_by("pk").values_list("pk", flat=True)),
        "last_agent_activity": since,
        "checked_at": now,
    }


def _counts(rows: QuerySet[Any]) -> Any:
    return rows.order_by().values_list("status").annotate(count=Count("pk"))

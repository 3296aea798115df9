"""What could cost less on the page of costs: recommendations, and what was made of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet

from apps.analytics.optimizing import substitutions
from apps.projects.models import Project
from apps.providers.models import Call, Preference

MOST = 20


@dataclass(frozen=True)
class Preferred:
    row: Preference
    project: Project


@dataclass(frozen=True)
class Saving:
    found: list[dict[str, Any]]
    preferred: list[Preferred]


def saving_of(user: Any, calls: QuerySet[Call], window: timedelta, project: Project | None) -> Saving:
    """The largest savings, and the newest preferences of the projects that one may see."""
    rows = Preference.objects.for_user(user)
    chosen = rows.filter(project_id=project.pk) if project else rows
    newest = list(chosen.select_related("provider")[:MOST])
    projects = Project.objects.defer("prd").in_bulk([row.project_id for row in newest])
    return Saving(
        substitutions(calls, window, rows)[:MOST],
        [Preferred(row, projects[row.project_id]) for row in newest if row.project_id in projects],
    )

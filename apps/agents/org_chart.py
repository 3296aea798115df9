"""The org chart of a project: its positions, who reports to whom, and how many of each work at once.

A project has the chart of the default team until somebody changes it; only then it is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import transaction

from apps.agents.models import Agent, OrgChart, Persona, Position
from apps.agents.skills import WORDS
from apps.beads.graph import find_cycle
from apps.core.errors import BadInput, Conflict, NotFound
from apps.core.prepared import Prepared
from apps.events.bus import emit
from apps.projects.models import Project

MAX_POSITIONS = 100
MAX_INSTANCES = 1000
BUSY = (Agent.Status.WORKING, Agent.Status.DECIDING, Agent.Status.BLOCKED)
REQUIRED = frozenset({"ceo", "product-manager", "engineering-manager"})
REPORTS = {
    "ceo": "",
    "cfo": "ceo",
    "cto": "ceo",
    "product-manager": "ceo",
    "decision-maker": "ceo",
    "public-relations-manager": "product-manager",
    "project-manager": "product-manager",
    "documentation-manager": "product-manager",
    "web-designer": "product-manager",
    "engineering-manager": "cto",
    "qa-engineer": "engineering-manager",
    "devops-engineer": "engineering-manager",
    "code-reviewer": "engineering-manager",
    "web-designer-engineer": "engineering-manager",
    "housekeeping-bot": "engineering-manager",
}


_LIMITS: Prepared[tuple[str, int]] = Prepared(
    lambda project_id: Position.objects.filter(chart__project_id=project_id, max_instances__gt=0).values_list(
        "role_name", "max_instances"
    )
)
_PLACED: Prepared[tuple[str, str]] = Prepared(
    lambda project_id, roles: (
        Position.objects.filter(chart__project_id=project_id, role_name__in=roles)
        .exclude(persona_path="")
        .values_list("role_name", "persona_path")
    )
)


@dataclass(frozen=True)
class Place:
    """A position; `reports_to` is the role of another, empty at the top."""

    role_name: str
    persona_path: str = ""
    required: bool = False
    max_instances: int = 0  # 0: as many as the project allows
    reports_to: str = ""
    created_at: datetime | None = None


@dataclass(frozen=True)
class Chart:
    project: Project
    name: str
    places: tuple[Place, ...]
    created_at: datetime
    updated_at: datetime
    is_kept: bool  # False: that of the default team, which nobody has changed


def default_places() -> tuple[Place, ...]:
    return tuple(
        Place(role, f"default/{role}", required=role in REQUIRED, reports_to=superior)
        for role, superior in REPORTS.items()
    )


def chart_of(project: Project) -> Chart:
    kept = OrgChart.objects.filter(project=project).first()
    if kept is None:
        name = f"{project.name} Org Chart"
        return Chart(project, name, default_places(), project.created_at, project.created_at, is_kept=False)
    places = tuple(
        Place(
            row.role_name,
            row.persona_path,
            row.required,
            row.max_instances,
            row.reports_to.role_name if row.reports_to else "",
            row.created_at,
        )
        for row in kept.positions.select_related("reports_to").order_by("id")
    )
    return Chart(project, kept.name, places, kept.created_at, kept.updated_at, is_kept=True)


def agents_by_role(project_id: int) -> dict[str, list[int]]:
    """Ids of those who fill the positions of a project, oldest first."""
    found: dict[str, list[int]] = {}
    team = Agent.objects.filter(project_id=project_id, retired_at=None).order_by("id")
    for role, agent_id in team.values_list("role", "pk"):
        found.setdefault(role, []).append(agent_id)
    return found


def superiors_of(project_id: int, role: str) -> list[str]:
    """Whom a role's questions go up to, nearest first; nobody as long as nobody has drawn a chart."""
    rows = Position.objects.filter(chart__project_id=project_id)
    lines: dict[str, Any] = dict(rows.values_list("role_name", "reports_to__role_name"))
    found: list[str] = []
    while (role := lines.get(role) or "") and role not in found:
        found.append(role)
    return found


def capacity_left(project_id: int) -> dict[str, int]:
    """How many more of each role may begin work; roles without a limit are left out."""
    limits = dict(_LIMITS(project_id))
    if not limits:
        return {}
    busy = Agent.objects.filter(project_id=project_id, role__in=limits, status__in=BUSY)
    at_work = Counter(busy.values_list("role", flat=True))
    return {role: max(0, limit - at_work[role]) for role, limit in limits.items()}


def capacity_ahead(project_id: int) -> None:
    """Ask ahead what `capacity_left` reads first."""
    _LIMITS.ahead(project_id)


def personas_placed(project_id: int, roles: Iterable[str]) -> dict[str, str]:
    """The personas that the chart names for these roles."""
    return dict(_PLACED(project_id, tuple(roles)))


# -- changing it -----------------------------------------------------------------------------------


@transaction.atomic
def chart_set(*, project: Project, places: Sequence[Place], name: str = "", actor: str = "") -> Chart:
    """Replace the chart by these positions; BadInput or Conflict says what is wrong with them."""
    Project.objects.locked(project.pk)
    _check(project, places, before=chart_of(project).places)
    chart, _ = OrgChart.objects.update_or_create(
        project=project, defaults={"name": name.strip()[:200] or f"{project.name} Org Chart"[:200]}
    )
    chart.positions.exclude(role_name__in=[place.role_name for place in places]).delete()
    rows = {place.role_name: _row(chart, place) for place in places}
    for place in places:
        Position.objects.filter(pk=rows[place.role_name].pk).update(
            reports_to=rows[place.reports_to] if place.reports_to else None
        )
    emit(
        "org_chart.changed",
        organization_id=project.organization_id,
        project_id=project.pk,
        subject=f"project:{project.slug}",
        actor=actor,
        positions=[place.role_name for place in places],
    )
    return chart_of(project)


def _row(chart: OrgChart, place: Place) -> Position:
    row, _ = Position.objects.update_or_create(
        chart=chart,
        role_name=place.role_name,
        defaults={
            "persona_path": place.persona_path,
            "required": place.required,
            "max_instances": place.max_instances,
        },
    )
    return row


@transaction.atomic
def chart_reset(*, project: Project, actor: str = "") -> Chart:
    """Back to the chart of the default team."""
    Project.objects.locked(project.pk)
    if OrgChart.objects.filter(project=project).delete()[0]:
        emit(
            "org_chart.changed",
            organization_id=project.organization_id,
            project_id=project.pk,
            subject=f"project:{project.slug}",
            actor=actor,
            positions=list(REPORTS),
        )
    return chart_of(project)


@transaction.atomic
def position_add(*, project: Project, place: Place, actor: str = "") -> Chart:
    Project.objects.locked(project.pk)
    chart = chart_of(project)
    if any(known.role_name == place.role_name for known in chart.places):
        raise Conflict(f"There is a position {place.role_name} already.", hint="Change that one.")
    return chart_set(project=project, places=[*chart.places, place], name=chart.name, actor=actor)


@transaction.atomic
def position_update(*, project: Project, role_name: str, actor: str = "", **changes: Any) -> Chart:
    Project.objects.locked(project.pk)
    chart = chart_of(project)
    _position(chart, role_name)
    places = [replace(one, **changes) if one.role_name == role_name else one for one in chart.places]
    return chart_set(project=project, places=places, name=chart.name, actor=actor)


@transaction.atomic
def position_remove(*, project: Project, role_name: str, actor: str = "") -> Chart:
    """Take a position away; who reported to it reports to whom it reported to."""
    Project.objects.locked(project.pk)
    chart = chart_of(project)
    gone = _position(chart, role_name)
    if gone.required:
        raise Conflict(f"{role_name} is a required position.", hint="Make it optional first.")
    places = [
        replace(one, reports_to=gone.reports_to) if one.reports_to == role_name else one
        for one in chart.places
        if one.role_name != role_name
    ]
    return chart_set(project=project, places=places, name=chart.name, actor=actor)


def _position(chart: Chart, role_name: str) -> Place:
    found = next((place for place in chart.places if place.role_name == role_name), None)
    if found is None:
        raise NotFound(f"There is no position {role_name[:60]!r} in this org chart.")
    return found


def _check(project: Project, places: Sequence[Place], before: Sequence[Place]) -> None:
    names = [place.role_name for place in places]
    if not 1 <= len(places) <= MAX_POSITIONS:
        raise BadInput(f"An org chart has 1 to {MAX_POSITIONS} positions.")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise BadInput(f"There are two positions {twice[0]}.", hint="Raise max_instances instead.")
    for place in places:
        if not 0 <= place.max_instances <= MAX_INSTANCES:
            raise BadInput(f"max_instances of {place.role_name} goes from 0 (no limit) to {MAX_INSTANCES}.")
        if place.reports_to and place.reports_to not in names:
            raise BadInput(f"{place.role_name} reports to {place.reports_to!r}, which is no position here.")
    if cycle := find_cycle({place.role_name: [place.reports_to] for place in places if place.reports_to}):
        raise Conflict(f"Nobody can report to themselves: {' → '.join(cycle)}.")
    _check_personas(project, [place for place in places if place not in before])
    missing = {place.role_name for place in before if place.required} - set(names)
    if missing:
        raise Conflict(f"Required: {', '.join(sorted(missing))}.", hint="Make it optional first.")


def _check_personas(project: Project, places: Sequence[Place]) -> None:
    team = Persona.objects.for_organization(project.organization_id).values_list("name", "role")
    roles = dict(team)
    for place in places:
        if not WORDS.fullmatch(place.role_name) or len(place.role_name) > 60:
            raise BadInput(f"{place.role_name[:80]!r} is no name of a role.")
        if place.role_name not in roles.values() and place.role_name not in REPORTS:
            raise BadInput(f"There is no persona for the role {place.role_name!r}.")
        default = place.persona_path == f"default/{place.role_name}"
        if place.persona_path and not default and roles.get(place.persona_path) != place.role_name:
            raise BadInput(f"{place.persona_path[:120]!r} is no persona of the role {place.role_name}.")

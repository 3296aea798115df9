"""Who there is to work: agents with their load, the positions of a project, personas with their history."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.core.paginator import Page, Paginator
from django.db.models import Case, Count, OuterRef, Q, QuerySet, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce

from apps.agents.diffs import FileDiff, files_of
from apps.agents.models import Agent, Persona, PersonaVersion, Session
from apps.agents.org_chart import BUSY, Chart, Place
from apps.beads.models import WORKABLE, Bead
from apps.projects.models import Project

PER_PAGE = 50
PERSONAS = 300
VERSIONS = 50
CLOSED = 10  # projects that are over and whose agents are told of
OVER = Q(project__status=Project.Status.CLOSED, status=Agent.Status.IDLE)
READ = (
    "name", "role", "status", "persona_id", "current_action", "last_active_at", "project__name",
    "current_bead__key", "current_bead__title",
)  # fmt: skip
HANDS_FULL = Case(
    When(status__in=BUSY, then=Value(0)), When(status=Agent.Status.STOPPED, then=Value(2)), default=Value(1)
)


class Colleague(NamedTuple):
    """All that the row of an agent shows, but for times: those that show the same are the same."""

    pk: int
    name: str
    role: str
    status: str
    persona_id: int
    project_id: int
    project: str
    bead_key: str
    bead_title: str
    doing: str
    session_id: int | None
    sessions: int
    turns: int
    cost_microusd: int
    waiting: int  # open beads of the project for the agent's role


def team_of(user: Any, project: Project | None = None) -> QuerySet[Agent]:
    """Who is in the team of a project; of all projects, without those whose work is over."""
    rows: QuerySet[Agent] = Agent.objects.for_user(user).filter(retired_at=None)
    return rows.filter(project=project) if project else rows.exclude(OVER)


def over_in(user: Any) -> list[dict[str, Any]]:
    """Closed projects with how many agents rest there, the newest first."""
    rows = Agent.objects.for_user(user).filter(OVER, retired_at=None)
    counted = rows.values("project_id", "project__name").annotate(count=Count("pk"))
    return list(counted.order_by("-project_id")[:CLOSED])


def agents_page(rows: QuerySet[Agent], page: str | None) -> tuple[Page[Any], list[tuple[Agent, Colleague]]]:
    """Those at work first."""
    wanted = rows.select_related("project", "current_bead").only(*READ).annotate(load=HANDS_FULL)
    shown = Paginator(wanted.order_by("load", "project__name", "id"), PER_PAGE).get_page(page)
    agents = list(shown)
    used = {
        row["agent_id"]: row
        for row in Session.objects.filter(agent__in=agents)
        .values("agent_id")
        .annotate(count=Count("pk"), turns=Sum("turn_count"), cost=Sum("cost_microusd"))
        .order_by()
    }
    opened = dict(
        Session.objects.filter(agent__in=agents, status=Session.Status.OPEN)
        .order_by("id")
        .values_list("agent_id", "pk")
    )
    waiting = _waiting({agent.project_id for agent in agents})
    return shown, [
        (
            agent,
            _colleague(
                agent, opened.get(agent.pk), used.get(agent.pk, {}), waiting[agent.project_id, agent.role]
            ),
        )
        for agent in agents
    ]


def _colleague(agent: Agent, session_id: int | None, used: Mapping[str, Any], waiting: int) -> Colleague:
    bead = agent.current_bead
    return Colleague(
        pk=agent.pk,
        name=agent.name,
        role=agent.role,
        status=agent.status,
        persona_id=agent.persona_id,
        project_id=agent.project_id,
        project=agent.project.name,
        bead_key=bead.key if bead else "",
        bead_title=bead.title if bead else "",
        doing=agent.current_action,
        session_id=session_id,
        sessions=used.get("count", 0),
        turns=used.get("turns") or 0,
        cost_microusd=used.get("cost") or 0,
        waiting=waiting,
    )


def _waiting(project_ids: Iterable[int]) -> Counter[tuple[int, str]]:
    """How many beads wait for somebody of a role, by project and role."""
    rows = Bead.objects.filter(project__in=project_ids, status=Bead.Status.OPEN, type__in=WORKABLE)
    counts = rows.values_list("project_id", "role").annotate(count=Count("pk")).order_by()
    return Counter({(project_id, role): count for project_id, role, count in counts})


def states_of(rows: QuerySet[Agent]) -> dict[str, int]:
    """How many there are of each status, those that there are."""
    counts = dict(rows.order_by().values_list("status").annotate(count=Count("pk")))
    return {status: counts[status] for status in Agent.Status.values if status in counts}


# -- Positions -------------------------------------------------------------------------------------


@dataclass
class Seat:
    """A position with who fills it; `below` are those who report to it."""

    place: Place
    agents: list[Agent]
    at_work: int
    waiting: int
    below: list[Seat] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return bool(self.place.max_instances) and self.at_work >= self.place.max_instances


def seats_of(chart: Chart) -> list[Seat]:
    """The seats at the top; the others hang below them."""
    team: dict[str, list[Agent]] = defaultdict(list)
    members = Agent.objects.filter(project=chart.project, retired_at=None).order_by("id")
    for agent in members.only("name", "role", "status", "project_id"):
        team[agent.role].append(agent)
    waiting = _waiting([chart.project.pk])
    seats = {
        place.role_name: Seat(
            place,
            team[place.role_name],
            at_work=sum(agent.status in BUSY for agent in team[place.role_name]),
            waiting=waiting[chart.project.pk, place.role_name],
        )
        for place in chart.places
    }
    for seat in seats.values():
        if seat.place.reports_to:
            seats[seat.place.reports_to].below.append(seat)
    return [seat for seat in seats.values() if not seat.place.reports_to]


# -- Personas --------------------------------------------------------------------------------------


def personas_of(user: Any) -> list[Persona]:
    """With how many of the user's agents work as each, and which version it is at."""
    agents = Agent.objects.for_user(user).filter(retired_at=None).values("persona")
    counts = agents.annotate(count=Count("pk")).filter(persona=OuterRef("pk")).values("count")
    newest = PersonaVersion.objects.filter(persona=OuterRef("pk")).order_by("-number").values("number")[:1]
    rows = Persona.objects.for_user(user).select_related("organization").defer("body")
    rows = rows.annotate(
        agent_count=Coalesce(Subquery(counts), 0), version=Coalesce(Subquery(newest), Value(0))
    )
    return list(rows.order_by("name", "id")[:PERSONAS])


def roles_of(organization_id: int) -> list[str]:
    """Roles that there are personas for."""
    rows = Persona.objects.for_organization(organization_id).order_by("role")
    return list(rows.values_list("role", flat=True).distinct()[:PERSONAS])


def version_diff(persona: Persona, number: int) -> FileDiff | None:
    """What a version changed of the one before; None if there is none of that number."""
    wanted = persona.versions.filter(Q(number=number) | Q(number=number - 1))
    texts = dict(wanted.values_list("number", "text"))
    if number not in texts:
        return None
    lines = difflib.unified_diff(
        texts.get(number - 1, "").splitlines(), texts[number].splitlines(), lineterm=""
    )
    return files_of("\n".join([f"diff --git a/{persona.name} b/{persona.name}", *lines]))[0]

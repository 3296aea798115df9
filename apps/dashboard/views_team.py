"""Agents, the org chart of a project."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from apps.agents.lifecycle import agent_pause, agent_resume, agent_spawn, agent_stop
from apps.agents.models import Agent, Persona
from apps.agents.org_chart import (
    MAX_INSTANCES,
    Chart,
    Place,
    chart_of,
    chart_reset,
    position_add,
    position_remove,
    position_update,
)
from apps.core.errors import BadInput
from apps.core.storable import storable_text
from apps.dashboard import queries, queries_team
from apps.dashboard.pages import (
    act,
    found,
    may,
    may_in,
    number_in,
    page,
    project_chosen,
    project_found,
    query_of,
    require_in,
    show,
)
from apps.projects.models import Project

ROLES = 60

# -- Agents --------------------------------------------------------------------------------------------


@page
def agents(request: HttpRequest) -> HttpResponse:
    chosen = project_chosen(request)
    rows = queries_team.team_of(request.user, chosen)
    shown, team = queries_team.agents_page(rows, request.GET.get("page"))
    context: dict[str, Any] = {
        "team": team,
        "shown": shown,
        "states": queries_team.states_of(rows),
        "over": [] if chosen or team else queries_team.over_in(request.user),
        "at_work": queries.agents_at_work(request.user),
        "chosen": chosen,
        "query": query_of(project=chosen.pk if chosen else ""),
        "may_write": may(request, "agents:write"),
    }
    if context["may_write"]:
        roles = Persona.objects.for_user(request.user).order_by("role")
        context["roles"] = list(roles.values_list("role", flat=True).distinct()[:ROLES])
        context["open_projects"] = [
            row for row in queries.projects_of(request.user) if row.status != Project.Status.CLOSED
        ]
    return show(request, "dashboard/agents.html", context)


def _with_agent(does: Callable[[Agent, str], str]) -> Callable[..., HttpResponse]:
    @act
    def view(request: HttpRequest, *, agent_id: int) -> str:
        agent = found(Agent.objects.for_user(request.user).select_related("project"), pk=agent_id)
        require_in(request, "agents:write", agent.project)
        return does(agent, str(request.user))

    return view


def _pause(agent: Agent, actor: str) -> str:
    agent_pause(agent_id=agent.pk, actor=actor)
    return f"{agent.name} gets no more work; what it has in hand it finishes."


def _resume(agent: Agent, actor: str) -> str:
    agent_resume(agent_id=agent.pk, actor=actor)
    return f"{agent.name} takes work again."


def _stop(agent: Agent, actor: str) -> str:
    agent_stop(agent_id=agent.pk, hand_over=True, actor=actor)
    return f"{agent.name} leaves the team; a session in hand is handed over."


agent_pauses, agent_resumes, agent_stops = _with_agent(_pause), _with_agent(_resume), _with_agent(_stop)


@act
def agent_add(request: HttpRequest) -> str:
    project = project_found(request, number_in(request.POST.get("project", "")))
    require_in(request, "agents:write", project)
    agent = agent_spawn(
        project=project,
        role=request.POST.get("role", "")[:60],
        name=storable_text(request.POST.get("name", "")).strip()[:120],
        actor=str(request.user),
    )
    return f"{agent.name} joins {project.name}."


# -- The org chart -------------------------------------------------------------------------------------


@page
def team(request: HttpRequest, *, project_id: int) -> HttpResponse:
    project = project_found(request, project_id)
    chart = chart_of(project)
    context: dict[str, Any] = {
        "project": project,
        "chart": chart,
        "seats": queries_team.seats_of(chart),
        "may_write": may_in(request, "agents:write", project),
    }
    if context["may_write"]:
        context |= _edited(request, chart)
    return show(request, "dashboard/team.html", context)


def _edited(request: HttpRequest, chart: Chart) -> dict[str, Any]:
    """The position that is edited, and what can be chosen for it; without one, for a new one."""
    names = [place.role_name for place in chart.places]
    wanted = request.GET.get("edit", "")
    place = next((one for one in chart.places if one.role_name == wanted), None)
    roles = queries_team.roles_of(chart.project.organization_id)
    personas = Persona.objects.for_organization(chart.project.organization_id).filter(role=wanted)
    return {
        "edited": place,
        "superiors": [name for name in names if name != wanted],
        "personas": list(personas.values_list("name", flat=True)) if place else [],
        "new_roles": [role for role in roles if role not in names],
        "most": MAX_INSTANCES,
    }


def _given(request: HttpRequest) -> dict[str, Any]:
    """What a form says of a position."""
    capacity = request.POST.get("max_instances", "").strip() or "0"
    if not capacity.isdigit():
        raise BadInput(f"How many work at once is a number up to {MAX_INSTANCES}; empty is no limit.")
    return {
        "max_instances": number_in(capacity),
        "reports_to": storable_text(request.POST.get("reports_to", ""))[:60],
        "persona_path": storable_text(request.POST.get("persona_path", ""))[:120],
        "required": "required" in request.POST,
    }


def _with_project(does: Callable[..., str]) -> Callable[..., HttpResponse]:
    @act
    def view(request: HttpRequest, *, project_id: int, **more: str) -> str:
        project = project_found(request, project_id)
        require_in(request, "agents:write", project)
        return does(request, project, **more)

    return view


def _add(request: HttpRequest, project: Project) -> str:
    role = storable_text(request.POST.get("role", ""))[:60]
    position_add(project=project, place=Place(role, **_given(request)), actor=str(request.user))
    return f"{role} has a place in the chart."


def _set(request: HttpRequest, project: Project, role: str) -> str:
    position_update(project=project, role_name=role, actor=str(request.user), **_given(request))
    return f"{role} is changed."


def _remove(request: HttpRequest, project: Project, role: str) -> str:
    position_remove(project=project, role_name=role, actor=str(request.user))
    return f"{role} is taken off the chart; who reported to it reports one higher."


def _reset(request: HttpRequest, project: Project) -> str:
    chart_reset(project=project, actor=str(request.user))
    return "The chart is that of the default team again."


position_adds, position_sets = _with_project(_add), _with_project(_set)
position_removes, team_resets = _with_project(_remove), _with_project(_reset)

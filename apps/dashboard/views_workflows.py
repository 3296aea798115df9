"""Workflows: their graphs, who goes through them, and an editor that says what is wrong, and where."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from apps.accounts.models import Organization
from apps.accounts.permissions import organizations_with
from apps.agents.diffs import FileDiff, files_of
from apps.agents.models import Persona
from apps.core.errors import Conflict, LoomError
from apps.core.storable import storable_text
from apps.dashboard import queries
from apps.dashboard.graph import Node, draw
from apps.dashboard.pages import (
    found,
    number_in,
    page,
    permission_in,
    project_found,
    query_of,
    require,
    sent,
    show,
)
from apps.projects.models import Project
from apps.workflows.definition_services import definition_delete, definition_import
from apps.workflows.graph import ENDS, Graph
from apps.workflows.graph_library import Found, built_in, found_in, graph_checked, workflows_in
from apps.workflows.graph_reading import GraphRefused, Problem
from apps.workflows.models import WorkflowDefinition, WorkflowExecution
from apps.workflows.transfer import graph_yaml

WRITE, DELETE = "workflows:write", "workflows:delete"
ROWS = 200


def _definitions(request: HttpRequest) -> list[WorkflowDefinition]:
    rows = WorkflowDefinition.objects.for_user(request.user).select_related("organization", "project")
    return list(rows.defer("project__prd").order_by("project_id", "id")[:ROWS])


def _workflows(request: HttpRequest) -> dict[str, Found]:
    """The built-in ones, and over them those of the person's organizations."""
    shown = {name: Found(graph) for name, graph in built_in().items()}
    for row in _definitions(request):
        try:
            shown[row.name] = found_in(row)
        except LoomError:  # written for another version of Loom: its executions say so
            continue
    return shown


@page
def workflows(request: HttpRequest) -> HttpResponse:
    rows = [
        {"found": one, "graph": one.graph, "drawing": drawn_of(one.graph)}
        for one in _workflows(request).values()
    ]
    return show(request, "dashboard/workflows.html", {"rows": rows})


def drawn_of(graph: Graph) -> Any:
    """The graph with its ways forward; ways back are told in words beside it."""
    forward: dict[int, list[int]] = {}
    numbers = {key: number for number, key in enumerate(graph.nodes)}
    for edge in graph.edges:
        if edge.target in numbers and numbers[edge.target] > numbers[edge.source]:
            forward.setdefault(numbers[edge.target], []).append(numbers[edge.source])
    nodes = [
        Node(number, graph.nodes[key].kind, key, "open", is_done=False) for key, number in numbers.items()
    ]
    return draw(nodes, forward, short=True)


def _ways(graph: Graph) -> dict[str, Any]:
    numbers = {key: number for number, key in enumerate(graph.nodes)}
    return {
        "back": [edge for edge in graph.edges if numbers.get(edge.target, 99) <= numbers[edge.source]],
        "ends": [edge for edge in graph.edges if edge.target in ENDS],
    }


@page
def workflow(request: HttpRequest, *, name: str) -> HttpResponse:
    one = _workflows(request).get(name)
    if one is None:
        raise Http404
    executions = WorkflowExecution.objects.for_user(request.user).filter(name=name, bead__isnull=False)
    context = {
        "one": one,
        "graph": one.graph,
        "drawing": drawn_of(one.graph),
        **_ways(one.graph),
        "yaml": graph_yaml(one.graph),
        "is_built_in": name in built_in(),
        "definitions": [row for row in _definitions(request) if row.name == name],
        "may_write": bool(_homes(request)),
        "executions": list(
            executions.select_related("bead", "project").defer("project__prd").order_by("-id")[:30]
        ),
    }
    return show(request, "dashboard/workflow.html", context)


# -- The editor ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Whose workflow is edited: a project's, or that of all projects of an organization."""

    organization: Organization
    project: Project | None
    name: str

    @property
    def query(self) -> str:
        return (
            query_of(project=self.project.pk)
            if self.project
            else query_of(organization=self.organization.slug)
        )

    def in_force(self) -> Found | None:
        """What goes there now."""
        return workflows_in(self.organization.pk, self.project.pk if self.project else None).get(self.name)

    def own(self) -> WorkflowDefinition | None:
        rows = WorkflowDefinition.objects.filter(organization=self.organization, project=self.project)
        return rows.filter(name=self.name).first()


def _homes(request: HttpRequest) -> list[Organization]:
    """Where the person may change workflows."""
    user: Any = request.user
    rows = Organization.objects.order_by("name")
    if not user.is_superuser:
        rows = rows.filter(pk__in=organizations_with(user, WRITE))
    return list(rows[:100])


def _place(request: HttpRequest, name: str, permission: str = WRITE) -> Place:
    """As the address or the form says; without either, the first organization one may write in."""
    given = request.POST if request.method == "POST" else request.GET
    project_id = number_in(given.get("project", ""))
    if project_id:
        project = project_found(request, project_id)
        require(request, permission, project.organization_id, project.pk)
        return Place(project.organization, project, name)
    mine, wanted = Organization.objects.for_user(request.user), storable_text(given.get("organization", ""))
    homes = _homes(request)
    if not wanted and not homes:
        raise Http404
    home: Organization = found(mine, slug=wanted) if wanted else homes[0]
    require(request, permission, home.pk)
    return Place(home, None, name)


@page
def workflow_editor(request: HttpRequest, *, name: str) -> HttpResponse:
    return _show_editor(request, _place(request, name))


def _show_editor(request: HttpRequest, place: Place, trouble: str = "", status: int = 200) -> HttpResponse:
    base = place.in_force()
    if base is None:
        raise Http404
    text = request.POST.get("yaml", "") if trouble else graph_yaml(base.graph)
    context = {
        "place": place,
        "base": base,
        "own": place.own(),
        "text": text,
        "homes": _homes(request),
        "preview": _preview(place, base, text),
        "may_delete": permission_in(request, DELETE, place.organization, place.project),
        "projects": [
            row for row in queries.projects_of(request.user) if row.organization_id == place.organization.pk
        ],
        "trouble": trouble,
    }
    return show(request, "dashboard/workflow_edit.html", context, status)


def _preview(place: Place, base: Found, text: str) -> dict[str, Any]:
    """The graph that the text draws, or what is wrong with it; and how it differs from what goes now."""
    told: dict[str, Any] = {"diff": _diff(place.name, graph_yaml(base.graph), text)}
    try:
        graph = graph_checked(text, Persona.objects.for_organization(place.organization.pk))
    except GraphRefused as refused:
        lines = text.splitlines()
        return told | {"problems": [(one, _line(lines, one)) for one in refused.problems[:30]]}
    except LoomError as error:
        return told | {"problems": [(Problem("", str(error)), "")]}
    return told | {"graph": graph, "drawing": drawn_of(graph), **_ways(graph)}


def _line(lines: list[str], problem: Problem) -> str:
    return lines[problem.line - 1].strip()[:200] if problem.line and problem.line <= len(lines) else ""


def _diff(name: str, before: str, after: str) -> FileDiff | None:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm=""))
    return files_of("\n".join([f"diff --git a/{name} b/{name}", *lines]))[0] if lines else None


@sent
def workflow_preview(request: HttpRequest, *, name: str) -> HttpResponse:
    place = _place(request, name)
    base = place.in_force()
    if base is None:
        raise Http404
    preview = _preview(place, base, storable_text(request.POST.get("yaml", "")))
    return render(request, "parts/workflow_preview.html", {"preview": preview})


@sent
def workflow_save(request: HttpRequest, *, name: str) -> HttpResponse:
    """Keep the text for the place; what is wrong with it is said beside what was typed."""
    place = _place(request, name)
    try:
        base = place.in_force()
        if base is None or base.graph.sha256 != request.POST.get("sha", ""):
            raise Conflict(
                "This workflow was changed while you were typing.",
                hint="The differences below are to what it says now; save again to replace it.",
            )
        kept = definition_import(
            organization=place.organization,
            project=place.project,
            given=storable_text(request.POST.get("yaml", "")),
            actor=str(request.user),
        )
    except LoomError as error:
        said = "This cannot work yet." if isinstance(error, GraphRefused) else error.told
        return _show_editor(request, place, said, error.status)
    messages.success(request, f"{kept.name} is kept; beads that start from now on go through it.")
    return HttpResponseRedirect(f"{reverse('workflow-edit', args=[kept.name])}?{place.query}")


@sent
def workflow_remove(request: HttpRequest, *, name: str) -> HttpResponse:
    place = _place(request, name, DELETE)
    own = place.own()
    if own is None:
        raise Http404
    definition_delete(definition=own, actor=str(request.user))
    messages.success(
        request, f"{name} is given up here; beads that start from now on go through the one behind it."
    )
    return HttpResponseRedirect(reverse("workflows"))

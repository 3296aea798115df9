"""The pages of one project: overview with the weave, board, list, graph, requirements."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.core.errors import BadInput, LoomError
from apps.dashboard import moves, queries, queries_board, queries_events, queries_graph
from apps.dashboard.forms import BeadForm, faults
from apps.dashboard.pages import act, found, may_in, page, project_found, require_in, show, with_undo
from apps.dashboard.queries_board import Filters
from apps.dashboard.queries_questions import questions_of
from apps.dashboard.queries_weave import weave_of
from apps.projects.models import Project
from apps.workflows.planning import is_being_planned

PROOFS = 12
BULK = 200


def show_project(
    request: HttpRequest, project: Project, template: str, context: dict[str, Any]
) -> HttpResponse:
    may_write = may_in(request, "beads:write", project)
    return show(request, template, {"project": project, "may_write": may_write, **context})


@page
def project(request: HttpRequest, *, project_id: int) -> HttpResponse:
    shown = project_found(request, project_id)
    (card,) = queries.project_cards([shown])
    queries.add_bead_lines([card])
    proofs = queries.proofs(queries.proof_lines(shown, PROOFS))
    return show_project(
        request,
        shown,
        "dashboard/project.html",
        {
            "card": card,
            "weave": weave_of(shown, request.GET.get("span", "")),
            "proofs": proofs,
            "requirements": queries.requirement_counts(shown),
            "questions": questions_of(request.user, shown),
            "events": queries_events.event_lines(request.user, shown),
        },
    )


@page
def board(request: HttpRequest, *, project_id: int) -> HttpResponse:
    shown = project_found(request, project_id)
    filters, lanes = Filters.read(request.GET), request.GET.get("lanes", "")
    return show_project(
        request,
        shown,
        "dashboard/board.html",
        {
            "lanes": queries_board.board_of(shown, filters, by_epic=lanes == "epic"),
            "by_epic": lanes == "epic",
            "filters": filters,
            "choices": queries_board.choices_of(shown),
            "moves": queries_board.MOVES,
            "form": BeadForm(project=shown),
        },
    )


@page
def beads(request: HttpRequest, *, project_id: int) -> HttpResponse:
    shown = project_found(request, project_id)
    filters, sort = Filters.read(request.GET), request.GET.get("sort", "priority")
    rows = queries_board.list_of(shown, filters, sort.lstrip("-"), descending=sort.startswith("-"))
    listed = Paginator(rows, queries_board.PER_PAGE).get_page(request.GET.get("page"))
    return show_project(
        request,
        shown,
        "dashboard/list.html",
        {
            "beads": listed,
            "lines": queries.bead_lines(list(listed)),
            "filters": filters,
            "choices": queries_board.choices_of(shown),
            "columns": queries_board.COLUMNS,
            "moves": queries_board.MOVES,
            "sort": sort,
            "query": _without(request, "page"),
            "sortless": _without(request, "page", "sort"),
        },
    )


def _without(request: HttpRequest, *names: str) -> str:
    given = request.GET.copy()
    for name in names:
        given.pop(name, None)
    return given.urlencode()


@page
def graph(request: HttpRequest, *, project_id: int) -> HttpResponse:
    shown = project_found(request, project_id)
    drawing, hidden = queries_graph.graph_of(shown)
    return show_project(request, shown, "dashboard/graph.html", {"drawing": drawing, "hidden_count": hidden})


@page
def requirements(request: HttpRequest, *, project_id: int) -> HttpResponse:
    shown = project_found(request, project_id)
    coverage = queries_graph.coverage_of(shown)
    return show_project(request, shown, "dashboard/requirements.html", {"coverage": coverage})


# -- Beads of a project ------------------------------------------------------------------------------


@act
def bead_add(request: HttpRequest, *, project_id: int) -> str:
    shown = project_found(request, project_id)
    require_in(request, "beads:write", shown)
    form = BeadForm(request.POST, project=shown)
    if not form.is_valid():
        raise BadInput(faults(form))
    # A plan that waits for approval, or is mended, grows by a story that waits with it. Whoever approves
    # locks the project.
    with transaction.atomic():
        Project.objects.locked(shown.pk)
        is_planned = is_being_planned(shown.pk)
        status = Bead.Status.DEFERRED if is_planned else Bead.Status.OPEN
        bead = bead_create(project=shown, status=status, actor=str(request.user), **form.fields_given())
    return f"{bead.key} is added{' to the plan' if is_planned else ''}."


@act
def bead_move_to(request: HttpRequest, *, key: str) -> str | None:
    bead = found(Bead.objects.for_user(request.user).select_related("project"), key=key)
    require_in(request, "beads:write", bead.project)
    to = request.POST.get("to") or request.GET.get("to", "")
    is_undoable = moves.is_undoable(bead, to)
    said = moves.bead_move(bead=bead, to=to, actor=str(request.user))
    return with_undo(request, said, f"{reverse('bead-move', args=[key])}?to=ready" if is_undoable else "")


@act
def beads_bulk(request: HttpRequest, *, project_id: int) -> str:
    """Do one thing to all picked beads; those it cannot be done to are named."""
    shown = project_found(request, project_id)
    require_in(request, "beads:write", shown)
    picked = Bead.objects.filter(project=shown, key__in=request.POST.getlist("bead")[:BULK])
    done, refused = 0, []
    for bead in picked.select_related("project"):
        try:
            moves.bead_move(bead=bead, to=request.POST.get("to", ""), actor=str(request.user))
            done += 1
        except LoomError as error:
            refused.append(str(error))
    if refused:
        raise BadInput(f"{done} done, {len(refused)} not: {refused[0]}")
    return f"{done} bead{'s' if done != 1 else ''} done."

"""The API of workflows: definitions, what runs make of them, and figures about that."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api import TenantViewSet
from apps.accounts.permissions import permission_require, rows_with
from apps.agents.models import Persona
from apps.beads.models import Bead
from apps.core.api import query_number
from apps.core.api_lists import (
    FALSE,
    TRUE,
    Listing,
    as_asked,
    flag,
    moment,
    numbers,
    rows_narrow,
    words,
)
from apps.core.api_pages import BareArrayPagination, Envelope
from apps.core.errors import BadInput, Conflict, NotFound
from apps.projects.models import Project
from apps.workflows import bodies
from apps.workflows.definition_services import (
    definition_create,
    definition_delete,
    definition_import,
    definition_update,
)
from apps.workflows.graph import Graph
from apps.workflows.graph_library import Found, built_in, found_in, graph_check
from apps.workflows.graph_reading import GraphRefused, graph_read, located
from apps.workflows.models import WorkflowDefinition, WorkflowExecution
from apps.workflows.transfer import graph_yaml, unreadable_body, workflow_body
from apps.workflows.workflow_queries import analytics, bead_workflow, execution_body, history_bodies

OTHERS = {"organization", "organization_id", "project_id", "version", "yaml"}  # fields beside the definition


class WorkflowPages(Envelope):
    name, counts_all = "workflows", True


EXECUTIONS = Listing(
    {
        "project_id": numbers("project_id"),
        "status": words("status", choices=WorkflowExecution.Status.values),
        "type": words("name", help="Names of workflows."),
        "current_node": words("current_node"),
        "started_after": moment("started_at__gte"),
        "started_before": moment("started_at__lt"),
    },
    {name: name for name in ("name", "status", "cycle_count", "started_at", "last_node_at")},
    ("name", "current_node", "bead__key", "bead__title"),
    ("bead_id",),
)


class WorkflowViewSet(TenantViewSet):
    """`/workflows`: the built-in ones, those of one's organizations and those of their projects."""

    list_is_object = True
    resource = "workflows"
    organization_path = "organization_id"
    lookup_value_regex = r"[a-z0-9-]{1,70}"
    permission_actions = {"check": "read"}
    pagination_class = WorkflowPages
    filters = {
        "type": words("name", help="Names of workflows."),
        "project_id": numbers(as_asked, help="With that project's own, and without those of others."),
        "built_in": flag(as_asked),
    }
    orderings = {"name": "name"}
    listings = {"executions": EXECUTIONS}
    schema_answers = {
        "list": bodies.WorkflowPageBody,
        **dict.fromkeys(("retrieve", "create", "update", "bring_in"), bodies.WorkflowBody),
        "check": bodies.CheckedBody,
        "export": {(200, "application/yaml"): OpenApiTypes.STR},
        "analytics": bodies.WorkflowFiguresBody,
        "executions": bodies.EXECUTIONS,
    }

    def get_queryset(self) -> QuerySet[WorkflowDefinition]:
        return WorkflowDefinition.objects.for_user(self.request.user)

    def list(self, request: Request) -> Response:
        """`{"workflows": [...], "count": n}`: the built-in ones, then one's own by name."""
        rows = self.filter_queryset(self.get_queryset())
        project_id = query_number(request, "project_id")
        if project_id is not None:
            project = self.parent_get(Project.objects.for_user(request.user), project_id)
            rows = rows.filter(Q(project=project) | Q(project=None), organization_id=project.organization_id)
        asked = request.query_params
        shipped, wanted = list(built_in().values()), asked.get("built_in", "").lower()
        if names := [name.strip() for name in asked.get("type", "").split(",") if name.strip()]:
            shipped = [graph for graph in shipped if graph.name in names]
        own = list(rows.order_by("name", "pk")) if wanted not in TRUE else []
        found: list[Graph | WorkflowDefinition] = [*own] if wanted in FALSE else [*shipped, *own]
        if ordering := asked.get("ordering"):
            found.sort(key=_place_of, reverse=ordering.startswith("-"))
        page = self.paginate_queryset(found) or []
        return self.get_paginated_response([_listed(one) for one in page])

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(workflow_body(self._find(pk)))

    def create(self, request: Request) -> Response:
        given, place = self._given(), self._place()
        return Response(workflow_body(found_in(definition_create(given=given, **place))), status=201)

    def update(self, request: Request, pk: str) -> Response:
        row, version = self._own(pk), self.body.get("version")
        if version is not None and not isinstance(version, int):
            raise BadInput("version must be the number that was read.", details={"field": "version"})
        changed = definition_update(definition=row, given=self._given(), version=version, actor=self._actor())
        return Response(workflow_body(found_in(changed)))

    def destroy(self, request: Request, pk: str) -> Response:
        definition_delete(definition=self._own(pk), actor=self._actor())
        return Response(status=204)

    @action(detail=False, methods=["post"], url_path="validate")
    def check(self, request: Request) -> Response:
        """What is wrong with a definition, its fields or its text as `yaml`: `{"valid", "problems": []}`."""
        try:
            given = self._given()
            problems = graph_check(graph_read(given), Persona.objects.for_user(self.request.user))
            if isinstance(given, str):
                problems = located(problems, given)
        except GraphRefused as refused:
            problems = refused.problems
        return Response({"valid": not problems, "problems": [problem.data() for problem in problems]})

    @action(detail=True)
    def export(self, request: Request, pk: str) -> HttpResponse:
        """The definition as a YAML file."""
        graph = self._find(pk).graph
        answer = HttpResponse(graph_yaml(graph), content_type="application/yaml; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="{graph.name}.yaml"'
        return answer

    @action(detail=False, methods=["post"], url_path="import")
    def bring_in(self, request: Request) -> Response:
        """`{"yaml": "..."}`: created, or changed where one of that name stands at the same place."""
        given, place = self._given(), self._place()
        return Response(workflow_body(found_in(definition_import(given=given, **place))))

    @action(detail=False)
    def analytics(self, request: Request) -> Response:
        return Response(analytics(rows_narrow(request, _executions(self), EXECUTIONS.filters)))

    @action(detail=False, pagination_class=BareArrayPagination)
    def executions(self, request: Request) -> Response:
        """Newest first; with `bead_id` the bead's newest execution and its history."""
        rows = _executions(self).order_by("-id")
        if named := request.query_params.get("bead_id"):
            execution = rows.filter(bead=_bead(self, named)).first()
            if execution is None:
                raise NotFound(f"{named} has not been in a workflow yet.")
            return Response({"execution": execution_body(execution), "history": history_bodies(execution)})
        return self.listed(rows, lambda page: [execution_body(row) for row in page])

    # -- what is meant --------------------------------------------------------------------------

    def _find(self, ident: str) -> Found:
        """By `wf-<number>` one of ours, by `wf-<name>` (or the name alone) a built-in one."""
        name = ident.removeprefix("wf-")
        if name.isdigit():
            return found_in(self._own(ident))
        if name not in built_in():
            raise NotFound(f"There is no workflow {ident!r}.")
        return Found(built_in()[name])

    def _own(self, ident: str) -> WorkflowDefinition:
        number = ident.removeprefix("wf-")
        if not number.isdigit():
            if number in built_in():
                raise BadInput(
                    f"{number} is built in and cannot be changed.",
                    hint="Create one of the same name; it goes before the built-in one.",
                )
            raise NotFound(f"There is no workflow {ident!r}.")
        self.kwargs["pk"] = int(number) if len(number) < 19 else 0
        row: WorkflowDefinition = self.get_object()
        return row

    def _given(self) -> str | dict[str, Any]:
        """The definition in the body: its text as `yaml`, or its fields."""
        text = self.body.get("yaml")
        if text is None:
            return {key: value for key, value in self.body.items() if key not in OTHERS}
        if not isinstance(text, str):
            raise BadInput("yaml must be the text of a definition.", details={"field": "yaml"})
        return text

    def _place(self) -> dict[str, Any]:
        """The organization or project that a new definition is for; checks that one may write there."""
        project, project_id = None, self.body.get("project_id")
        if project_id not in (None, ""):
            rows = Project.objects.for_user(self.request.user).select_related("organization")
            project = self.parent_get(rows, project_id)
        given = self.body.get("organization", self.body.get("organization_id"))
        organization = self.organization_get(given, project=project)
        return {"organization": organization, "project": project, "actor": self._actor()}

    def _actor(self) -> str:
        return str(self.request.user)


def _place_of(one: Graph | WorkflowDefinition) -> tuple[str, int]:
    return one.name, one.pk if isinstance(one, WorkflowDefinition) else 0


def _listed(one: Graph | WorkflowDefinition) -> dict[str, Any]:
    """One that cannot be read hides none of the others."""
    if isinstance(one, Graph):
        return workflow_body(Found(one))
    try:
        return workflow_body(found_in(one))
    except Conflict as why:
        return unreadable_body(one, why.told)


class BeadWorkflowViewSet(TenantViewSet):
    """`/beads/workflow`: where a bead is in its workflow."""

    list_actions: frozenset[str] = frozenset()
    resource = "workflows"
    schema_answers = {"list": bodies.BeadWorkflowBody}

    def get_queryset(self) -> QuerySet[WorkflowExecution]:
        return WorkflowExecution.objects.for_user(self.request.user).select_related("bead", "definition")

    def list(self, request: Request) -> Response:
        named = request.query_params.get("bead_id")
        if not named:
            raise BadInput("Say which bead: ?bead_id=.", details={"field": "bead_id"})
        bead = _bead(self, named)
        execution = self.filter_queryset(self.get_queryset()).filter(bead=bead).order_by("-id").first()
        if execution is None:
            return Response({"message": "No workflow was started for this bead yet.", "bead_id": bead.key})
        return Response(bead_workflow(execution))


def _bead(view: TenantViewSet, named: str) -> Bead:
    """A bead by its key or its number, where its workflow may be read."""
    rows = Bead.objects.for_user(view.request.user).select_related("project")
    is_number = named.isascii() and named.isdigit() and len(named) < 19
    bead = rows.filter(Q(pk=int(named)) if is_number else Q(key=named)).first()
    if bead is None:
        raise NotFound(f"There is no bead {named[:80]!r}.")
    permission_require(view.request.user, "workflows:read", bead.project.organization_id, bead.project_id)
    return bead


def _executions(view: WorkflowViewSet) -> QuerySet[WorkflowExecution]:
    """Those of the organizations in which one may read workflows."""
    rows = WorkflowExecution.objects.for_user(view.request.user).select_related("bead", "definition")
    user: Any = view.request.user
    return rows_with(user, "workflows:read", rows, "project__organization_id")


router = SimpleRouter(trailing_slash=False)
router.register("workflows", WorkflowViewSet, basename="workflow")
urlpatterns = [*router.urls, path("beads/workflow", BeadWorkflowViewSet.as_view({"get": "list"}))]

"""The API of analytics: the ledger's calls, what they cost and brought, as figures and as files."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponseBase, StreamingHttpResponse
from django.urls import path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.accounts.models import Organization
from apps.accounts.permissions import ADMIN
from apps.analytics import bodies, exports, ledger, wire
from apps.analytics.asked import FILTERS, GROUP_BY, LedgerViewSet, number, parameters, span_of
from apps.analytics.batching import batching
from apps.analytics.budgets import budget_bodies
from apps.beads.models import Bead
from apps.core import api_lists
from apps.core.errors import BadInput, NotFound
from apps.projects.models import Project
from apps.providers.ledger import budget_row
from apps.providers.models import Budget, Call
from apps.providers.services import budget_set

FORMATS = {"json": "application/json", "csv": "text/csv; charset=utf-8"}
FORMAT = OpenApiParameter("format", str, enum=list(FORMATS))


def _files(body: Any) -> Any:
    return {(200, "application/json"): body, (200, "text/csv"): OpenApiTypes.STR}


class FirstRenderer(BaseContentNegotiation):
    """Whatever Accept says; `format` is the route's own."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class CallBody(serializers.BaseSerializer[Call]):
    def to_representation(self, instance: Call) -> dict[str, Any]:
        return wire.call_body(instance)


@extend_schema_view(list=extend_schema(responses=bodies.RequestLog(many=True)))
class RequestLogs(TenantViewSet):
    """Calls to models, newest first."""

    resource = "analytics"
    organization_path = "organization_id"
    serializer_class = CallBody
    filters = FILTERS
    orderings = {"timestamp": "created_at", "cost_usd": "cost_microusd", "latency_ms": "latency_ms"}
    search_fields = ("model", "provider_name", "purpose", "error", "error_text")

    def get_queryset(self) -> QuerySet[Call]:
        rows = Call.objects.for_user(self.request.user)
        return rows.annotate(agent_at_work=ledger.GROUPINGS["agent"]).order_by("-id")


class Analytics(LedgerViewSet):
    @extend_schema(parameters=parameters(GROUP_BY), responses=bodies.LogStats)
    def stats(self, request: Request) -> Response:
        """How many calls, of how many tokens, for how much, how fast, and how many went wrong."""
        by, calls = self.group_by(), self.calls("group_by")
        whole, _, _ = ledger.totals(calls)
        body = wire.stats_body(whole, ledger.by_provider(calls), ledger.by_user(calls))
        return Response(body | self._groups(calls, by))

    @extend_schema(parameters=parameters(GROUP_BY), responses=bodies.Costs)
    def costs(self, request: Request) -> Response:
        """What was spent. Calls of the scripted demo are booked at nominal prices, and nobody is charged."""
        by, calls = self.group_by(), self.calls("group_by")
        whole, first, last = ledger.totals(calls)
        span = span_of(request, first, last)
        body = wire.costs_body(whole, ledger.by_provider(calls), ledger.by_user(calls), span)
        return Response(body | self._groups(calls, by))

    def _groups(self, calls: QuerySet[Call], by: str) -> dict[str, Any]:
        return {"groups": wire.group_bodies(ledger.grouped(calls, by))} if by else {}

    @extend_schema(
        parameters=parameters(
            OpenApiParameter("limit", int, description="Newest calls to look at: 2000, at most 10000."),
            OpenApiParameter("max_recommendations", int, description="20, at most 200."),
            OpenApiParameter("window_minutes", int, description="Calls this close together: 60."),
            OpenApiParameter("auto_batch", bool, description="With a plan of the batches."),
        ),
        responses=bodies.Batching,
    )
    def batching(self, request: Request) -> Response:
        """Calls that could have gone to a provider's batch endpoint together, at the usual half price.

        Turns of one session follow from each other and are never one batch."""
        plan = request.query_params.get("auto_batch", "").lower()
        if plan and plan not in api_lists.TRUE | api_lists.FALSE:
            raise BadInput("auto_batch must be true or false.", details={"field": "auto_batch"})
        calls = self.calls("max_recommendations", "window_minutes", "auto_batch")
        minutes = number(request, "window_minutes", default=60, most=7 * 24 * 60)
        return Response(
            batching(
                calls,
                limit=number(request, "limit", default=2000, most=10_000),
                window=timedelta(minutes=minutes),
                most=number(request, "max_recommendations", default=20, most=200),
                plan=plan in api_lists.TRUE,
            )
        )


class Exports(LedgerViewSet):
    content_negotiation_class = FirstRenderer

    @extend_schema(parameters=parameters(FORMAT), responses=_files(bodies.RequestLog(many=True)))
    def calls_file(self, request: Request) -> HttpResponseBase:
        """The newest 10,000 calls as a file: an array of request logs, or CSV."""
        form, calls = self._format(), self.calls()
        calls = calls.annotate(agent_at_work=ledger.GROUPINGS["agent"])
        if form == "json":
            return _file("logs.json", exports.calls_json(calls))
        return _file(f"loom-logs-{timezone.now():%Y-%m-%d}.csv", exports.calls_csv(calls))

    @extend_schema(parameters=parameters(FORMAT), responses=_files(bodies.ExportedStats))
    def stats_file(self, request: Request) -> HttpResponseBase:
        """The figures as a file."""
        form, calls = self._format(), self.calls()
        whole, first, last = ledger.totals(calls)
        providers, users = ledger.by_provider(calls), ledger.by_user(calls)
        now = timezone.now()
        if form == "csv":
            return _file(f"loom-stats-{now:%Y-%m-%d}.csv", exports.stats_csv(whole, providers, users))
        body = exports.stats_json(now, span_of(request, first, last), whole, providers, users)
        headers = {"Content-Disposition": _attached(f"loom-stats-{now:%Y-%m-%d}.json")}
        return Response(body, headers=headers)

    def _format(self) -> str:
        form = self.request.query_params.get("format", "json").lower()
        if form not in FORMATS:
            raise BadInput("format must be json or csv.", details={"field": "format"})
        return form


def _file(name: str, pieces: Any) -> StreamingHttpResponse:
    kind = FORMATS[name.rpartition(".")[2]]
    return StreamingHttpResponse(pieces, content_type=kind, headers={"Content-Disposition": _attached(name)})


def _attached(name: str) -> str:
    return f'attachment; filename="{name}"'


class BudgetBodies(serializers.BaseSerializer[Budget]):
    def to_representation(self, instance: Any) -> Any:
        return instance


@extend_schema_view(
    list=extend_schema(responses=bodies.BudgetBody(many=True)),
    retrieve=extend_schema(responses=bodies.BudgetBody),
)
class Budgets(TenantViewSet):
    """Budgets with what is spent of them, how fast, and when they run out if it goes on like that."""

    resource = "analytics"
    organization_path = "organization_id"
    serializer_class = BudgetBodies
    filters = {
        "scope": api_lists.words("scope", choices=Budget.Scope.values),
        "scope_id": api_lists.numbers("scope_id"),
    }
    orderings = {"spent_usd": "spent_microusd"}
    lookup_field = "scope_id"
    permission_actions = {"update": ADMIN}
    figures = (
        "spent_usd", "reserved_usd", "left_usd", "used_percent", "burn_per_day_usd", "runs_out_at",
    )  # fmt: skip

    def get_queryset(self) -> QuerySet[Budget]:
        return Budget.objects.for_user(self.request.user)

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page: Any = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(budget_bodies(page, Call.objects.for_user(request.user)))

    def retrieve(self, request: Request, scope: str, scope_id: int) -> Response:
        found = self.filter_queryset(self.get_queryset()).filter(scope=scope, scope_id=scope_id).first()
        if found is None:
            raise NotFound(f"There is no budget of the {scope[:20]} {scope_id} yet.")
        return Response(self._body(found))

    @extend_schema(request=bodies.BudgetInput, responses=bodies.BudgetBody)
    def update(self, request: Request, scope: str, scope_id: int) -> Response:
        """Set the limit of an organization, project or bead; null lifts it. What was spent before counts."""
        given = bodies.BudgetInput(data=self.body)
        given.is_valid(raise_exception=True)
        organization_id = self._home(scope, scope_id)
        budget = budget_set(
            scope=scope,
            scope_id=scope_id,
            limit_usd=given.validated_data["limit_usd"],
            organization_id=organization_id,
            actor=request.user.get_username(),
        )
        return Response(self._body(budget))

    def _home(self, scope: str, scope_id: int) -> int:
        """The organization of what the budget is of; checks that one may set it there."""
        user = self.request.user
        if scope == Budget.Scope.ORGANIZATION:
            return self.parent_get(Organization.objects.for_user(user), scope_id, organization_path="pk").pk
        if scope == Budget.Scope.PROJECT:
            return self.parent_get(Project.objects.for_user(user), scope_id).organization_id
        if scope == Budget.Scope.BEAD:
            beads = Bead.objects.for_user(user).select_related("project")
            path_ = "project__organization_id"
            return self.parent_get(beads, scope_id, organization_path=path_).project.organization_id
        raise BadInput("A budget is of an organization, a project or a bead.", details={"field": "scope"})

    def _body(self, budget: Budget) -> dict[str, Any]:
        return budget_bodies([budget], Call.objects.for_user(self.request.user))[0]

    def row_lock(self) -> None:
        """By the organization's lock, which everybody who changes budgets takes first."""
        given = self.kwargs
        rows = self.get_queryset().filter(scope=given["scope"], scope_id=given["scope_id"])
        for organization_id in rows.values_list("organization_id", flat=True):
            budget_row(organization_id=organization_id, scope=given["scope"], scope_id=given["scope_id"])


urlpatterns = [
    path("analytics/logs", RequestLogs.as_view({"get": "list"}), name="analytics-logs"),
    path("analytics/stats", Analytics.as_view({"get": "stats"}), name="analytics-stats"),
    path("analytics/costs", Analytics.as_view({"get": "costs"}), name="analytics-costs"),
    path("analytics/batching", Analytics.as_view({"get": "batching"}), name="analytics-batching"),
    path("analytics/export", Exports.as_view({"get": "calls_file"}), name="analytics-export"),
    path("analytics/export-stats", Exports.as_view({"get": "stats_file"}), name="analytics-export-stats"),
    path("analytics/budgets", Budgets.as_view({"get": "list"}), name="analytics-budgets"),
    path(
        "analytics/budgets/<str:scope>/<int:scope_id>",
        Budgets.as_view({"get": "retrieve", "put": "update"}),
        name="analytics-budget",
    ),
]

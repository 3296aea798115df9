"""The API of what could cost less: caches, patterns, prompts, other models. All is read from the ledger.

To apply a recommendation writes what routing prefers, and nothing else is written here.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.permissions import permission_holds, rows_with
from apps.agents.models import Persona
from apps.analytics import applying, caching, optimizing, patterns, prompts, saving_bodies
from apps.analytics.asked import LedgerViewSet, number
from apps.core.api_inputs import Input
from apps.core.errors import BadInput
from apps.providers.models import Call, Preference
from apps.providers.preferences_api import PreferenceBody

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(ms|s|m|h)")
DEFAULT, LONGEST = timedelta(days=7), timedelta(days=366)
TYPES = ("provider-substitution", "model-substitution", "caching", "batching")
WINDOW = OpenApiParameter("time_window", str, description="Such as `24h` or `1h30m`; a week.")
PROJECT = OpenApiParameter("project_id", int)
MIN_SAVINGS = OpenApiParameter("min_savings", float, description="USD in that time.")
LIMIT = OpenApiParameter("limit", int)


def window_of(request: Request) -> timedelta:
    """A length of time as Go writes it; a bare number is of hours."""
    text = request.query_params.get("time_window", "").strip()
    if not text:
        return DEFAULT
    pieces = DURATION.findall(f"{text}h" if text.isascii() and text.isdigit() else text)
    whole = "".join(amount + unit for amount, unit in pieces)
    seconds = sum(float(amount) * UNITS[unit] for amount, unit in pieces)
    if whole not in {text, f"{text}h"} or not 60 <= seconds <= LONGEST.total_seconds():
        raise BadInput(
            "time_window must be a length of time such as 24h or 1h30m, from a minute to a year.",
            details={"field": "time_window"},
        )
    return timedelta(seconds=seconds)


def amount(request: Request, name: str) -> float:
    text = request.query_params.get(name, "").strip() or "0"
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII):
        raise BadInput(f"{name} must be a number, zero or more.", details={"field": name})
    return float(text)


class SavingViewSet(LedgerViewSet):
    def seen(self) -> QuerySet[Call]:
        rows: QuerySet[Call] = self.filter_queryset(self.get_queryset())
        project = number(self.request, "project_id", default=0, least=0, most=2**63 - 1)
        return rows.filter(project_id=project) if project else rows


class Cache(SavingViewSet):
    @extend_schema(parameters=[PROJECT], responses=saving_bodies.CacheStats)
    def stats(self, request: Request) -> Response:
        """What providers' prompt caches had. Loom keeps no answers itself, so there are no entries."""
        return Response(caching.cache_stats(self.seen()))

    @extend_schema(parameters=[WINDOW, MIN_SAVINGS, PROJECT], responses=saving_bodies.CacheAnalysis)
    def analysis(self, request: Request) -> Response:
        """How much was sent again that a provider's cache could have had."""
        return Response(self._analysis())

    def _analysis(self) -> dict[str, Any]:
        least = amount(self.request, "min_savings")
        return caching.cache_analysis(self.seen(), window_of(self.request), least)

    @extend_schema(
        parameters=[
            WINDOW, LIMIT, PROJECT, OpenApiParameter("priority", str, enum=list(caching.PRIORITIES)),
        ],
        responses=saving_bodies.CacheOpportunities,
    )  # fmt: skip
    def opportunities(self, request: Request) -> Response:
        """Where the largest savings are missed."""
        limit = number(request, "limit", default=20, most=500)
        found = self._analysis()["opportunities"]
        if priority := request.query_params.get("priority"):
            found = [one for one in found if one["priority"] == priority]
        shown = found[:limit]
        told = {"opportunities": shown, "count": len(shown), "total": len(found), "limit": limit}
        return Response(told)

    @extend_schema(parameters=[WINDOW, PROJECT], responses=saving_bodies.CacheRecommendations)
    def recommendations(self, request: Request) -> Response:
        """The same in words."""
        body = self._analysis()
        same = ("recommendations", "total_savings_usd", "duplicate_percent", "analyzed_at", "time_window")
        more = {
            "monthly_projection": body["monthly_projection_usd"],
            "opportunity_count": len(body["opportunities"]),
        }
        return Response({name: body[name] for name in same} | more)


class Patterns(SavingViewSet):
    @extend_schema(
        parameters=[
            WINDOW, PROJECT, OpenApiParameter("min_requests", int), OpenApiParameter("min_cost", float),
        ],
        responses=saving_bodies.PatternAnalysis,
    )  # fmt: skip
    def analysis(self, request: Request) -> Response:
        """What is spent by model, agent and purpose, how that changes, and days unlike the others."""
        return Response(
            patterns.analysis(
                self.seen(),
                window_of(request),
                min_requests=number(request, "min_requests", default=1, most=2**31),
                min_cost=amount(request, "min_cost"),
            )
        )

    @extend_schema(parameters=[WINDOW, PROJECT, LIMIT], responses=saving_bodies.ExpensivePatterns)
    def expensive(self, request: Request) -> Response:
        limit = number(request, "limit", default=10, most=patterns.MOST)
        found = patterns.patterns_of(self.seen(), window_of(request))[:limit]
        return Response({"patterns": found, "count": len(found)})

    @extend_schema(parameters=[WINDOW, PROJECT], responses=saving_bodies.Anomalies)
    def anomalies(self, request: Request) -> Response:
        found = patterns.anomalies_of(self.seen(), window_of(request))
        return Response({"anomalies": found, "count": len(found)})


class ApplyInput(Input):
    project_id = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False, allow_null=True)
    role = serializers.CharField(max_length=80, allow_blank=True, required=False, allow_null=True)


class Optimizations(SavingViewSet):
    schema_bodies = {"apply": ApplyInput}

    def preferences(self) -> QuerySet[Preference]:
        return Preference.objects.for_user(self.request.user)

    @extend_schema(parameters=[WINDOW, PROJECT], responses=saving_bodies.Applied)
    def apply(self, request: Request, pk: str) -> Response:
        """Have the work that a recommendation is about ask the cheaper model first.

        All roles and projects that made the calls it would replace, or those of `project_id` and `role`. It
        is asked first while it is well and offers what a call needs; `/routing/preferences` shows that and
        takes it back.
        """
        given, calls, window = ApplyInput.read(self.body), self.seen(), window_of(request)
        rows = applying.optimization_apply(
            calls=calls,
            window=window,
            optimization_id=pk,
            others=lambda: {o["id"] for o in optimizing.optimizations(calls, window, self.preferences())},
            may_write=lambda organization, project: permission_holds(
                request.user, "providers:write", organization, project
            ),
            project_id=given.get("project_id"),
            role=given.get("role"),
            actor=request.user.get_username(),
        )
        names = sorted({f"{row.role or 'people'} ({row.purpose or 'other'})" for row in rows})
        message = f"{rows[0].model} of {rows[0].provider.name} is asked first for {', '.join(names)}."
        told = PreferenceBody(rows, many=True).data
        return Response({"status": "applied", "message": message, "preferences": told})

    @extend_schema(
        parameters=[WINDOW, PROJECT, MIN_SAVINGS, OpenApiParameter("type", str, enum=list(TYPES))],
        responses=saving_bodies.Optimizations,
    )
    def all(self, request: Request) -> Response:
        """Cheaper models that did the same work here as well, and what caches and batches would save."""
        kind, least = request.query_params.get("type", ""), amount(request, "min_savings")
        if kind and kind not in TYPES:
            raise BadInput(f"type is one of: {', '.join(TYPES)}.", details={"field": "type"})
        whole = optimizing.optimizations(self.seen(), window_of(request), self.preferences())
        found = [
            one
            for one in whole
            if (not kind or one["type"] == kind) and one["projected_savings_usd"] >= least
        ]
        return Response(
            {
                "optimizations": found,
                "count": len(found),
                "total_savings_usd": round(sum(one["projected_savings_usd"] for one in found), 6),
                "monthly_savings_usd": round(sum(one["monthly_savings_usd"] for one in found), 6),
                "cache_opportunities": sum(one["type"] == "caching" for one in whole),
                "batching_opportunities": sum(one["type"] == "batching" for one in whole),
            }
        )

    @extend_schema(parameters=[WINDOW, PROJECT], responses=saving_bodies.Substitutions)
    def substitutions(self, request: Request) -> Response:
        """Cheaper models, with how much of their work succeeded here."""
        found = optimizing.substitutions(self.seen(), window_of(request), self.preferences())
        return Response({"substitutions": found, "count": len(found)})


class Prompts(SavingViewSet):
    @extend_schema(parameters=[WINDOW, PROJECT], responses=saving_bodies.PromptAnalysis)
    def analysis(self, request: Request) -> Response:
        """What the texts of the personas at work say twice, at length or half-heartedly; its cost."""
        return Response(self._analysis())

    @extend_schema(parameters=[WINDOW, PROJECT, LIMIT], responses=saving_bodies.PromptOptimizations)
    def optimizations(self, request: Request) -> Response:
        """The costliest of them, each with the text as it could be."""
        limit = number(request, "limit", default=10, most=500)
        found = self._analysis()["optimizations"][:limit]
        return Response({"optimizations": found, "count": len(found)})

    def _analysis(self) -> dict[str, Any]:
        user: Any = self.request.user
        readable = rows_with(user, "personas:read", Persona.objects.all(), "organization_id")
        shipped = Q(organization=None)  # with Loom, for everybody to read
        personas = Persona.objects.for_user(user).filter(shipped | Q(pk__in=readable.values("pk")))
        return prompts.prompt_analysis(self.seen(), personas, window_of(self.request))


def _path(address: str, view: type[SavingViewSet], name: str) -> Any:
    return path(address, view.as_view({"get": name}), name=address.replace("/", "-"))


urlpatterns = [
    _path("cache/stats", Cache, "stats"),
    _path("cache/analysis", Cache, "analysis"),
    _path("cache/opportunities", Cache, "opportunities"),
    _path("cache/recommendations", Cache, "recommendations"),
    _path("patterns/analysis", Patterns, "analysis"),
    _path("patterns/expensive", Patterns, "expensive"),
    _path("patterns/anomalies", Patterns, "anomalies"),
    _path("optimizations", Optimizations, "all"),
    _path("optimizations/substitutions", Optimizations, "substitutions"),
    _path("prompts/analysis", Prompts, "analysis"),
    _path("prompts/optimizations", Prompts, "optimizations"),
    path(
        "optimizations/<str:pk>/apply",  # what work asks first is a matter of providers
        Optimizations.as_view({"post": "apply"}, resource="providers"),
        name="optimizations-apply",
    ),
]

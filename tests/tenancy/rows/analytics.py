"""Figures of the ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from apps.analytics.optimizing import LEAST_CALLS, substitutions_of
from apps.providers.models import Call
from apps.providers.preferences import preferences_set
from apps.providers.services import budget_set, provider_create
from tests.analytics.calls import call_add
from tests.tenancy.table import Row, everybody, many, one
from tests.world import World

PREFERENCE = {"pk": "preference"}

ROWS: dict[str, Row] = {
    "GET /api/v1/analytics/logs": many(),
    "GET /api/v1/analytics/stats": many(query="group_by=project"),
    "GET /api/v1/analytics/costs": many(query="group_by=agent"),
    "GET /api/v1/analytics/batching": many(query="auto_batch=true"),
    "GET /api/v1/analytics/export": many(query="format=csv"),
    "GET /api/v1/analytics/export-stats": many(query="format=json"),
    "GET /api/v1/analytics/budgets": many(),
    "GET /api/v1/analytics/budgets/{scope}/{scope_id}": one(
        {"scope": "=project", "scope_id": "project"},
        expect={"shared": 404},  # money is the organization's
    ),
    "PUT /api/v1/analytics/budgets/{scope}/{scope_id}": one(
        {"scope": "=project", "scope_id": "project"}, body={"limit_usd": 5}
    ),
    "GET /api/v1/cache/stats": many(),
    "GET /api/v1/cache/analysis": many(),
    "GET /api/v1/cache/opportunities": many(),
    "GET /api/v1/cache/recommendations": many(),
    "GET /api/v1/patterns/analysis": many(),
    "GET /api/v1/patterns/expensive": many(),
    "GET /api/v1/patterns/anomalies": many(),
    "GET /api/v1/prompts/analysis": many(common=True),
    "GET /api/v1/prompts/optimizations": many(),
    "GET /api/v1/optimizations": many(),
    "GET /api/v1/optimizations/substitutions": many(),
    "POST /api/v1/optimizations/{pk}/apply": one({"pk": "optimization"}, permission="providers:write"),
    "GET /api/v1/routing/preferences": many(),
    "GET /api/v1/routing/preferences/{pk}": one(PREFERENCE),
    "DELETE /api/v1/routing/preferences/{pk}": one(PREFERENCE),
    "GET /api/v1/system/status": many(),
    "GET /metrics": everybody(expect={"all": 401}),  # for operators of the installation
}


def grow(tenancy: Any) -> None:
    for world in (tenancy.shared, tenancy.hidden):
        named = {"purpose": world.project.name, "provider_name": world.project.name}
        for _ in range(LEAST_CALLS):
            call_add(world, **named)
            call_add(world, **named, model="dear", cost_microusd=90_000)
        where = {"scope_id": world.project.pk, "organization_id": world.organization.pk}
        budget_set(scope="project", limit_usd=100, **where)
    tenancy.add("optimization", _optimization)
    tenancy.add("preference", _preference)


def _optimization(world: World) -> str:
    (found,) = substitutions_of(Call.objects.filter(project_id=world.project.pk), timedelta(days=1))
    return found.id


def _preference(world: World) -> int:
    provider = provider_create(
        name=world.project.name, organization_id=world.organization.pk, endpoint="127.0.0.1:9", model="small"
    )
    work = (world.project.pk, world.agent.role, "work")
    (row,) = preferences_set(
        provider=provider,
        organization_id=world.organization.pk,
        works=[work],
        reason=world.project.name,
        actor=world.project.name,
    )
    return row.pk

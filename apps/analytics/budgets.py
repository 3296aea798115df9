"""How fast budgets are used up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, QuerySet, Sum
from django.utils import timezone

from apps.accounts.models import Organization
from apps.analytics.ledger import MICRO
from apps.beads.models import Bead
from apps.projects.models import Project
from apps.providers.models import Budget, Call

BURN_DAYS = 7
LONGEST = 3650  # days; what lasts longer does not run out


def budget_bodies(budgets: Sequence[Budget], calls: QuerySet[Call]) -> list[dict[str, Any]]:
    """`calls` are those that the reader may see; two queries for each scope there is."""
    now = timezone.now()
    burnt: dict[tuple[str, int], int] = {}
    names: dict[tuple[str, int], str] = {}
    for scope in {budget.scope for budget in budgets}:
        ids = [budget.scope_id for budget in budgets if budget.scope == scope]
        burnt |= _burnt(calls, scope, ids, now)
        names |= _names(scope, ids)
    return [
        _body(one, names.get((one.scope, one.scope_id), ""), burnt.get((one.scope, one.scope_id), 0), now)
        for one in budgets
    ]


def _burnt(calls: QuerySet[Call], scope: str, ids: list[int], now: datetime) -> dict[tuple[str, int], int]:
    recent = calls.filter(created_at__gt=now - timedelta(days=BURN_DAYS), **{f"{scope}_id__in": ids})
    sums = recent.order_by().values(of=F(f"{scope}_id")).annotate(cost=Sum("cost_microusd"))
    return {(scope, row["of"]): row["cost"] for row in sums}


def _names(scope: str, ids: list[int]) -> dict[tuple[str, int], str]:
    tables: dict[str, tuple[Any, str]] = {
        Budget.Scope.ORGANIZATION: (Organization, "name"),
        Budget.Scope.PROJECT: (Project, "name"),
        Budget.Scope.BEAD: (Bead, "key"),
    }
    if scope not in tables:
        return {}
    model, column = tables[scope]
    return {(scope, pk): name for pk, name in model.objects.filter(pk__in=ids).values_list("pk", column)}


def _body(budget: Budget, name: str, burnt: int, now: datetime) -> dict[str, Any]:
    limit, left, daily = budget.limit_microusd, budget.left, burnt / BURN_DAYS
    days = max(0, left) / daily if left is not None and daily else None
    return {
        "id": str(budget.pk),
        "scope": budget.scope,
        "scope_id": str(budget.scope_id),
        "name": name,
        "organization_id": str(budget.organization_id),
        "limit_usd": None if limit is None else limit / MICRO,
        "spent_usd": budget.spent_microusd / MICRO,
        "reserved_usd": budget.reserved_microusd / MICRO,
        "left_usd": None if left is None else left / MICRO,
        "used_percent": round(100 * budget.spent_microusd / limit, 2) if limit else None,
        "burn_per_day_usd": round(daily / MICRO, 6),
        "runs_out_at": now + timedelta(days=days) if days is not None and days < LONGEST else None,
    }

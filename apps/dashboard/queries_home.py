"""What the home page shows beside the projects: who works, what was finished, what today cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, Sum
from django.utils import timezone

from apps.agents.models import Agent, Evidence
from apps.beads.models import Bead
from apps.providers.models import Budget, Call

ROWS = 12


@dataclass(frozen=True)
class Finished:
    bead: Bead
    checks: int
    failed: int


@dataclass(frozen=True)
class Today:
    cost_microusd: int
    calls: int
    limit_microusd: int | None  # of all budgets of projects with a limit
    spent_microusd: int  # against those limits, since ever


def at_work(user: Any) -> list[Agent]:
    rows = Agent.objects.for_user(user).filter(status=Agent.Status.WORKING)
    rows = rows.select_related("project", "current_bead").order_by("project_id", "id")
    rows = rows.only("name", "current_action", "project__name", "current_bead__key", "current_bead__title")
    return list(rows[: 2 * ROWS])


def finished(user: Any) -> list[Finished]:
    """The newest merged beads with how many checks of the merged commit passed."""
    beads = Bead.objects.for_user(user).filter(status=Bead.Status.CLOSED).exclude(merged_commit="")
    newest = list(beads.only("key", "title", "merged_commit", "closed_at").order_by("-closed_at")[:ROWS])
    counts: dict[int, dict[str, Any]] = {
        row["bead_id"]: dict(row)
        for row in Evidence.objects.filter(bead__in=newest, kind=Evidence.Kind.MERGE)
        .values("bead_id")
        .annotate(good=Count("pk", filter=Q(passed=True)), bad=Count("pk", filter=Q(passed=False)))
        .order_by()
    }
    return [
        Finished(bead, counts.get(bead.pk, {}).get("good", 0), counts.get(bead.pk, {}).get("bad", 0))
        for bead in newest
    ]


def today(user: Any) -> Today:
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    spent = (
        Call.objects.for_user(user)
        .filter(created_at__gte=midnight)
        .aggregate(cost=Sum("cost_microusd", filter=Q(nominal=False)), calls=Count("pk"))
    )
    limits = (
        Budget.objects.for_user(user)
        .filter(scope=Budget.Scope.PROJECT, limit_microusd__isnull=False)
        .aggregate(limit=Sum("limit_microusd"), spent=Sum("spent_microusd"))
    )
    return Today(spent["cost"] or 0, spent["calls"], limits["limit"], limits["spent"] or 0)

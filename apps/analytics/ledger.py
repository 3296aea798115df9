"""Figures of the ledger: what calls to models cost, took and brought, by whatever they can be told apart.

Everything is summed by the database, in a number of queries that does not grow with the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Avg, Count, F, Max, Min, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import TruncDay, TruncHour

from apps.agents.models import Agent, Session
from apps.beads.models import Bead
from apps.projects.models import Project
from apps.providers.models import Call

MICRO = 1_000_000
MOST_GROUPS = 1000
ENDED_BADLY = Q(status__in=[Call.Status.FAILED, Call.Status.LOST])
SUMS: dict[str, Any] = {
    "requests": Count("pk"),
    "failed": Count("pk", filter=ENDED_BADLY),
    "prompt": Sum("prompt_tokens", default=0),
    "completion": Sum("completion_tokens", default=0),
    "cached": Sum("cached_tokens", default=0),
    "cost": Sum("cost_microusd", default=0),
    "waited": Sum("latency_ms", default=0, filter=Q(status=Call.Status.SETTLED)),
    "settled": Count("pk", filter=Q(status=Call.Status.SETTLED)),
}
# What calls can be grouped by: the expression, and the queryset and column that name its values.
GROUPINGS: dict[str, Any] = {
    "project": F("project_id"),
    "agent": Subquery(Session.objects.filter(pk=OuterRef("session_id")).order_by().values("agent_id")[:1]),
    "model": F("model"),
    "provider": F("provider_id"),
    "purpose": F("purpose"),
    "bead": F("bead_id"),
    "day": TruncDay("created_at"),
    "hour": TruncHour("created_at"),
}


@dataclass(frozen=True)
class Figures:
    """Sums over some calls. Money is micro-USD; `waited` are the milliseconds of those that were answered."""

    requests: int = 0
    failed: int = 0
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cost: int = 0
    waited: int = 0
    settled: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt + self.completion

    @property
    def cost_usd(self) -> float:
        return self.cost / MICRO

    @property
    def latency_ms(self) -> float:
        """Mean of the calls that were answered."""
        return round(self.waited / self.settled, 1) if self.settled else 0.0

    @property
    def error_rate(self) -> float:
        """The part of the calls that ended badly, from 0 to 1."""
        ended = self.failed + self.settled
        return round(self.failed / ended, 4) if ended else 0.0

    def __add__(self, other: Figures) -> Figures:
        return Figures(*(getattr(self, name) + getattr(other, name) for name in SUMS))


@dataclass(frozen=True)
class Group:
    key: str
    name: str
    figures: Figures


def figures_of(row: dict[str, Any]) -> Figures:
    return Figures(**{name: row[name] for name in SUMS})


def totals(calls: QuerySet[Call]) -> tuple[Figures, datetime | None, datetime | None]:
    """All of them together, and when the first and the last began."""
    row = calls.order_by().aggregate(**SUMS, first=Min("created_at"), last=Max("created_at"))
    return figures_of(row), row["first"], row["last"]


def by_provider(calls: QuerySet[Call]) -> list[Group]:
    return grouped(calls, "provider")


def by_user(calls: QuerySet[Call]) -> list[Group]:
    """By who asked: a person's id, `agent-<id>` for an agent at work, else what the call was for."""
    rows = calls.order_by().annotate(agent_at_work=GROUPINGS["agent"])
    found: dict[str, Figures] = {}
    by: Any = rows.values("user_id", "agent_at_work", "purpose").annotate(**SUMS)
    for row in by:
        key = asker(row["user_id"], row["agent_at_work"], row["purpose"])
        found[key] = found.get(key, Figures()) + figures_of(row)
    ordered = sorted(found.items(), key=lambda one: (-one[1].cost, one[0]))
    return [Group(key, key, figures) for key, figures in ordered[:MOST_GROUPS]]


def asker(user_id: int | None, agent_id: int | None, purpose: str) -> str:
    if user_id is not None:
        return str(user_id)
    return f"agent-{agent_id}" if agent_id is not None else purpose or "loom"


def grouped(calls: QuerySet[Call], by: str, most: int = MOST_GROUPS) -> list[Group]:
    """Figures by one of GROUPINGS or "user": the newest moments in their order, others by cost."""
    if by == "user":
        return by_user(calls)
    rows = calls.order_by().annotate(group=GROUPINGS[by])
    is_moment = by in {"day", "hour"}
    order = ["-group"] if is_moment else ["-cost", "group"]
    more = {"label": Max("provider_name")} if by == "provider" else {}
    found: list[Any] = list(rows.values("group").annotate(**SUMS, **more).order_by(*order)[:most])
    if is_moment:
        found.reverse()
    names = _names(by, found)
    return [
        Group(_key(row["group"]), names.get(row["group"]) or _key(row["group"]) or "none", figures_of(row))
        for row in found
    ]


def _key(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return "" if value is None else str(value)


def _names(by: str, rows: Iterable[dict[str, Any]]) -> dict[Any, str]:
    """What the values are called. The calls are what one may see, and so are their projects."""
    if by == "provider":
        return {row["group"]: row["label"] for row in rows}
    named = {"project": (Project, "name"), "agent": (Agent, "name"), "bead": (Bead, "key")}
    if by not in named:
        return {}
    model, column = named[by]
    wanted = [row["group"] for row in rows if row["group"] is not None]
    return dict(model._base_manager.filter(pk__in=wanted).values_list("pk", column))


def mean_latency(calls: QuerySet[Call]) -> float:
    found = calls.filter(status=Call.Status.SETTLED).aggregate(mean=Avg("latency_ms"))["mean"]
    return round(found or 0.0, 1)

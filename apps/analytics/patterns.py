"""Patterns in what is spent: what it goes to, how that changes, and days that are not like the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from statistics import fmean, pstdev
from typing import Any

from django.db.models import F, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import TruncDay
from django.utils import timezone

from apps.analytics.ledger import GROUPINGS, MICRO, SUMS, Figures, figures_of
from apps.providers.models import Call

TYPES = {"provider-model": "model", "agent": "agent", "purpose": "purpose"}
MOST, MOST_ANOMALIES = 500, 100
STEADY = 0.2  # a change of cost below this part is none
LEAST_DAYS = 3  # before a day can be unlike the others
DEVIATIONS = 3.0

# What a day can be unlike others in: its words, and the least that counts as a deviation.
UNLIKE: tuple[tuple[str, str, float, Callable[[Figures], float]], ...] = (
    ("cost-spike", "cost", 0.01, lambda one: one.cost / MICRO),
    ("latency-spike", "took, in ms a call,", 100.0, lambda one: one.latency_ms),
    ("error-spike", "failed, as a part of all calls,", 0.05, lambda one: one.error_rate),
)


def patterns_of(
    calls: QuerySet[Call], window: timedelta, *, min_requests: int = 1, min_cost: float = 0.0
) -> list[dict[str, Any]]:
    """The costliest first; one query for each type."""
    now = timezone.now()
    recent = calls.filter(created_at__gte=now - window)
    found = [one for kind in TYPES for one in _of_type(recent, kind, window, now - window / 2)]
    kept = [one for one in found if one["request_count"] >= min_requests and one["total_cost"] >= min_cost]
    return sorted(kept, key=lambda one: (-one["total_cost"], one["id"]))[:MOST]


def _of_type(calls: QuerySet[Call], kind: str, window: timedelta, half: Any) -> Iterator[dict[str, Any]]:
    rows = calls.order_by().annotate(group=GROUPINGS[TYPES[kind]])
    names = ("group", "provider_id") if kind == "provider-model" else ("group",)
    summed: Any = rows.values(*names).annotate(
        **SUMS,
        first=Min("created_at"),
        last=Max("created_at"),
        late=Sum("cost_microusd", default=0, filter=Q(created_at__gte=half)),
    )
    for row in summed.order_by("-cost")[:MOST]:
        yield _pattern(kind, row, figures_of(row), window)


def _pattern(kind: str, row: dict[str, Any], figures: Figures, window: timedelta) -> dict[str, Any]:
    key = str(row["group"]) if row["group"] not in (None, "") else "none"
    more: dict[str, Any] = {}
    if kind == "provider-model":
        more = {"provider_id": str(row["provider_id"]), "model_name": key}
        key = f"{row['provider_id']}:{key}"
    if kind == "agent" and row["group"] is not None:
        key = f"agent-{key}"
        more = {"user_id": key}
    return {
        "id": f"{kind}:{key}",
        "type": kind,
        "group_key": key,
        "request_count": figures.requests,
        "total_cost": figures.cost_usd,
        "avg_cost": round(figures.cost_usd / figures.requests, 9),
        "total_tokens": figures.tokens,
        "avg_tokens": round(figures.tokens / figures.requests, 1),
        "avg_latency": figures.latency_ms,
        "error_rate": figures.error_rate,
        "first_seen": row["first"],
        "last_seen": row["last"],
        "request_frequency": round(figures.requests / (window / timedelta(hours=1)), 4),
        "cost_trend": _trend(figures.cost - row["late"], row["late"]),
        **more,
    }


def _trend(early: int, late: int) -> str:
    """How the second half of the time compares to the first."""
    if abs(late - early) <= STEADY * max(early, late):
        return "stable"
    return "increasing" if late > early else "decreasing"


def anomalies_of(calls: QuerySet[Call], window: timedelta) -> list[dict[str, Any]]:
    """Days on which a model cost, took or failed far more than on its other days; one query."""
    recent = calls.filter(created_at__gte=timezone.now() - window).order_by()
    rows: Any = recent.annotate(day=TruncDay("created_at")).values("model", "day").annotate(**SUMS)
    days: defaultdict[str, list[tuple[Any, Figures]]] = defaultdict(list)
    for row in rows.order_by(F("day").desc())[: 100 * MOST]:
        days[row["model"]].append((row["day"], figures_of(row)))
    found = [one for model, series in days.items() for one in _unlike(model, series)]
    return sorted(found, key=lambda one: -one["deviation"])[:MOST_ANOMALIES]


def _unlike(model: str, series: list[tuple[Any, Figures]]) -> Iterator[dict[str, Any]]:
    for kind, words, least, read in UNLIKE:
        values = [(day, read(figures)) for day, figures in series]
        for at, (day, value) in enumerate(values):
            others = [other for number, (_, other) in enumerate(values) if number != at]
            if len(others) < LEAST_DAYS:
                continue
            mean = fmean(others)
            spread = max(pstdev(others), 0.1 * mean, least)
            deviation = (value - mean) / spread
            if deviation >= DEVIATIONS:
                yield {
                    "id": f"{kind}:{model}:{day:%Y-%m-%d}",
                    "type": kind,
                    "description": f"On {day:%Y-%m-%d} {model} {words} {value:.4g}; "
                    f"on other days {mean:.4g}.",
                    "severity": "high" if deviation >= 3 * DEVIATIONS else "medium",
                    "detected_at": day,
                    "pattern": model,
                    "baseline": round(mean, 6),
                    "actual": round(value, 6),
                    "deviation": round(deviation, 2),
                }


def analysis(
    calls: QuerySet[Call], window: timedelta, *, min_requests: int, min_cost: float
) -> dict[str, Any]:
    found = patterns_of(calls, window, min_requests=min_requests, min_cost=min_cost)
    unlike = anomalies_of(calls, window)
    whole = [one for one in found if one["type"] == "purpose"]
    return {
        "analyzed_at": timezone.now(),
        "time_window": int(window.total_seconds()) * 1_000_000_000,
        "total_requests": sum(one["request_count"] for one in whole),
        "total_cost": round(sum(one["total_cost"] for one in whole), 6),
        "patterns": found,
        "anomalies": unlike,
        "cluster_summaries": {kind: _summary(kind, found) for kind in TYPES},
        "recommendations": [one["description"] for one in unlike[:5]],
    }


def _summary(kind: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    mine = [one for one in found if one["type"] == kind]
    requests = sum(one["request_count"] for one in mine)
    return {
        "type": kind,
        "cluster_count": len(mine),
        "total_requests": requests,
        "total_cost": round(sum(one["total_cost"] for one in mine), 6),
        "avg_cluster_size": round(requests / len(mine), 2) if mine else 0.0,
    }

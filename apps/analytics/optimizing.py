"""What could cost less: other models for the same work, caching, batching. Nothing here changes anything
(`applying` does).

Another model is only proposed where it has done the same kind of work here, and as well: what counts is how
many of its sessions came to a merge, and how many of its calls were answered.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from apps.agents.models import MergeRequest
from apps.analytics.batching import batching
from apps.analytics.caching import MONTH, opportunities, uses_of
from apps.analytics.ledger import MICRO, SUMS, Figures, figures_of
from apps.providers.models import Call, Preference, Provider

LEAST_CALLS = 5  # of both models, before they are compared
WORSE = 0.05  # a success rate may be lower by this much
MOST = 200


@dataclass(frozen=True)
class Record:
    """What a model did for one purpose."""

    provider_id: int
    provider_name: str
    model: str
    purpose: str
    figures: Figures
    sessions: int
    merged: int

    @property
    def success(self) -> float:
        """The part of its calls that were answered; of work, also of its sessions that came to a merge."""
        answered = 1 - self.figures.error_rate
        if self.purpose == "work" and self.sessions:
            return answered * self.merged / self.sessions
        return answered

    @property
    def per_token(self) -> float:
        """Micro-USD a token."""
        return self.figures.cost / self.figures.tokens if self.figures.tokens else 0.0

    @property
    def confidence(self) -> float:
        """0 to 1: how much there is to judge by."""
        return round(min(1.0, self.figures.requests / 100), 2)


def records_of(calls: QuerySet[Call]) -> list[Record]:
    """One query."""
    merged = MergeRequest.objects.filter(
        claim__session_id=OuterRef("session_id"), status=MergeRequest.Status.MERGED
    )
    rows: Any = calls.exclude(nominal=True).order_by().annotate(has_merged=Exists(merged))
    rows = rows.values("provider_id", "provider_name", "model", "purpose").annotate(
        **SUMS,
        sessions=Count("session_id", distinct=True),
        merged=Count("session_id", distinct=True, filter=Q(has_merged=True)),
    )
    names = ("provider_id", "provider_name", "model", "purpose", "sessions", "merged")
    return [Record(**{name: row[name] for name in names}, figures=figures_of(row)) for row in rows]


@dataclass(frozen=True)
class Substitution:
    """Models that did the work of `record` as well for less, the cheapest first."""

    record: Record
    cheaper: tuple[Record, ...]
    window: timedelta

    @property
    def best(self) -> Record:
        return self.cheaper[0]

    @property
    def kind(self) -> str:
        return "model-substitution" if self.best.model != self.record.model else "provider-substitution"

    @property
    def id(self) -> str:
        """The same while it is about the same two, whatever their figures are by now."""
        ends = [f"{one.provider_id}:{one.model}" for one in (self.record, self.best)]
        return _id(self.kind, self.record.purpose, *ends)

    @property
    def savings(self) -> float:
        """Micro-USD."""
        return self.record.figures.cost - self.best.per_token * self.record.figures.tokens

    @property
    def reason(self) -> str:
        best, record = self.best, self.record
        return (
            f"{best.model} of {best.provider_name} did the same for less: {best.success:.0%} of its work "
            f"succeeded, {record.success:.0%} of that of {record.model}."
        )


def substitutions_of(calls: QuerySet[Call], window: timedelta) -> list[Substitution]:
    """Cheaper models that did the same work as well, the largest savings first."""
    by_purpose: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records_of(calls.filter(created_at__gte=timezone.now() - window)):
        if record.figures.requests >= LEAST_CALLS:
            by_purpose[record.purpose].append(record)
    found = []
    for records in by_purpose.values():
        for record in records:
            cheaper = sorted((o for o in records if _is_better(o, record)), key=lambda one: one.per_token)
            if cheaper:
                found.append(Substitution(record, tuple(cheaper), window))
    return sorted(found, key=lambda one: -one.savings)[:MOST]


def _is_better(other: Record, record: Record) -> bool:
    return other.per_token < record.per_token and other.success >= record.success - WORSE


def substitutions(
    calls: QuerySet[Call], window: timedelta, preferences: QuerySet[Preference]
) -> list[dict[str, Any]]:
    """The same as the API tells them, with where they are applied."""
    found = substitutions_of(calls, window)
    best = {one.best.provider_id for one in found}
    there = set(Provider.objects.filter(pk__in=best, enabled=True).values_list("pk", "model"))
    rows = preferences.order_by().values_list("optimization")
    applied = dict(rows.filter(optimization__in=[one.id for one in found]).annotate(Count("pk")))
    return [
        _told(one, is_there=(one.best.provider_id, one.best.model) in there, applied=applied.get(one.id, 0))
        for one in found
    ]


def _told(one: Substitution, *, is_there: bool, applied: int) -> dict[str, Any]:
    record, best = one.record, one.best
    return _optimization(
        one.kind,
        f"{record.purpose or 'other'} with {record.model}",
        one.reason,
        id=one.id,
        current=record.figures.cost / MICRO,
        projected=(record.figures.cost - one.savings) / MICRO,
        window=one.window,
        quality="none measured" if best.success >= record.success else "slightly lower",
        confidence=min(record.confidence, best.confidence),
        alternative_providers=[_alternative(other, record) for other in one.cheaper[:5]],
        alternative_models=sorted({o.model for o in one.cheaper if o.model != record.model}),
        auto_applicable=is_there,
        applied_to=applied,
    )


def _alternative(one: Record, record: Record) -> dict[str, Any]:
    return {
        "provider_id": str(one.provider_id),
        "model_name": one.model,
        "cost_per_mtoken": round(one.per_token, 6),
        "estimated_savings": round((record.per_token - one.per_token) * record.figures.tokens / MICRO, 6),
        "quality_score": round(one.success, 4),
        "latency_delta": round(one.figures.latency_ms - record.figures.latency_ms, 1),
        "capability_match": 1.0,  # it did this work
    }


def optimizations(
    calls: QuerySet[Call], window: timedelta, preferences: QuerySet[Preference]
) -> list[dict[str, Any]]:
    """All that is known of, the largest savings first."""
    recent = calls.filter(created_at__gte=timezone.now() - window)
    found = substitutions(calls, window, preferences)
    for one in opportunities(uses_of(recent), window):
        found.append(
            _optimization(
                "caching", one["pattern"], one["recommendation"],
                current=one["cost_savable_usd"], projected=0.0, window=window, quality="none",
                confidence=0.5,
            )
        )  # fmt: skip
    batches = batching(recent, limit=2000, window=timedelta(hours=1), most=50, plan=False)
    for one in batches["recommendations"]:
        if one["estimated_cost_savings_usd"] > 0:
            saved = one["total_cost_usd"] - one["estimated_cost_savings_usd"]
            found.append(
                _optimization(
                    "batching", f"{one['request_count']} calls to {one['model_name']} within an hour",
                    "Send them to the provider's batch endpoint, where they may take up to a day.",
                    current=one["total_cost_usd"], projected=saved, window=window, quality="later answers",
                    confidence=0.3,
                )
            )  # fmt: skip
    return sorted(found, key=lambda one: -one["projected_savings_usd"])[:MOST]


def _id(*parts: str) -> str:
    return f"opt-{zlib.crc32(':'.join(parts).encode()):08x}"


def _optimization(
    kind: str,
    pattern: str,
    recommendation: str,
    *,
    current: float,
    projected: float,
    window: timedelta,
    quality: str,
    confidence: float,
    **more: Any,
) -> dict[str, Any]:
    savings = current - projected
    monthly = savings * (MONTH / window)
    return {
        "id": _id(kind, pattern, recommendation),
        "type": kind,
        "pattern": pattern,
        "recommendation": recommendation,
        "current_cost": round(current, 6),
        "projected_cost": round(projected, 6),
        "projected_savings_usd": round(savings, 6),
        "monthly_savings_usd": round(monthly, 6),
        "impact_rating": "high" if monthly >= 10 else "medium" if monthly >= 1 else "low",
        "quality_impact": quality,
        "auto_applicable": False,
        "confidence": confidence,
        **more,
    }

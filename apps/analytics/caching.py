"""What the providers' prompt caches save, and what more they could.

Loom keeps no answers of models: conversations of agents never repeat, and an old answer is none about today's
code. What is cached is the beginning of a prompt, by the provider; the ledger has the figures.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from apps.analytics.ledger import MICRO, SUMS, Figures, figures_of
from apps.providers.models import Call, Provider
from apps.providers.pricing import MILLION

MONTH = timedelta(days=30)
HIGH, MEDIUM, LOW = "high", "medium", "low"
PRIORITIES = {HIGH: 10 * MICRO, MEDIUM: MICRO, LOW: 0}  # micro-USD a month from which it is one
ADVICE = (
    "See that the server keeps prompts between the calls of a conversation: its cache is switched on, lives "
    "longer than an agent's action takes, and every call reaches the same machine."
)
HIT = Q(cached_tokens__gt=0)


@dataclass(frozen=True)
class Use:
    """Answered calls of one model for one purpose."""

    provider_id: int
    model: str
    purpose: str
    figures: Figures
    hits: int
    beginnings: int  # conversations; every other call repeats the prompt of the one before, and goes on
    saving: int  # micro-USD per million tokens that are cached instead of read anew

    @property
    def repeats(self) -> int:
        return max(0, self.figures.requests - self.beginnings)

    @property
    def saved(self) -> int:
        return self.figures.cached * self.saving // MILLION

    @property
    def savable_tokens(self) -> int:
        """Read anew though a call before had the same: at most so many."""
        if not self.repeats:
            return 0
        return max(0, self.figures.prompt * self.repeats // self.figures.requests - self.figures.cached)

    @property
    def savable(self) -> int:
        return self.savable_tokens * self.saving // MILLION

    @property
    def cached_percent(self) -> float:
        return round(100 * self.figures.cached / self.figures.prompt, 2) if self.figures.prompt else 0.0


def uses_of(calls: QuerySet[Call]) -> list[Use]:
    """Two queries; the largest savings that were missed come first."""
    settled = calls.filter(status=Call.Status.SETTLED).order_by()
    rows: Any = settled.values("provider_id", "model", "purpose").annotate(
        **SUMS,
        hits=Count("pk", filter=HIT),
        sessions=Count("session_id", distinct=True),
        single=Count("pk", filter=Q(session_id=None)),
    )
    rows = list(rows)
    providers = Provider.objects.in_bulk([row["provider_id"] for row in rows])
    found = [
        Use(
            row["provider_id"],
            row["model"],
            row["purpose"],
            figures_of(row),
            row["hits"],
            row["sessions"] + row["single"],
            _saving(providers.get(row["provider_id"])),
        )
        for row in rows
    ]
    return sorted(found, key=lambda use: (-use.savable, use.model, use.purpose))


def _saving(provider: Provider | None) -> int:
    if provider is None or provider.price_cached is None:
        return 0
    return max(0, provider.price_in - provider.price_cached)


def cache_stats(calls: QuerySet[Call]) -> dict[str, Any]:
    uses = uses_of(calls)
    hits, requests = sum(use.hits for use in uses), sum(use.figures.requests for use in uses)
    return {
        "hits": hits,
        "misses": requests - hits,
        "evictions": 0,
        "total_entries": 0,
        "hit_rate": round(hits / requests, 4) if requests else 0.0,
        "tokens_saved": sum(use.figures.cached for use in uses),
        "cost_saved_usd": sum(use.saved for use in uses) / MICRO,
        "avg_latency_saved_ms": 0.0,
    }


def opportunities(uses: Iterable[Use], window: timedelta, least_usd: float = 0.0) -> list[dict[str, Any]]:
    """Where prompts were paid for again that a provider's cache could have had."""
    found = [use for use in uses if use.savable > 0 and use.savable / MICRO >= least_usd]
    return [_opportunity(use, window) for use in found]


def _opportunity(use: Use, window: timedelta) -> dict[str, Any]:
    name = f"{use.provider_id}:{use.model}:{use.purpose}"
    monthly = use.savable * MONTH / window
    purpose = use.purpose or "other"
    return {
        "id": f"cache-{zlib.crc32(name.encode()):08x}",
        "pattern": f"{purpose} with {use.model}",
        "description": f"{use.repeats} calls went on with a conversation; {use.cached_percent:.0f} % of what "
        "was sent came from the provider's cache.",
        "request_count": use.figures.requests,
        "potential_hits": max(0, use.repeats - use.hits),
        "hit_rate_percent": round(100 * use.hits / use.figures.requests, 2),
        "tokens_savable": use.savable_tokens,
        "cost_savable_usd": use.savable / MICRO,
        "latency_savable_ms": 0,
        "recommendation": ADVICE,
        "auto_enableable": False,
        "suggested_ttl": "5m0s",
        "priority": next(word for word, least in PRIORITIES.items() if monthly >= least),
        "provider_id": str(use.provider_id),
        "model_name": use.model,
    }


def cache_analysis(calls: QuerySet[Call], window: timedelta, least_usd: float = 0.0) -> dict[str, Any]:
    now = timezone.now()
    uses = uses_of(calls.filter(created_at__gte=now - window))
    found = opportunities(uses, window, least_usd)
    requests, repeats = sum(use.figures.requests for use in uses), sum(use.repeats for use in uses)
    savable = sum(one["cost_savable_usd"] for one in found)
    return {
        "analyzed_at": now,
        "time_window": int(window.total_seconds()) * 1_000_000_000,
        "time_window_start": now - window,
        "time_window_end": now,
        "total_requests": requests,
        "unique_requests": requests - repeats,
        "duplicate_count": repeats,
        "duplicate_percent": round(100 * repeats / requests, 2) if requests else 0.0,
        "opportunities": found,
        "total_savings_usd": round(savable, 6),
        "total_tokens_saved": sum(one["tokens_savable"] for one in found),
        "total_latency_saved_ms": 0,
        "monthly_projection_usd": round(savable * (MONTH / window), 6),
        "recommendations": [f"{one['pattern']}: {one['recommendation']}" for one in found[:5]],
    }

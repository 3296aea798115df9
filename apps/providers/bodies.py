"""What the API says of providers. Keys are never part of it; figures are of what the reader may see."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db.models import Avg, Count, Max, Min, Q, QuerySet, Sum
from django.utils import timezone

from apps.providers.models import Call, Provider
from apps.providers.pool import candidate_of

FIGURES_OF = timedelta(days=30)
MICRO = 1_000_000


def provider_bodies(providers: Iterable[Provider], calls: QuerySet[Call]) -> list[dict[str, Any]]:
    """`calls` are those of the ledger that the reader may see; figures are of the last 30 days."""
    providers = list(providers)
    recent = calls.filter(
        provider_id__in=[provider.pk for provider in providers], created_at__gt=timezone.now() - FIGURES_OF
    )
    done = Q(status=Call.Status.SETTLED)
    figures = (
        recent.order_by()
        .values("provider_id")
        .annotate(
            total=Count("pk"),
            good=Count("pk", filter=done),
            bad=Count("pk", filter=Q(status__in=[Call.Status.FAILED, Call.Status.LOST])),
            last=Max("created_at"),
            mean=Avg("latency_ms", filter=done),
            least=Min("latency_ms", filter=done),
            most=Max("latency_ms", filter=done),
            tokens=Sum("prompt_tokens") + Sum("completion_tokens"),
            replied=Sum("completion_tokens", filter=done),
            busy=Sum("latency_ms", filter=done),
        )
    )
    by_provider: dict[int, Any] = {row["provider_id"]: row for row in figures}
    return [_body(provider, by_provider.get(provider.pk, {})) for provider in providers]


def _body(provider: Provider, figures: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(provider.pk),
        "name": provider.name,
        "type": provider.kind,
        "organization_id": str(provider.organization_id) if provider.organization_id else None,
        "is_shared": provider.organization_id is None,
        "source": provider.source,
        "endpoint": provider.endpoint,
        "model": provider.model,
        "configured_model": provider.model,
        "selected_model": provider.model,
        "description": provider.get_kind_display(),
        "requires_key": provider.has_key,
        "enabled": provider.enabled,
        "status": provider.status,
        "last_heartbeat_at": provider.checked_at,
        "last_heartbeat_latency_ms": provider.latency_ms,
        "last_heartbeat_error": provider.last_error,
        "cool_until": provider.cool_until,
        "cost_per_mtoken": candidate_of(provider).price / MICRO,
        "price_in_per_mtoken": provider.price_in / MICRO,
        "price_out_per_mtoken": provider.price_out / MICRO,
        "price_known": provider.price_known,
        "context_window": provider.context_window,
        "supports_function": provider.supports_tools is not False,
        "supports_vision": provider.supports_vision,
        "supports_streaming": provider.supports_streaming,
        "max_concurrency": provider.max_concurrency,
        "quality": provider.quality,
        "tags": provider.tags,
        "metrics": _metrics(provider, figures),
        "created_at": provider.created_at,
        "updated_at": provider.updated_at,
    }


def _metrics(provider: Provider, figures: dict[str, Any]) -> dict[str, Any]:
    total, good, bad = (figures.get(name) or 0 for name in ("total", "good", "bad"))
    rate = good / (good + bad) if good + bad else 0.0
    busy = figures.get("busy") or 0
    speed = 1000 * (figures.get("replied") or 0) / busy if busy else 0.0
    quick = min(1.0, 1000 / figures["mean"]) if figures.get("mean") else 0.0
    return {
        "total_requests": total,
        "success_requests": good,
        "failed_requests": bad,
        "last_request_at": figures.get("last"),
        "avg_latency_ms": round(figures.get("mean") or 0.0, 1),
        "min_latency_ms": figures.get("least") or 0,
        "max_latency_ms": figures.get("most") or 0,
        "last_latency_ms": provider.latency_ms,
        "avg_throughput": round(speed, 2),
        "total_tokens": figures.get("tokens") or 0,
        "success_rate": round(rate, 4),
        "availability_score": round(100 * rate, 1),
        "performance_score": round(100 * quick, 1),
        "overall_score": round(60 * rate + 25 * quick + 0.15 * provider.quality, 1) if total else 0.0,
    }

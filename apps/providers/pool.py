"""The providers an organization may call, read once a second at most."""

from __future__ import annotations

import threading
import time

from apps.providers.models import Provider
from apps.providers.routing import Candidate

KEEP_SECONDS = 1.0

_kept: dict[int, tuple[float, dict[int, Provider]]] = {}
_lock = threading.Lock()


def providers_of(organization_id: int) -> dict[int, Provider]:
    """Enabled providers by id. The rows are shared between threads: read them, never change them."""
    now = time.monotonic()
    kept = _kept.get(organization_id)
    if kept is not None and now - kept[0] < KEEP_SECONDS:
        return kept[1]
    rows = {row.pk: row for row in Provider.objects.usable_by(organization_id)}
    with _lock:
        _kept[organization_id] = (now, rows)
    return rows


def forget() -> None:
    """Read anew at the next call; for whoever changes providers in this process."""
    with _lock:
        _kept.clear()


def candidate_of(provider: Provider) -> Candidate:
    """What routing needs to know of a row."""
    return Candidate(
        id=provider.pk,
        name=provider.name,
        price_in=provider.price_in,
        price_out=provider.price_out,
        latency_ms=provider.latency_ms,
        quality=provider.quality,
        context_window=provider.context_window,
        tools=provider.supports_tools,
        vision=provider.supports_vision,
        tags=frozenset(provider.tags),
        failed=provider.status == Provider.Status.FAILED,
        cool_until=provider.cool_until,
        is_demo=provider.is_demo,
    )

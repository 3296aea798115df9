"""What calls teach about a provider: latency, state, and the circuit that keeps calls off a broken one."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.events.bus import emit
from apps.providers.errors import (
    Busy,
    CallFailed,
    ModelMissing,
    OutOfCredit,
    RateLimited,
    ToolsUnsupported,
    Unauthorized,
)
from apps.providers.models import Provider
from apps.providers.pool import forget

OPEN_AFTER = 3  # failures in a row
FIRST_REST, LONGEST_REST = 15.0, 300.0  # seconds; doubles with each failed trial
TRIAL_SECONDS = 30.0
FLUSH_EVERY = 10.0  # seconds between writes of a latency that says nothing new

_CLOSED: dict[str, object] = {"consecutive_failures": 0, "cool_until": None}

_latency: dict[int, tuple[float, float]] = {}  # provider -> moving average, when it was last written
_lock = threading.Lock()


def may_try(provider: Provider) -> bool:
    """Whether to call now: of a circuit whose rest is over, one caller at a time makes the trial."""
    if provider.cool_until is None or provider.consecutive_failures < OPEN_AFTER:
        return True
    trial_until = timezone.now() + timedelta(seconds=TRIAL_SECONDS)
    rows = Provider.objects.filter(pk=provider.pk, cool_until=provider.cool_until)
    claimed = rows.update(cool_until=trial_until) == 1
    forget()
    return claimed


def is_resting(provider: Provider) -> bool:
    """Whether its circuit is open: nobody calls it for a while."""
    return is_broken(provider) and provider.cool_until is not None and provider.cool_until > timezone.now()


def is_broken(provider: Provider) -> bool:
    """Whether so many calls failed in a row that its circuit opened."""
    return provider.consecutive_failures >= OPEN_AFTER


def succeeded(provider: Provider, latency_ms: int) -> None:
    """Count a good answer; the row is written when something changed, else now and then."""
    now = time.monotonic()
    with _lock:
        average, written = _latency.get(provider.pk, (float(provider.latency_ms or latency_ms), 0.0))
        average = 0.8 * average + 0.2 * latency_ms
        recovered = provider.status != Provider.Status.HEALTHY or provider.cool_until is not None
        due = recovered or provider.consecutive_failures > 0 or now - written > FLUSH_EVERY
        _latency[provider.pk] = (average, now if due else written)
    if not due:
        return
    _mark(
        provider,
        Provider.Status.HEALTHY,
        latency_ms=max(1, round(average)),
        last_error="",
        **_CLOSED,
    )


def failed(provider: Provider, failure: CallFailed) -> None:
    """Count a failure: rest after several in a row, or as long as the server asks."""
    if failure.breaks:
        _broke(provider, failure)
    elif isinstance(failure, RateLimited):
        if not isinstance(failure, Busy):  # our own limit says nothing about the server
            rest = FIRST_REST if failure.retry_after is None else failure.retry_after
            _alive(provider, last_error=failure.message, cool_until=timezone.now() + timedelta(seconds=rest))
    elif isinstance(failure, ToolsUnsupported):
        _alive(provider, supports_tools=False)
    elif isinstance(failure, Unauthorized | OutOfCredit | ModelMissing):
        _mark(provider, Provider.Status.FAILED, last_error=failure.message, **_CLOSED)
    elif provider.consecutive_failures or provider.cool_until:
        _alive(provider)


def _broke(provider: Provider, failure: CallFailed) -> None:
    rows = Provider.objects.filter(pk=provider.pk)
    rows.update(consecutive_failures=F("consecutive_failures") + 1)
    count = rows.values_list("consecutive_failures", flat=True).first() or 0
    cool_until = None
    if count >= OPEN_AFTER:
        rest = min(LONGEST_REST, FIRST_REST * 2.0 ** min(count - OPEN_AFTER, 10))
        cool_until = timezone.now() + timedelta(seconds=rest)
    _mark(provider, Provider.Status.FAILED, last_error=failure.message, cool_until=cool_until)


def _alive(provider: Provider, **fields: object) -> None:
    """The server answered, though not with what we wanted."""
    Provider.objects.filter(pk=provider.pk).update(**{**_CLOSED, **fields})
    forget()


def _mark(provider: Provider, status: str, **fields: object) -> None:
    """Write the state; a change of it is an event."""
    rows = Provider.objects.filter(pk=provider.pk)
    now = timezone.now()
    with transaction.atomic():
        if rows.exclude(status=status).update(status=status, checked_at=now, **fields):
            emit(
                "provider.updated",
                organization_id=provider.organization_id,
                subject=f"provider:{provider.pk}",
                actor="gateway",
                provider_id=provider.pk,
                name=provider.name,
                model=provider.model,
                status=status,
                error=str(fields.get("last_error", "")),
            )
        else:
            rows.update(checked_at=now, **fields)
    forget()

"""The heartbeat of each provider: a run of its own that looks every thirty seconds how the provider is."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.engine.flow import Handle, answers, call, flow, wait_for
from apps.engine.generations import continue_as_new
from apps.engine.models import Run
from apps.engine.services import Start, runs_start
from apps.events.bus import emit
from apps.providers.health import failed, is_broken, is_resting, succeeded
from apps.providers.models import Provider
from apps.providers.services import provider_probe

HEARTBEAT = "provider.heartbeat"
SECONDS = 30.0
BEATS = 120  # of one generation: an hour
TOLD = {
    "provider_id", "name", "status", "circuit", "latency_ms", "error", "model", "configured", "score"
}  # fmt: skip
SLOWER = 1.5  # a latency that changed by this factor is news


@flow(HEARTBEAT)
def provider_heartbeat(provider_id: int, last: dict[str, Any] | None = None) -> dict[str, Any]:
    """Look at a provider until it is disabled or deleted. The signal "check" makes it look at once.

    Asked for its "health" it tells what it saw last.
    """
    answers("health", lambda: last or {})
    for _ in range(BEATS):
        seen: dict[str, Any] = call(provider_look, provider_id=provider_id, last=last or {})
        if not seen["enabled"]:
            return seen
        last = seen
        wait_for("check", timeout=SECONDS)
    return continue_as_new(provider_id=provider_id, last=last)


def provider_look(handle: Handle, provider_id: int, last: dict[str, Any]) -> dict[str, Any]:
    """Ask the server, unless its circuit is open; what changed is told."""
    provider = Provider.objects.filter(pk=provider_id).first()
    if provider is None or not provider.enabled:
        return {"enabled": False}
    latency_ms, answers = _look(provider, last.get("answers"))
    provider = Provider.objects.filter(pk=provider_id).first()
    if provider is None:
        return {"enabled": False}
    seen = {
        "answers": answers,
        "enabled": True,
        "provider_id": provider.pk,
        "name": provider.name,
        "status": provider.status,
        "circuit": "open" if is_resting(provider) else "closed",
        "latency_ms": latency_ms or provider.latency_ms,
        "error": "" if provider.status == Provider.Status.HEALTHY else provider.last_error,
        "model": provider.model,
        "configured": provider.model,
        "score": provider.quality,
    }
    _tell(provider, seen, last)
    return seen


def _look(provider: Provider, answered: bool | None) -> tuple[int, bool | None]:
    """The latency and whether the server answers; None where nobody knows."""
    if is_resting(provider):
        return 0, answered
    probe, failure = provider_probe(provider=provider)
    if failure is not None:
        failed(provider, failure)
        return 0, False
    if not probe.latency_ms:
        return 0, None
    # Its list of models proves a server well that did not answer at all. One that answered, but failed calls,
    # is tried by the next call: else each beat would close a circuit that calls have opened.
    if provider.status != Provider.Status.HEALTHY and (answered is False or not is_broken(provider)):
        succeeded(provider, provider.latency_ms or probe.latency_ms)
    return probe.latency_ms, True


@transaction.atomic
def _tell(provider: Provider, seen: dict[str, Any], last: dict[str, Any]) -> None:
    Provider.objects.filter(pk=provider.pk).update(checked_at=timezone.now())
    if not _is_news(seen, last):
        return
    emit(
        "provider.updated",
        organization_id=provider.organization_id,
        subject=f"provider:{provider.pk}",
        actor="heartbeat",
        **{key: value for key, value in seen.items() if key in TOLD},
    )


def _is_news(seen: dict[str, Any], last: dict[str, Any]) -> bool:
    """Each beat is a step of the run; an event is only what people would want to hear of."""
    if any(seen[key] != last.get(key) for key in ("status", "circuit", "error", "model", "name")):
        return True
    now, before = max(1, seen["latency_ms"]), max(1, last["latency_ms"])
    return not 1 / SLOWER < now / before < SLOWER


def heartbeats_start() -> int:
    """A heartbeat for each enabled provider that has none; how many were started."""
    beats = Run.objects.filter(flow=HEARTBEAT)
    beating = set(beats.unfinished().values_list("input__provider_id", flat=True))
    silent = list(Provider.objects.filter(enabled=True).exclude(pk__in=beating))
    lives = Counter(beats.values_list("input__provider_id", flat=True)) if silent else Counter()
    started = 0
    for provider in silent:
        start = Start(f"provider:{provider.pk}:{lives[provider.pk] + 1}", {"provider_id": provider.pk})
        started += len(runs_start(flow=HEARTBEAT, starts=[start], organization_id=provider.organization_id))
    return started

"""The providers an organization may call and those it prefers, read once a second at most."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from apps.core.prepared import Prepared
from apps.engine.models import Run
from apps.providers.models import Call, Preference, Provider
from apps.providers.routing import Candidate
from apps.providers.terms import Payer

KEEP_SECONDS = 1.0
_PREFERENCES: Prepared[Preference] = Prepared(
    lambda organization_id: Preference.objects.filter(organization_id=organization_id).order_by()
)
_USABLE: Prepared[Provider] = Prepared(Provider.objects.usable_by)

Work = tuple[int, str, str]  # project, role, purpose


@dataclass(frozen=True)
class _Pool:
    read_at: float
    providers: dict[int, Provider]
    preferences: dict[Work, tuple[int, str]]  # provider and model
    played: dict[int, int]  # project to the demo that plays its weave


_kept: dict[int, _Pool] = {}
_lock = threading.Lock()


def providers_of(organization_id: int) -> dict[int, Provider]:
    """Enabled providers by id. The rows are shared between threads: read them, never change them."""
    return _pool(organization_id).providers


def preferred_for(payer: Payer) -> int | None:
    """The provider that this work prefers, unless it has another model by now."""
    if payer.project_id is None:
        return None
    pool = _pool(payer.organization_id)
    provider_id, model = pool.preferences.get((payer.project_id, payer.role, payer.purpose), (0, ""))
    provider = pool.providers.get(provider_id)
    return provider_id if provider is not None and provider.model == model else None


def played_by(payer: Payer) -> int | None:
    """The demo that began the weave of the payer's project, which goes on: no model is paid for the rest."""
    return _pool(payer.organization_id).played.get(payer.project_id or 0)


def weaves_played(demo_ids: Iterable[int]) -> dict[int, int]:
    """Projects whose weave is under way and was begun by one of these, and by which."""
    weaves = Run.objects.unfinished().filter(flow="prd.weave").values("pk")
    calls = Call.objects.filter(provider_id__in=list(demo_ids), status=Call.Status.SETTLED, run_id__in=weaves)
    found = calls.order_by().values_list("project_id", "provider_id").distinct()
    return {project_id: provider_id for project_id, provider_id in found if project_id is not None}


def _pool(organization_id: int) -> _Pool:
    now = time.monotonic()
    kept = _kept.get(organization_id)
    if kept is not None and now - kept.read_at < KEEP_SECONDS:
        return kept
    rows = _PREFERENCES(organization_id)
    usable = {row.pk: row for row in _USABLE(organization_id)}
    demos = {row.pk for row in usable.values() if row.is_demo}
    fresh = _Pool(
        now,
        usable,
        {(row.project_id, row.role, row.purpose): (row.provider_id, row.model) for row in rows},
        weaves_played(demos) if demos and len(demos) < len(usable) else {},
    )
    with _lock:
        _kept[organization_id] = fresh
    return fresh


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

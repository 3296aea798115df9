"""Rows of the ledger, for tests of what is told of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.providers.models import Call
from tests.world import World


def call_add(world: World, *, ago: timedelta = timedelta(), session: int | None = 0, **fields: Any) -> Call:
    """A call that cost a cent, settled; `session` is the number of one of the world's sessions."""
    at = timezone.now() - ago
    of = world.sessions[session] if session is not None else None
    given: dict[str, Any] = {
        "organization_id": world.organization.pk,
        "project_id": world.project.pk,
        "bead_id": of.bead_id if of else None,
        "session_id": of.pk if of else None,
        "purpose": of.kind if of else "chat",
        "provider_id": 7,
        "provider_name": "house",
        "model": "small",
        "status": Call.Status.SETTLED,
        "prompt_tokens": 900,
        "completion_tokens": 100,
        "cost_microusd": 10_000,
        "reserved_microusd": 20_000,
        "latency_ms": 1500,
        "created_at": at,
        "ended_at": at + timedelta(milliseconds=1500),
        **fields,
    }
    number = Call.objects.count()
    return Call.objects.create(key=f"call {number}#1", stem=f"call {number}", **given)

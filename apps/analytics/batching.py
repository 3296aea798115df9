"""Which calls could have gone to a provider together, and what that would have saved.

Turns of one session follow from each other and can never be one batch. Calls of different sessions, or of
none, to the same model within one window of time can. Providers with a batch endpoint take half the price.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from apps.analytics.ledger import MICRO, asker
from apps.analytics.wire import PATH
from apps.providers.models import Call

DISCOUNT = 0.5  # what the batch endpoints of the large providers take off
LARGEST_BATCH = 50
SAMPLES = 5
COLUMNS = (
    "pk", "user_id", "purpose", "provider_id", "model", "session_id", "prompt_tokens",
    "completion_tokens", "cost_microusd", "latency_ms", "created_at", "ended_at",
)  # fmt: skip


@dataclass(frozen=True)
class Batchable:
    """Calls of one asker to one model within one window, at most one of each session."""

    user_id: str
    calls: list[dict[str, Any]]

    @property
    def tokens(self) -> int:
        return sum(call["prompt_tokens"] + call["completion_tokens"] for call in self.calls)

    @property
    def cost(self) -> int:
        return sum(call["cost_microusd"] for call in self.calls)

    @property
    def saved(self) -> int:
        return int(self.cost * DISCOUNT)

    @property
    def latency_saved_ms(self) -> int:
        """From the first question to the last answer, less the longest of them."""
        first = min(call["created_at"] for call in self.calls)
        last = max(call["ended_at"] for call in self.calls)
        wall = int((last - first) / timedelta(milliseconds=1))
        longest: int = max(call["latency_ms"] for call in self.calls)
        return max(0, wall - longest)

    def body(self, number: int) -> dict[str, Any]:
        first, size = self.calls[0], min(len(self.calls), LARGEST_BATCH)
        return {
            "id": f"batch-{number}",
            "user_id": self.user_id,
            "provider_id": str(first["provider_id"]),
            "model_name": first["model"],
            "method": "POST",
            "path": PATH,
            "request_count": len(self.calls),
            "batch_size": size,
            "recommended_batches": math.ceil(len(self.calls) / size),
            "total_tokens": self.tokens,
            "total_cost_usd": self.cost / MICRO,
            "avg_latency_ms": round(sum(call["latency_ms"] for call in self.calls) / len(self.calls), 1),
            "time_window_start": min(call["created_at"] for call in self.calls),
            "time_window_end": max(call["created_at"] for call in self.calls),
            "estimated_tokens_saved": 0,
            "estimated_cost_savings_usd": self.saved / MICRO,
            "estimated_latency_savings_ms": self.latency_saved_ms,
            "efficiency_gain_percent": 100 * DISCOUNT if self.cost else 0.0,
            "sample_request_ids": [str(call["pk"]) for call in self.calls[:SAMPLES]],
        }


def batching(
    calls: QuerySet[Call], *, limit: int, window: timedelta, most: int, plan: bool
) -> dict[str, Any]:
    """What the newest `limit` answered calls say."""
    settled = calls.filter(status=Call.Status.SETTLED)
    rows = list(settled.order_by("-id").values(*COLUMNS)[:limit])
    found = sorted(_batchable(rows, window), key=lambda one: (-one.saved, -len(one.calls)))
    kept = found[:most]
    bodies = [one.body(number) for number, one in enumerate(kept, start=1)]
    plans = [step for one, body in zip(kept, bodies, strict=True) for step in _plan(one, body)]
    return {
        "generated_at": timezone.now(),
        "summary": _summary(rows, found, bodies, len(plans) if plan else 0),
        "recommendations": bodies,
        "auto_batch_plan": plans if plan else [],
    }


def _batchable(rows: Iterable[dict[str, Any]], window: timedelta) -> list[Batchable]:
    groups: defaultdict[tuple[Any, ...], dict[Any, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        # Not by agent: those of a project ask side by side.
        who = asker(row["user_id"], None, row["purpose"])
        slot = int(row["created_at"].timestamp() // window.total_seconds())
        one = row["session_id"] if row["session_id"] is not None else f"call {row['pk']}"
        groups[who, row["provider_id"], row["model"], slot][one] = row
    return [Batchable(key[0], list(calls.values())) for key, calls in groups.items() if len(calls) > 1]


def _plan(one: Batchable, body: dict[str, Any]) -> list[dict[str, Any]]:
    ids = [str(call["pk"]) for call in one.calls]
    pieces = [ids[at : at + LARGEST_BATCH] for at in range(0, len(ids), LARGEST_BATCH)]
    return [
        {
            "id": f"{body['id']}-{number}",
            "recommendation_id": body["id"],
            "batch_size": len(piece),
            "request_ids": piece,
        }
        for number, piece in enumerate(pieces, start=1)
    ]


def _summary(
    rows: list[dict[str, Any]], found: list[Batchable], bodies: list[dict[str, Any]], planned: int
) -> dict[str, Any]:
    cost = sum(row["cost_microusd"] for row in rows)
    batches = sum(math.ceil(len(one.calls) / LARGEST_BATCH) for one in found)
    requests = sum(len(one.calls) for one in found)
    saved = sum(one.saved for one in found)
    return {
        "batchable_requests": requests,
        "recommended_batches": batches,
        "average_batch_size": round(requests / batches, 2) if batches else 0.0,
        "estimated_tokens_saved": 0,
        "estimated_cost_savings_usd": saved / MICRO,
        "estimated_latency_savings_ms": sum(one.latency_saved_ms for one in found),
        "estimated_efficiency_gain_pct": round(100 * saved / cost, 2) if cost else 0.0,
        "auto_batch_groups": planned,
        "total_recommendations": len(bodies),
        "total_cost_usd": cost / MICRO,
        "total_tokens": sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows),
    }

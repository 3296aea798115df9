"""What calls and their figures look like for clients, in the original's keys."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from apps.analytics.ledger import MICRO, Figures, Group, asker
from apps.providers import errors
from apps.providers.models import Call

PATH = "/chat/completions"
# The HTTP status that tells of a failure, by its code.
STATUSES = {
    one.code: one.status
    for one in vars(errors).values()
    if isinstance(one, type) and issubclass(one, errors.CallFailed)
}
UNDER_WAY, ANSWERED, FAILED, LOST = 202, 200, 502, 504
CSV_HEAD = (
    "Timestamp", "User ID", "Method", "Path", "Provider ID", "Model", "Prompt Tokens", "Completion Tokens",
    "Total Tokens", "Latency (ms)", "Status Code", "Cost (USD)", "Error Message",
)  # fmt: skip


def status_code(call: Call) -> int:
    if call.status == Call.Status.SETTLED:
        return ANSWERED
    if call.status == Call.Status.RESERVED:
        return UNDER_WAY
    return LOST if call.status == Call.Status.LOST else STATUSES.get(call.error, FAILED)


def call_body(call: Call) -> dict[str, Any]:
    """One row of the ledger as a request log. Needs the annotation `agent_at_work`."""
    agent_id: int | None = call.agent_at_work  # type: ignore[attr-defined]
    about = {
        "purpose": call.purpose,
        "status": call.status,
        "provider_name": call.provider_name,
        "project_id": _text(call.project_id),
        "bead_id": _text(call.bead_id),
        "session_id": _text(call.session_id),
        "agent_id": _text(agent_id),
        "run_id": _text(call.run_id),
        "cached_tokens": call.cached_tokens,
        "finish_reason": call.finish_reason,
        "nominal": call.nominal,
        "estimated": call.estimated,
    }
    body = {
        "id": str(call.pk),
        "timestamp": call.created_at,
        "user_id": asker(call.user_id, agent_id, call.purpose),
        "method": "POST",
        "path": PATH,
        "provider_id": str(call.provider_id),
        "model_name": call.model,
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": call.completion_tokens,
        "total_tokens": call.prompt_tokens + call.completion_tokens,
        "latency_ms": call.latency_ms,
        "status_code": status_code(call),
        "cost_usd": call.cost_microusd / MICRO,
        "metadata": {name: value for name, value in about.items() if value not in (None, "")},
    }
    if message := call.error_text or call.error:
        body["error_message"] = message
    return body


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def call_cells(body: dict[str, Any]) -> list[Any]:
    """A row of the CSV: CSV_HEAD."""
    names = (
        "user_id", "method", "path", "provider_id", "model_name", "prompt_tokens", "completion_tokens",
        "total_tokens", "latency_ms", "status_code",
    )  # fmt: skip
    money = f"{body['cost_usd']:.4f}"
    return [
        body["timestamp"].isoformat(),
        *(body[name] for name in names),
        money,
        body.get("error_message", ""),
    ]


def stats_body(whole: Figures, providers: list[Group], users: list[Group]) -> dict[str, Any]:
    return {
        "total_requests": whole.requests,
        "total_tokens": whole.tokens,
        "total_cost_usd": whole.cost_usd,
        "avg_latency_ms": whole.latency_ms,
        "error_rate": whole.error_rate,
        "requests_by_user": by_key(users, "requests"),
        "requests_by_provider": by_key(providers, "requests"),
        "cost_by_provider": by_key(providers, "cost_usd"),
        "cost_by_user": by_key(users, "cost_usd"),
        "tokens_by_provider": by_key(providers, "tokens"),
        "tokens_by_user": by_key(users, "tokens"),
        "latency_by_provider": by_key(providers, "latency_ms"),
    }


def costs_body(
    whole: Figures, providers: list[Group], users: list[Group], span: dict[str, datetime | None]
) -> dict[str, Any]:
    return {
        "total_cost_usd": whole.cost_usd,
        "total_requests": whole.requests,
        "total_tokens": whole.tokens,
        "cost_per_request": round(whole.cost_usd / whole.requests, 9) if whole.requests else 0.0,
        "cost_per_1k_tokens": round(1000 * whole.cost_usd / whole.tokens, 9) if whole.tokens else 0.0,
        "cost_by_provider": by_key(providers, "cost_usd"),
        "cost_by_user": by_key(users, "cost_usd"),
        "time_range": span,
    }


def by_key(groups: Iterable[Group], what: str) -> dict[str, Any]:
    return {group.key: getattr(group.figures, what) for group in groups}


def group_bodies(groups: Iterable[Group]) -> list[dict[str, Any]]:
    return [
        {
            "key": group.key,
            "name": group.name,
            "requests": group.figures.requests,
            "failed": group.figures.failed,
            "prompt_tokens": group.figures.prompt,
            "completion_tokens": group.figures.completion,
            "cached_tokens": group.figures.cached,
            "total_tokens": group.figures.tokens,
            "cost_usd": group.figures.cost_usd,
            "avg_latency_ms": group.figures.latency_ms,
            "error_rate": group.figures.error_rate,
        }
        for group in groups
    ]

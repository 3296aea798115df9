"""Exports of the ledger: written piece by piece, at most MOST rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from apps.analytics.ledger import Figures, Group
from apps.analytics.wire import CSV_HEAD, by_key, call_body, call_cells
from apps.core.http import json_bytes
from apps.core.tables import csv_lines
from apps.providers.models import Call

MOST, PAGE = 10_000, 1000


def newest(calls: QuerySet[Call]) -> Iterator[Call]:
    """At most MOST calls, newest first, read a page at a time: pieces may be asked for in any thread."""
    last, left = None, MOST
    while left > 0:
        rows = calls if last is None else calls.filter(pk__lt=last)
        page = list(rows.order_by("-pk")[: min(PAGE, left)])
        yield from page
        if len(page) < PAGE:
            return
        last, left = page[-1].pk, left - len(page)


def calls_json(calls: QuerySet[Call]) -> Iterator[bytes]:
    begun = False
    for call in newest(calls):
        yield (b",\n" if begun else b"[\n") + json_bytes(call_body(call))
        begun = True
    yield b"\n]\n" if begun else b"[]\n"


def calls_csv(calls: QuerySet[Call]) -> Iterator[str]:
    yield from csv_lines([CSV_HEAD])
    yield from csv_lines(call_cells(call_body(call)) for call in newest(calls))


def stats_json(
    at: datetime, span: dict[str, Any], whole: Figures, providers: list[Group], users: list[Group]
) -> dict[str, Any]:
    return {
        "exported_at": at,
        "time_range": span,
        "summary": {
            "total_requests": whole.requests,
            "total_tokens": whole.tokens,
            "total_cost_usd": whole.cost_usd,
            "avg_latency_ms": whole.latency_ms,
            "error_rate": whole.error_rate,
        },
        "cost_by_provider": by_key(providers, "cost_usd"),
        "cost_by_user": by_key(users, "cost_usd"),
        "requests_by_provider": by_key(providers, "requests"),
        "requests_by_user": by_key(users, "requests"),
    }


def stats_csv(whole: Figures, providers: list[Group], users: list[Group]) -> Iterator[str]:
    """Three sections with an empty line between them, as clients of the original expect."""
    rows: list[list[Any]] = [
        ["Summary"],
        ["Metric", "Value"],
        ["Total Requests", whole.requests],
        ["Total Tokens", whole.tokens],
        ["Total Cost (USD)", f"{whole.cost_usd:.4f}"],
        ["Average Latency (ms)", whole.latency_ms],
        ["Error Rate", whole.error_rate],
    ]
    for title, head, groups in (
        ("Cost by Provider", "Provider ID", providers),
        ("Cost by User", "User ID", users),
    ):
        rows += [[], [title], [head, "Requests", "Cost"]]
        rows += [[one.key, one.figures.requests, f"{one.figures.cost_usd:.4f}"] for one in groups]
    return csv_lines(rows)

"""The ledger's totals: exact whatever was folded when, and as cheap to read however long the ledger is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Count, Sum
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.analytics.metrics import exposition
from apps.providers import totals
from apps.providers.models import Call, CallTotal

pytestmark = pytest.mark.django_db
MANY = 100_000
COPIED = [
    field.attname
    for field in Call._meta.concrete_fields
    if field.attname not in {"id", "key", "prompt_tokens", "cost_microusd"}
]
COPIES = f"""
    INSERT INTO providers_call (key, prompt_tokens, cost_microusd, {", ".join(COPIED)})
    WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < %s)
    SELECT 'copy ' || number, 1, 1, {", ".join(COPIED)} FROM providers_call, numbers WHERE key = 'seed'"""


def add(key: str, *, status: str = "settled", ago: float = 60, **fields: Any) -> Call:
    """A call, an hour old unless told otherwise."""
    at = timezone.now() - timedelta(minutes=ago)
    given = {"prompt_tokens": 10, "cost_microusd": 7, "latency_ms": 3, "provider_name": "house", "model": "m"}
    ended = None if status == "reserved" else at
    return Call.objects.create(
        key=key, stem=key, organization_id=1, provider_id=1, status=status, reserved_microusd=1,
        created_at=at, ended_at=ended, **{**given, **fields},
    )  # fmt: skip


def by_ledger() -> dict[totals.Key, dict[str, int]]:
    sums = {name: Sum(name) for name in totals.FIGURES if name != "calls"}
    rows: Any = Call.objects.order_by().values(*totals.KEY).annotate(calls=Count("pk"), **sums)
    return {tuple(row[name] for name in totals.KEY): _figures(row) for row in rows}


def told() -> dict[totals.Key, dict[str, int]]:
    return {key: _figures(sums) for key, sums in totals.totals_read().items()}


def _figures(sums: Any) -> dict[str, int]:
    return {name: sums[name] for name in totals.FIGURES}


def test_totals_are_those_of_the_ledger_whatever_was_folded_when(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "CHUNK", 2)
    assert told() == {}
    totals.totals_fold()
    for number in range(5):
        add(f"old {number}", model=f"m{number % 2}", status="failed" if number == 3 else "settled")
    assert told() == by_ledger()
    totals.totals_fold()
    assert totals._folded() == Call.objects.latest("id").pk
    open_call, after = add("open", status="reserved"), add("after")
    totals.totals_fold()
    assert totals._folded() < open_call.pk, "one that is under way may still change"
    assert told() == by_ledger()
    Call.objects.filter(pk=open_call.pk).update(
        status="settled", ended_at=timezone.now(), cost_microusd=99, prompt_tokens=5
    )
    add("young", ago=1)
    totals.totals_fold()
    assert totals._folded() == after.pk
    assert told() == by_ledger()
    assert sum(CallTotal.objects.values_list("calls", flat=True)) == 7


def test_a_fold_in_the_middle_of_reading_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    add("one")
    summed = totals._summed

    def interrupted(calls: Any) -> Any:
        monkeypatch.setattr(totals, "_summed", summed)
        totals.totals_fold()
        return summed(calls)

    monkeypatch.setattr(totals, "_summed", interrupted)
    assert told() == by_ledger()


def test_metrics_of_a_hundred_thousand_calls_cost_no_more_than_those_of_ten() -> None:
    add("seed")
    totals.totals_fold()
    before = work_of(exposition)
    with connection.cursor() as cursor:
        cursor.execute(COPIES, [MANY])
    totals.totals_fold()
    for number in range(10):
        add(f"new {number}", ago=1)
    assert Call.objects.count() == MANY + 11
    assert work_of(exposition) < before + 5_000
    (sums,) = told().values()
    assert (sums["calls"], sums["cost_microusd"]) == (MANY + 11, MANY + 77)
    assert f'loom_model_calls{{status="settled"}} {MANY + 11}\n' in exposition()


def work_of(read: Callable[[], object]) -> int:
    """Rows that PostgreSQL touches, or instructions that SQLite executes."""
    if connection.vendor == "sqlite":
        steps = Counter[str]()
        connection.connection.set_progress_handler(lambda: steps.update(["hundred"]), 100)
        try:
            read()
        finally:
            connection.connection.set_progress_handler(None, 0)
        return 100 * steps["hundred"]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE providers_call")
    with CaptureQueriesContext(connection) as asked:
        read()
    return sum(_rows(query["sql"]) for query in asked if query["sql"].startswith("SELECT"))


def _rows(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        plan = cursor.fetchone()[0]
    whole = json.loads(plan) if isinstance(plan, str) else plan
    return _touched(whole[0]["Plan"])


def _touched(node: dict[str, Any]) -> int:
    own = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return int(own * node["Actual Loops"]) + sum(_touched(one) for one in node.get("Plans", ()))

"""Figures of the ledger: sums that add up, exact keys and types, files that nothing can be smuggled into."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import Role
from apps.analytics import exports, ledger
from apps.providers.models import Call
from apps.providers.services import budget_set
from tests.analytics.calls import call_add
from tests.api.test_contract import TIME, check
from tests.silence import nobody_reacts
from tests.world import World, client_of, world_build

__all__ = ["nobody_reacts"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nobody_reacts")]
REQUEST_LOG: dict[str, Any] = {
    "id": str, "timestamp": TIME, "user_id": str, "method": str, "path": str, "provider_id": str,
    "model_name": str, "prompt_tokens": int, "completion_tokens": int, "total_tokens": int,
    "latency_ms": int, "status_code": int, "cost_usd": float, "metadata": dict,
}  # fmt: skip
LOG_STATS: dict[str, Any] = {
    "total_requests": int, "total_tokens": int, "total_cost_usd": float, "avg_latency_ms": float,
    "error_rate": float, "requests_by_user": dict, "requests_by_provider": dict, "cost_by_provider": dict,
    "cost_by_user": dict, "tokens_by_provider": dict, "tokens_by_user": dict, "latency_by_provider": dict,
}  # fmt: skip
COSTS: dict[str, Any] = {
    "total_cost_usd": float, "total_requests": int, "total_tokens": int, "cost_per_request": float,
    "cost_per_1k_tokens": float, "cost_by_provider": dict, "cost_by_user": dict,
    "time_range": {"start": TIME, "end": TIME},
}  # fmt: skip
EXPORT_STATS: dict[str, Any] = {
    "exported_at": TIME, "time_range": {"start": TIME, "end": TIME},
    "summary": {
        "total_requests": int, "total_tokens": int, "total_cost_usd": float, "avg_latency_ms": float,
        "error_rate": float,
    },
    "cost_by_provider": dict, "cost_by_user": dict, "requests_by_provider": dict, "requests_by_user": dict,
}  # fmt: skip
BATCHING: dict[str, Any] = {
    "generated_at": TIME, "recommendations": list, "auto_batch_plan": list,
    "summary": {
        "batchable_requests": int, "recommended_batches": int, "average_batch_size": float,
        "estimated_tokens_saved": int, "estimated_cost_savings_usd": float,
        "estimated_latency_savings_ms": int, "estimated_efficiency_gain_pct": float,
        "auto_batch_groups": int, "total_recommendations": int, "total_cost_usd": float, "total_tokens": int,
    },
}  # fmt: skip
RECOMMENDATION: dict[str, Any] = {
    "id": str, "user_id": str, "provider_id": str, "model_name": str, "method": str, "path": str,
    "request_count": int, "batch_size": int, "recommended_batches": int, "total_tokens": int,
    "total_cost_usd": float, "avg_latency_ms": float, "time_window_start": TIME, "time_window_end": TIME,
    "estimated_tokens_saved": int, "estimated_cost_savings_usd": float, "estimated_latency_savings_ms": int,
    "efficiency_gain_percent": float, "sample_request_ids": list,
}  # fmt: skip


@pytest.fixture
def world(db: None) -> World:
    """Three calls: an agent's, a person's, and one that failed an hour and a day ago."""
    world = world_build("ours", rows=1)
    call_add(world)
    call_add(world, session=None, user_id=42, cost_microusd=30_000, provider_id=8, model="large")
    call_add(
        world,
        ago=timedelta(hours=25),
        status="failed",
        error="rate_limited",
        error_text="=HYPERLINK(1)",
        cost_microusd=0,
        completion_tokens=0,
    )
    return world


@pytest.fixture
def client(world: World) -> Client:
    return client_of(world, Role.VIEWER)


def ask(client: Client, at: str, status: int = 200) -> Any:
    answer = client.get(f"/api/v1/analytics/{at}")
    body = answer.getvalue().decode() if answer.streaming else answer.content.decode()
    assert answer.status_code == status, body
    return json.loads(body) if answer["Content-Type"].startswith("application/json") else body


def test_bodies_have_the_exact_keys_and_types_of_the_contract(client: Client) -> None:
    rows = ask(client, "logs")
    for row in rows:
        assert set(row) - {"error_message"} == set(REQUEST_LOG)
        check(row, REQUEST_LOG)
    for at, keys in (
        ("stats", LOG_STATS),
        ("costs", COSTS),
        ("export-stats", EXPORT_STATS),
        ("batching", BATCHING),
    ):
        body = ask(client, at)
        assert set(body) == set(keys), at
        check(body, keys)


def test_figures_add_up(client: Client, world: World) -> None:
    agent = f"agent-{world.agent.pk}"
    stats = ask(client, "stats")
    assert (stats["total_requests"], stats["total_tokens"], stats["total_cost_usd"]) == (3, 2900, 0.04)
    assert (stats["avg_latency_ms"], stats["error_rate"]) == (1500.0, 0.3333)
    assert stats["cost_by_user"] == {agent: 0.01, "42": 0.03}
    assert stats["requests_by_provider"] == {"7": 2, "8": 1}
    costs = ask(client, "costs?period=24h&group_by=user")
    assert (costs["total_requests"], costs["cost_per_request"], costs["cost_per_1k_tokens"]) == (
        2,
        0.02,
        0.02,
    )
    assert [(one["key"], one["cost_usd"]) for one in costs["groups"]] == [("42", 0.03), (agent, 0.01)]
    for by, keys in (
        ("project", [world.project.name]),
        ("agent", ["none", world.agent.name]),
        ("model", ["large", "small"]),
        ("provider", ["house", "house"]),
        ("bead", ["none", world.beads[0].key]),
        ("purpose", ["chat", "work"]),
    ):
        groups = ask(client, f"stats?group_by={by}")["groups"]
        assert [one["name"] for one in groups] == keys
        assert sum(one["requests"] for one in groups) == 3
    days = ask(client, "stats?group_by=day")["groups"]
    assert [one["requests"] for one in days] in ([1, 2], [1, 1, 1])


def test_of_many_moments_the_newest_are_told_in_their_order(world: World) -> None:
    for days in range(5):
        call_add(world, ago=timedelta(days=days))
    told = [group.key for group in ledger.grouped(Call.objects.all(), "day")]
    assert len(told) >= 5
    assert told == sorted(told)
    assert [group.key for group in ledger.grouped(Call.objects.all(), "day", most=2)] == told[-2:]


def test_what_is_asked_for_is_narrowed_and_nonsense_is_refused(client: Client, world: World) -> None:
    assert [row["user_id"] for row in ask(client, "logs?user_id=42")] == ["42"]
    assert len(ask(client, f"logs?user_id=agent-{world.agent.pk}")) == 2
    assert [row["status_code"] for row in ask(client, "logs?status=failed")] == [429]
    assert len(ask(client, "logs?provider_id=8,9&model=large&project_id=" + str(world.project.pk))) == 1
    yesterday = (timezone.now() - timedelta(days=1)).isoformat().replace("+", "%2B")
    assert len(ask(client, f"logs?start_time={yesterday}")) == 2
    assert len(ask(client, f"logs?end_time={yesterday}")) == 1
    for wrong in (
        "stats?group_by=moon",
        "costs?start_time=yesterday",
        "logs?period=2h",
        "stats?projekt=1",
        "export?format=xml",
        "batching?limit=x",
        "batching?auto_batch=maybe",
    ):
        assert ask(client, wrong, 400)["code"] == "bad_input", wrong


def test_files_are_whole_bounded_and_calculate_nothing(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = client.get("/api/v1/analytics/export?format=csv")
    assert answer.streaming
    assert answer["Content-Disposition"].startswith('attachment; filename="loom-logs-')
    head, *rows = csv.reader(io.StringIO(answer.getvalue().decode()))
    assert head[:2] == ["Timestamp", "User ID"]
    assert [row[11] for row in rows] == ["0.0000", "0.0300", "0.0100"]  # newest row first
    assert rows[0][12] == "'=HYPERLINK(1)"
    assert [row["id"] for row in ask(client, "export")] == [row["id"] for row in ask(client, "logs")]
    sections = ask(client, "export-stats?format=csv")
    assert "Total Cost (USD),0.0400\r\n" in sections
    assert "Provider ID,Requests,Cost\r\n8,1,0.0300" in sections
    monkeypatch.setattr(exports, "PAGE", 2)
    assert len(ask(client, "export")) == 3
    monkeypatch.setattr(exports, "MOST", 1)
    assert len(ask(client, "export")) == 1
    Call.objects.all().delete()
    assert ask(client, "export") == []
    assert ask(client, "costs")["time_range"] == {"start": None, "end": None}


def test_only_calls_of_different_sessions_are_a_batch(client: Client, world: World) -> None:
    for _ in range(3):
        call_add(world)  # turns of one session
    assert ask(client, "batching")["recommendations"] == []
    for _ in range(3):
        call_add(world, session=None, purpose="work")
    body = ask(client, "batching?auto_batch=true&window_minutes=10080")
    (found,) = body["recommendations"]
    assert set(found) == set(RECOMMENDATION)
    check(found, RECOMMENDATION)
    assert (found["request_count"], found["total_cost_usd"]) == (4, 0.04)
    assert found["estimated_cost_savings_usd"] == 0.02
    (plan,) = body["auto_batch_plan"]
    assert (plan["batch_size"], len(plan["request_ids"])) == (4, 4)
    assert body["summary"]["batchable_requests"] == 4


def test_budgets_say_how_long_they_last(client: Client, world: World) -> None:
    budget_set(
        scope="project",
        scope_id=world.project.pk,
        limit_usd="0.08",
        organization_id=world.organization.pk,
    )
    (body,) = ask(client, "budgets?scope=project")
    assert (body["name"], body["limit_usd"], body["spent_usd"]) == (world.project.name, 0.08, 0.04)
    assert (body["used_percent"], body["left_usd"]) == (50.0, 0.04)
    assert body["burn_per_day_usd"] == pytest.approx(0.04 / 7, abs=1e-6)
    assert body["runs_out_at"] > (timezone.now() + timedelta(days=6)).isoformat()


@pytest.mark.parametrize(
    "at", ["logs", "stats?group_by=agent", "costs?group_by=project", "batching", "export-stats", "budgets"]
)
def test_a_larger_ledger_takes_no_more_queries(client: Client, world: World, at: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as told:
            ask(client, at)
        return len(told)

    queries()
    before = queries()
    for number in range(5):
        call_add(world, user_id=number, provider_id=20 + number, purpose=f"p{number}")
    assert queries() == before

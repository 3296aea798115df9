"""What could cost less: real figures of the ledger, exact keys of the contract, and nothing made up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Role
from apps.agents.models import MergeRequest
from apps.events.models import Event
from apps.providers.handlers import preferences_forget
from apps.providers.services import provider_create, provider_update
from tests.analytics.calls import call_add
from tests.silence import nobody_reacts
from tests.world import World, client_of, world_build

__all__ = ["nobody_reacts"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nobody_reacts")]
KEYS: dict[str, set[str]] = {
    "cache/stats": {
        "hits", "misses", "evictions", "total_entries", "hit_rate", "tokens_saved", "cost_saved_usd",
        "avg_latency_saved_ms",
    },
    "cache/analysis": {
        "analyzed_at", "time_window", "time_window_start", "time_window_end", "total_requests",
        "unique_requests", "duplicate_count", "duplicate_percent", "opportunities", "total_savings_usd",
        "total_tokens_saved", "total_latency_saved_ms", "monthly_projection_usd", "recommendations",
    },
    "cache/opportunities": {"opportunities", "count", "total", "limit"},
    "cache/recommendations": {
        "recommendations", "total_savings_usd", "monthly_projection", "duplicate_percent",
        "opportunity_count", "analyzed_at", "time_window",
    },
    "patterns/analysis": {
        "analyzed_at", "time_window", "total_requests", "total_cost", "patterns", "anomalies",
        "cluster_summaries", "recommendations",
    },
    "patterns/expensive": {"patterns", "count"},
    "patterns/anomalies": {"anomalies", "count"},
    "optimizations": {
        "optimizations", "count", "total_savings_usd", "monthly_savings_usd", "cache_opportunities",
        "batching_opportunities",
    },
    "optimizations/substitutions": {"substitutions", "count"},
}  # fmt: skip


@pytest.fixture
def world(db: None) -> World:
    return world_build("ours", rows=1)


@pytest.fixture
def client(world: World) -> Client:
    return client_of(world, Role.VIEWER)


def ask(client: Client, at: str, status: int = 200) -> Any:
    answer = client.get(f"/api/v1/{at}")
    assert answer.status_code == status, answer.content
    return answer.json()


def test_bodies_have_the_exact_keys_also_where_there_is_nothing(client: Client, world: World) -> None:
    for at, keys in KEYS.items():
        assert set(ask(client, at)) == keys, at
    for wrong in (
        "cache/analysis?time_window=soon",
        "cache/analysis?min_savings=-1",
        "patterns/analysis?min_requests=x",
        "patterns/expensive?time_window=9999999h",
        "optimizations?type=moon",
    ):
        assert ask(client, wrong, 400)["code"] == "bad_input", wrong


def test_the_cache_of_a_provider_is_told_and_what_it_missed(client: Client, world: World) -> None:
    house = provider_create(
        name="house", organization_id=world.organization.pk, endpoint="http://127.0.0.1:9/v1", model="small",
        price_in=1_000_000, price_out=4_000_000, price_cached=100_000,
    )  # fmt: skip
    for cached in (0, 600_000, 0, 0):  # turns of one session
        call_add(world, provider_id=house.pk, prompt_tokens=1_000_000, cached_tokens=cached)
    stats = ask(client, "cache/stats")
    assert (stats["hits"], stats["misses"], stats["hit_rate"]) == (1, 3, 0.25)
    assert (stats["tokens_saved"], stats["cost_saved_usd"]) == (600_000, 0.54)
    analysis = ask(client, "cache/analysis?time_window=24h")
    assert (analysis["total_requests"], analysis["unique_requests"]) == (4, 1)
    assert (analysis["duplicate_count"], analysis["duplicate_percent"]) == (3, 75.0)
    (found,) = analysis["opportunities"]
    assert (found["tokens_savable"], found["cost_savable_usd"]) == (2_400_000, 2.16)
    assert (found["potential_hits"], found["priority"], found["model_name"]) == (2, "high", "small")
    assert analysis["monthly_projection_usd"] == pytest.approx(64.8)
    assert ask(client, "cache/opportunities?priority=low")["opportunities"] == []
    assert ask(client, "cache/analysis?min_savings=3")["opportunities"] == []
    assert ask(client, "optimizations?type=caching")["cache_opportunities"] == 1


def test_patterns_tell_what_is_dear_and_days_unlike_the_others(client: Client, world: World) -> None:
    for day in range(1, 6):
        call_add(world, ago=timedelta(days=day), cost_microusd=10_000)
    call_add(world, cost_microusd=900_000)
    body = ask(client, "patterns/analysis?time_window=168h")
    assert (body["total_requests"], body["total_cost"]) == (6, 0.95)
    assert {one["type"] for one in body["patterns"]} == {"provider-model", "agent", "purpose"}
    model = next(one for one in body["patterns"] if one["type"] == "provider-model")
    assert (model["provider_id"], model["model_name"], model["cost_trend"]) == ("7", "small", "increasing")
    assert body["cluster_summaries"]["agent"]["cluster_count"] == 1
    (spike,) = body["anomalies"]
    assert (spike["type"], spike["severity"], spike["baseline"], spike["actual"]) == (
        "cost-spike", "high", 0.01, 0.9,
    )  # fmt: skip
    assert ask(client, "patterns/analysis?min_requests=7")["patterns"] == []
    assert ask(client, "patterns/expensive?limit=1")["count"] == 1


def test_a_cheaper_model_is_proposed_only_where_it_did_the_work_as_well(client: Client, world: World) -> None:
    for _ in range(6):
        call_add(world, model="dear", provider_id=1, cost_microusd=50_000)
        call_add(world, model="cheap", provider_id=2, cost_microusd=5_000)
        call_add(world, model="wrong", provider_id=3, cost_microusd=1_000, status="failed")
    MergeRequest.objects.update(status="merged")
    (found,) = ask(client, "optimizations/substitutions")["substitutions"]
    assert (found["type"], found["alternative_models"]) == ("model-substitution", ["cheap"])
    assert (found["current_cost"], found["projected_cost"]) == (0.3, 0.03)
    assert found["alternative_providers"][0]["quality_score"] == 1.0
    assert "100% of its work" in found["recommendation"]
    whole = ask(client, "optimizations?type=model-substitution&min_savings=0.2")
    assert (whole["count"], whole["total_savings_usd"]) == (1, 0.27)
    assert ask(client, "optimizations?min_savings=1")["optimizations"] == []


@pytest.mark.parametrize("at", ["cache/analysis", "patterns/analysis", "optimizations"])
def test_a_larger_ledger_takes_no_more_queries(client: Client, world: World, at: str) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as told:
            ask(client, at)
        return len(told)

    call_add(world)
    queries()
    before = queries()
    for number in range(5):
        call_add(world, provider_id=20 + number, model=f"m{number}", purpose=f"p{number}")
    assert queries() == before


def apply(client: Client, optimization: str, status: int, **body: Any) -> Any:
    answer = client.post(f"/api/v1/optimizations/{optimization}/apply", body, "application/json")
    assert answer.status_code == status, answer.content
    return answer.json()


def test_what_is_applied_is_what_is_there_and_one_s_own(world: World) -> None:
    client, viewer = client_of(world, Role.USER), client_of(world, Role.VIEWER, "vic")
    house = provider_create(
        name="house", organization_id=world.organization.pk, endpoint="http://127.0.0.1:9/v1", model="cheap"
    )
    for _ in range(6):
        call_add(world, model="dear", provider_id=1, cost_microusd=50_000)
        call_add(world, model="cheap", provider_id=house.pk, cost_microusd=5_000)
        call_add(world, model="dear", provider_id=1, session=None, project_id=None, cost_microusd=50_000)
    (found,) = ask(client, "optimizations/substitutions")["substitutions"]
    assert apply(client, "opt-00000000", 404)["code"] == "not_found"
    assert apply(viewer, found["id"], 403)["code"] == "forbidden"
    assert apply(client, found["id"], 409, role="nobody")["code"] == "conflict"
    assert apply(client, found["id"], 400, project_id="x")["code"] == "invalid"
    body = apply(client, found["id"], 200, project_id=world.project.pk, role=world.agent.role)
    assert body["status"] == "applied"
    assert apply(client, found["id"], 200)["preferences"][0]["id"] == body["preferences"][0]["id"]
    assert ask(client, f"routing/preferences?project_id={world.project.pk + 1}") == []

    page = client.get("/cost/").content.decode()
    assert "Preferred models" in page
    assert "applied" in page
    undo = f"/cost/preferences/{body['preferences'][0]['id']}/undo/"
    assert viewer.post(undo).status_code in {403, 404}
    assert client.post(undo).status_code == 302
    send = {"optimization": found["id"], "span": "1w"}
    assert client.post("/cost/apply/", send).status_code == 302
    (row,) = ask(client, "routing/preferences?role=engineering-manager")
    assert (row["in_force"], row["made_by"], row["purpose"]) == (True, "ann", "work")

    provider_update(provider_id=house.pk, model="other")
    (row,) = ask(client, "routing/preferences")
    assert not row["in_force"]
    (gone,) = ask(client, "optimizations/substitutions")["substitutions"]
    assert (gone["id"], gone["auto_applicable"]) == (found["id"], False)
    apply(client, found["id"], 409)

    preferences_forget(Event(kind="project.deleted", project_id=world.project.pk))
    assert ask(client, "routing/preferences") == []


def test_what_only_a_provider_can_do_is_not_applied(client: Client, world: World) -> None:
    house = provider_create(
        name="house", organization_id=world.organization.pk, endpoint="http://127.0.0.1:9/v1", model="small",
        price_in=1_000_000, price_out=4_000_000, price_cached=100_000,
    )  # fmt: skip
    for _ in range(2):
        call_add(world, provider_id=house.pk, prompt_tokens=1_000_000)
    (found,) = ask(client, "optimizations?type=caching")["optimizations"]
    told = apply(client_of(world, Role.USER, "uma"), found["id"], 409)
    assert "at the provider" in told["details"]["hint"] if "details" in told else told["hint"]

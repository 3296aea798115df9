"""What operators and their Prometheus are told."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.analytics import metrics
from apps.analytics.metrics import exposition
from apps.beads.services import bead_close, bead_create
from apps.events.models import Event
from apps.providers.services import budget_set, provider_create
from apps.workflows.system_api import system_status
from tests.analytics.calls import call_add
from tests.core.processes import ROOT
from tests.silence import nobody_reacts
from tests.world import World, client_of, world_build

__all__ = ["nobody_reacts"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nobody_reacts")]
SAMPLE = re.compile(r'[a-z_]+(\{[a-z_]+="([^"\\\n]|\\.)*"(,[a-z_]+="([^"\\\n]|\\.)*")*\})? -?[0-9.e+-]+')


@pytest.fixture
def world(db: None) -> World:
    return world_build("ours", rows=1)


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    metrics._kept.clear()


def beat(*, ago: timedelta = timedelta(), depth: int = 0, waiting: float = 0.0) -> None:
    Event.objects.create(
        kind="loom.heartbeat",
        created_at=timezone.now() - ago,
        data={"queue_depth": depth, "oldest_waiting_seconds": waiting},
    )


def test_the_status_says_what_is_missing(world: World) -> None:
    client = client_of(world, Role.ADMIN)

    def told() -> Any:
        return client.get("/api/v1/system/status").json()

    body = told()
    assert set(body) == {"state", "reason", "updated_at"}
    assert (body["state"], "beat" in body["reason"]) == ("parked", True)
    beat()
    assert "No model" in told()["reason"]
    provider_create(name="p", organization_id=None, endpoint="http://x/v1", model="m")
    assert (told()["state"], told()["reason"]) == ("active", "")
    beat(depth=3, waiting=500)
    assert "worker" in told()["reason"]
    assert "beat" in system_status(timezone.now() + timedelta(hours=1))["reason"]
    assert client_of(world, Role.VIEWER, "vic").get("/api/v1/system/status").status_code == 403


def test_prometheus_reads_figures_with_its_token_only(world: World, settings: Any) -> None:
    call_add(world, provider_name='a "house"\n', cost_microusd=1_500_000)
    budget_set(scope="organization", scope_id=world.organization.pk, limit_usd=3)
    settings.LOOM_METRICS_TOKEN = "a-long-token"
    for headers in ({}, {"authorization": "Bearer other"}, {"x-api-key": "lm_none"}):
        assert Client().get("/metrics", headers=headers).status_code == 401
    assert client_of(world, Role.ADMIN).get("/metrics").status_code == 401
    answer = Client().get("/metrics", headers={"authorization": "Bearer a-long-token"})
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = answer.content.decode().splitlines()
    assert all(line.startswith("# ") or SAMPLE.fullmatch(line) for line in lines)
    assert 'loom_model_cost_usd_total{provider="a \\"house\\"\\n",model="small"} 1.5' in lines
    assert 'loom_beads{status="open"} 1' in lines
    assert 'loom_budget_limit_usd{organization="ours"} 3' in lines
    settings.LOOM_METRICS_TOKEN = ""
    assert Client().get("/metrics", headers={"authorization": "Bearer "}).status_code == 401
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    assert root.get("/metrics").status_code == 200


def test_what_has_ended_is_counted_once_a_minute_and_what_has_not_each_time(
    world: World, monkeypatch: Any
) -> None:
    def told() -> list[str]:
        return [line for line in exposition().splitlines() if line.startswith("loom_beads{")]

    bead = world.beads[0]
    assert told() == ['loom_beads{status="open"} 1']
    bead_create(project=world.project, title="Another")
    with CaptureQueriesContext(connection) as asked:
        assert told() == ['loom_beads{status="open"} 2']
    whole = [query["sql"] for query in asked if "GROUP BY" in query["sql"] and "'closed'" in query["sql"]]
    assert not [sql for sql in whole if "beads_bead" in sql], "closed beads were counted again"
    bead_close(bead=bead, reason="Done.")
    assert told() == ['loom_beads{status="open"} 1']
    monkeypatch.setattr(metrics, "KEEP_SECONDS", 0.0)
    assert told() == ['loom_beads{status="closed"} 1', 'loom_beads{status="open"} 1']


def test_the_counts_of_what_is_there_use_an_index(world: World) -> None:
    """Of the tables that only grow: those rows that have not ended are found, not searched for."""
    for one in metrics.STATUSES:
        if one.metric in {"loom_runs", "loom_beads", "loom_sessions"}:
            plan = one.rows.filter(status__in=["open", "ready"]).order_by().explain()
            assert "INDEX" in plan.upper() or connection.vendor != "sqlite", (one.metric, plan)


def test_the_dashboard_shows_metrics_that_there_are(world: World) -> None:
    folder = ROOT / "watching" / "grafana"
    (prometheus, _) = yaml.safe_load((folder / "datasources.yaml").read_text())["datasources"]
    panels = json.loads((folder / "loom.json").read_text())["panels"]
    asked = [target for panel in panels for target in panel["targets"]]
    assert {target["datasource"]["uid"] for target in asked} == {prometheus["uid"]}
    named = {name for target in asked for name in re.findall(r"loom_[a-z_]+", target["expr"])}
    there = set(re.findall(r"^# TYPE (\S+)", exposition(), re.MULTILINE))
    assert len(named) > 15
    assert named <= there
    places = [panel["gridPos"] for panel in panels]
    cells = [(x, y) for at in places for x in range(at["x"], at["x"] + at["w"])
             for y in range(at["y"], at["y"] + at["h"])]  # fmt: skip
    assert len(cells) == len(set(cells)), "panels lie upon each other"
    assert max(x for x, _ in cells) < 24

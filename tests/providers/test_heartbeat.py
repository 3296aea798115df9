"""The heartbeat of providers: what it sees and tells, and that it closes no circuit calls have opened."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.engine import doorbell, runner
from apps.engine.models import Run
from apps.engine.services import run_signal
from apps.events.models import Event
from apps.providers import flows, pool
from apps.providers.health import OPEN_AFTER
from apps.providers.models import Provider
from apps.providers.scripted import ScriptedReply
from apps.providers.services import provider_create, provider_delete, provider_disable, provider_enable
from tests.providers.script_server import ScriptServer

KEYS = {
    "provider_id", "name", "status", "circuit", "latency_ms", "error", "model", "configured", "score"
}  # fmt: skip


@pytest.fixture(autouse=True)
def quiet(transactional_db: None) -> Iterator[None]:
    doorbell.use(lambda _: None)
    pool.forget()
    yield
    doorbell.use(None)
    pool.forget()


@pytest.fixture
def server() -> Iterator[ScriptServer]:
    with ScriptServer(lambda messages, tools: ScriptedReply("OK")) as server:
        yield server


def connect(server: ScriptServer) -> Provider:
    return provider_create(name="script", organization_id=None, endpoint=server.url, model="script", key="k")


def beat() -> None:
    """The next beat of every heartbeat, now."""
    flows.heartbeats_start()
    for run in Run.objects.filter(flow=flows.HEARTBEAT, status=Run.Status.WAITING):
        run_signal(run_id=run.pk, name="check")
    runner.drain()


def told() -> list[dict[str, Any]]:
    return [event.data for event in Event.objects.filter(actor="heartbeat").order_by("id")]


def fresh(provider: Provider) -> Provider:
    return Provider.objects.get(pk=provider.pk)


def test_it_tells_what_changed_and_nothing_else(server: ScriptServer) -> None:
    provider = connect(server)
    beat()
    assert fresh(provider).status == "healthy"
    (first,) = told()
    assert set(first) == KEYS
    assert (first["status"], first["circuit"], first["model"], first["error"]) == (
        "healthy",
        "closed",
        "script",
        "",
    )
    assert first["latency_ms"] > 0
    checked = fresh(provider).checked_at
    server.switches.key = "another"
    beat()
    beat()
    statuses = [one["status"] for one in told() if one["status"] != "healthy"]
    assert statuses == ["failed"], "the same news is told once"
    assert "key" in told()[-1]["error"].lower()
    now = fresh(provider).checked_at
    assert checked is not None
    assert now is not None
    assert now > checked


def test_a_server_that_is_gone_opens_the_circuit_and_comes_back_by_itself(server: ScriptServer) -> None:
    provider = connect(server)
    beat()
    Provider.objects.filter(pk=provider.pk).update(endpoint="http://127.0.0.1:1/v1")
    for _ in range(OPEN_AFTER):
        beat()
    assert told()[-1]["circuit"] == "open"
    Provider.objects.filter(pk=provider.pk).update(endpoint=server.url)
    beat()
    assert told()[-1]["circuit"] == "open", "nobody asks while it rests"
    _rest_is_over(provider)
    beat()
    assert (told()[-1]["circuit"], told()[-1]["status"]) == ("closed", "healthy")


def test_a_list_of_models_does_not_close_a_circuit_that_calls_have_opened(server: ScriptServer) -> None:
    provider = connect(server)
    beat()
    Provider.objects.filter(pk=provider.pk).update(
        consecutive_failures=OPEN_AFTER, status="failed", last_error="500", cool_until=timezone.now()
    )
    _rest_is_over(provider)
    beat()
    assert (fresh(provider).consecutive_failures, fresh(provider).status) == (OPEN_AFTER, "failed")


def _rest_is_over(provider: Provider) -> None:
    Provider.objects.filter(pk=provider.pk).update(cool_until=timezone.now() - timedelta(seconds=1))


def test_each_provider_has_one_heartbeat_for_as_long_as_it_is_enabled(server: ScriptServer) -> None:
    provider = connect(server)
    assert (flows.heartbeats_start(), flows.heartbeats_start()) == (1, 0)
    runner.drain()
    run = Run.objects.get(flow=flows.HEARTBEAT)
    assert run.status == Run.Status.WAITING
    assert run.wake_at is not None
    assert run.wake_at - timezone.now() < timedelta(seconds=flows.SECONDS + 1)
    provider_disable(provider_id=provider.pk)
    beat()
    run.refresh_from_db()
    assert run.status == Run.Status.DONE
    provider_enable(provider_id=provider.pk)
    beat()
    assert Run.objects.unfinished().filter(flow=flows.HEARTBEAT).count() == 1
    provider_delete(provider_id=provider.pk)
    beat()
    assert not Run.objects.unfinished().filter(flow=flows.HEARTBEAT).exists()


def test_its_history_stays_short(server: ScriptServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "BEATS", 3)
    connect(server)
    for _ in range(8):
        beat()
    run = Run.objects.get(flow=flows.HEARTBEAT)
    assert run.generation >= 2
    assert run.steps.count() <= 2 * 3 + 1
    assert {one["status"] for one in told()} == {"healthy"}, "a new generation remembers the last look"

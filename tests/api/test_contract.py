"""The contract with clients of the original: its routes, and the exact keys and types of its models."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Role
from apps.providers.services import provider_create
from loom_site.api import built, urlpatterns
from loom_site.contract import missing, routes
from scripts.api_status import PAGE, page
from tests.api.clients import client_of, send
from tests.world import World, bead_add, world_build

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nobody_reacts")]
UNBUILT = missing(built)
TIME, MAYBE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), (str, type(None))
BEAD: dict[str, Any] = {
    "id": str, "type": str, "title": str, "description": str, "status": str, "priority": int,
    "project_id": str, "assigned_to": str, "blocked_by": list, "blocks": list, "related_to": list,
    "parent": MAYBE, "children": list, "tags": list, "context": dict, "due_date": MAYBE,
    "estimated_time": (int, type(None)), "created_at": TIME, "updated_at": TIME, "closed_at": MAYBE,
}  # fmt: skip
DECISION: dict[str, Any] = {
    "id": str, "type": str, "title": str, "description": str, "status": str, "priority": int,
    "project_id": str, "parent": MAYBE, "assigned_to": str, "question": str, "options": list,
    "recommendation": str, "requester_id": str, "decider_id": str, "decision": str, "rationale": str,
    "decided_at": MAYBE, "created_at": TIME, "updated_at": TIME, "closed_at": MAYBE,
}  # fmt: skip
COMMENT: dict[str, Any] = {
    "id": str, "bead_id": str, "parent_id": MAYBE, "author_id": str, "author_username": str,
    "content": str, "created_at": TIME, "updated_at": TIME, "edited": bool, "replies": list,
    "mentions": list,
}  # fmt: skip
PROJECT: dict[str, Any] = {
    "id": str, "name": str, "git_repo": str, "branch": str, "beads_path": str, "bead_prefix": str,
    "context": dict, "status": str, "is_perpetual": bool, "is_sticky": bool, "comments": list,
    "created_at": TIME, "updated_at": TIME, "closed_at": MAYBE, "agents": list, "git_strategy": str,
    "git_auth_method": str,
}  # fmt: skip
PROJECT_COMMENT: dict[str, Any] = {
    "id": str, "project_id": str, "author_id": str, "comment": str, "timestamp": TIME,
}  # fmt: skip
STATE: dict[str, Any] = {
    "id": str, "name": str, "status": str, "is_perpetual": bool, "is_sticky": bool, "open_beads": int,
    "can_close": bool, "readiness_ok": bool, "readiness_issues": list, "created_at": TIME,
    "updated_at": TIME, "closed_at": MAYBE, "comments_count": int,
}  # fmt: skip
METRICS: dict[str, Any] = {
    "total_requests": int, "success_requests": int, "failed_requests": int, "last_request_at": MAYBE,
    "avg_latency_ms": float, "min_latency_ms": int, "max_latency_ms": int, "last_latency_ms": int,
    "avg_throughput": float, "total_tokens": int, "success_rate": float, "availability_score": float,
    "performance_score": float, "overall_score": float,
}  # fmt: skip
PROVIDER: dict[str, Any] = {
    "id": str, "name": str, "type": str, "endpoint": str, "model": str, "configured_model": str,
    "selected_model": str, "description": str, "requires_key": bool, "is_shared": bool, "status": str,
    "last_heartbeat_at": MAYBE, "last_heartbeat_latency_ms": int, "last_heartbeat_error": str,
    "cost_per_mtoken": float, "context_window": int, "supports_function": bool, "supports_vision": bool,
    "supports_streaming": bool, "tags": list, "metrics": METRICS, "created_at": TIME, "updated_at": TIME,
}  # fmt: skip


def check(body: Any, keys: dict[str, Any]) -> None:
    for name, kind in keys.items():
        assert name in body, name
        value = body[name]
        if isinstance(kind, dict):
            check(value, kind)
        elif isinstance(kind, re.Pattern):
            assert kind.fullmatch(value), (name, value)
        else:
            assert isinstance(value, kind), (name, value)
            assert kind is not int or not isinstance(value, bool), (name, value)


@pytest.fixture
def world(db: None) -> World:
    return world_build("ours", rows=2)


@pytest.fixture
def client(world: World) -> Client:
    return client_of("ann", world.organization, Role.ADMIN)


def test_the_page_that_tells_what_is_built_is_true() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m scripts.api_status"


def test_every_route_of_the_contract_is_answered() -> None:
    assert missing(urlpatterns) == []


def test_what_is_not_built_says_so(client: Client) -> None:
    for route in UNBUILT[::5]:
        answer = send(client, route.method, route.address.removeprefix("/api/v1/"))
        assert (answer.status_code, answer.json()["code"]) == (501, "not_implemented")


def test_models_have_the_keys_and_types_that_clients_read(client: Client, world: World) -> None:
    bead, project = world.beads[1], world.project
    provider_create(name="p", organization_id=world.organization.pk, endpoint="http://x/v1", model="m")
    send(client, "post", f"projects/{project.pk}/comments", {"comment": "Nice."})
    comment = send(client, "post", f"beads/{bead.key}/comments", {"content": "Nice."}).json()
    check(comment, COMMENT)
    for at, keys in (
        ("beads", BEAD),
        ("decisions", DECISION),
        ("projects", PROJECT),
        ("providers", PROVIDER),
    ):
        rows = client.get(f"/api/v1/{at}").json()
        assert isinstance(rows, list)
        check(rows[0], keys)
        whole = client.get(f"/api/v1/{at}/{rows[0]['id']}").json()
        check(whole, keys)
        assert set(whole) == set(rows[0]), at
    check(client.get(f"/api/v1/projects/{project.pk}").json()["comments"][0], PROJECT_COMMENT)
    check(client.get(f"/api/v1/projects/{project.pk}/state").json(), STATE)
    graph = client.get(f"/api/v1/work-graph?project_id={project.pk}").json()
    assert set(graph) == {"beads", "edges", "updated_at"}
    check(graph["beads"][bead.key], BEAD)
    assert graph["edges"] == [{"from": bead.key, "to": world.beads[0].key, "relationship": "blocks"}]


LISTS = sorted(
    {
        route.address
        for route in routes()
        if route.method == "GET" and "{" not in route.path and route not in UNBUILT
    }
    - {route.address for route in routes() if route.path.endswith("/stream") or "export" in route.path}
)


def test_no_list_asks_more_often_when_there_is_more(client: Client, world: World) -> None:
    faults = []
    counts = {at: _queries(client, at) for at in LISTS}
    for _ in range(3):
        bead_add(world)
    for at, before in counts.items():
        now = _queries(client, at)
        if now > before:
            faults.append(f"{at}: {before} queries, with more rows {now}")
    assert not faults, "\n".join(faults)


def _queries(client: Client, at: str) -> int:
    client.get(at)  # what is asked once per process
    with CaptureQueriesContext(connection) as told:
        client.get(at)
    return len(told)

"""The people who ask for personas, agents and org charts over HTTP, and how they ask."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Role
from apps.agents.persona_services import personas_sync
from tests.world import World, client_of, world_build

API = "/api/v1"


@pytest.fixture
def world() -> World:
    personas_sync()
    return world_build("acme")


@pytest.fixture
def ann(world: World) -> Client:
    return client_of(world)


@pytest.fixture
def admin(world: World) -> Client:
    return client_of(world, Role.ADMIN, "root")


@pytest.fixture
def viewer(world: World) -> Client:
    return client_of(world, Role.VIEWER, "vic")


@pytest.fixture
def stranger() -> Client:
    return client_of(world_build("other"), Role.ADMIN, "eve")


def send(client: Client, method: str, path: str, status: int = 200, **body: Any) -> Any:
    response = client.generic(method, path, data=json.dumps(body), content_type="application/json")
    assert response.status_code == status, (path, response.status_code, response.content[:500])
    if not response.content:
        return None
    kind = response.headers["Content-Type"]
    return response.json() if "json" in kind else response.content.decode()


def get(client: Client, path: str, status: int = 200) -> Any:
    return send(client, "GET", path, status)

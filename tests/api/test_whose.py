"""Writes that name both a project and an organization: the one must belong to the other."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Role
from tests.api.list_house import API
from tests.workflows.test_graph_reading import MINIMAL
from tests.world import World, client_of, world_build

pytestmark = pytest.mark.django_db

TALK = [{"role": "user", "content": "Hi"}]
WRITES: dict[str, dict[str, Any]] = {
    "workflows": {"yaml": MINIMAL},
    "motivations": {"name": "m", "type": "event", "condition": "bead_completed"},
    "motivations/external": {"kind": "external.release"},
    "beads/auto-file": {"title": "It broke"},
    "chat/completions": {"messages": TALK},
    "repl": {"message": "What holds us up?"},
}


@pytest.fixture
def world() -> World:
    world_build("globex")
    return world_build("acme")


@pytest.fixture
def client(world: World) -> Client:
    return client_of(world, Role.ADMIN)


@pytest.mark.parametrize("address", WRITES)
def test_an_organization_that_a_project_does_not_belong_to_is_refused(
    world: World, client: Client, address: str
) -> None:
    body = {**WRITES[address], "project_id": world.project.pk, "organization": "globex"}
    answer = client.post(f"{API}/{address}", body, content_type="application/json")
    told = answer.json()
    assert answer.status_code == 400, told
    assert "belongs to acme, not to 'globex'" in told["error"]
    assert told["details"]["field"] == "organization"


@pytest.mark.parametrize("named", ["pk", "slug"])
def test_the_organization_that_it_belongs_to_may_be_named_as_well(
    world: World, client: Client, named: str
) -> None:
    organization = str(getattr(world.organization, named))
    for address in ("workflows", "motivations/external", "beads/auto-file"):
        body = {**WRITES[address], "project_id": world.project.pk, "organization": organization}
        answer = client.post(f"{API}/{address}", body, content_type="application/json")
        assert answer.status_code < 300, answer.json()

"""Locks on files: who takes, renews and releases them, and what dispatch makes of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Role
from apps.agents.forecast import apart, held_beads
from apps.agents.lifecycle import agent_retire
from apps.agents.lock_models import FileLock
from apps.agents.merge_policies import merge_policy_set
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.events.models import Event
from tests.api.clients import client_of, send
from tests.world import World, world_build


@pytest.fixture
def world(db: None) -> World:
    return world_build(rows=0)


@pytest.fixture
def ann(world: World) -> Client:
    return client_of("ann", world.organization)


def test_a_lock_is_taken_renewed_refused_released_and_runs_out(world: World, ann: Client) -> None:
    body = {"file_path": "./app/main.py", "project_id": world.project.pk}
    taken = send(ann, "post", "file-locks", {**body, "agent_id": world.agent.pk})
    assert taken.status_code == 201, taken.content
    assert {name: taken.json()[name] for name in ("file_path", "holder", "agent_id", "bead_id")} == {
        "file_path": "app/main.py", "holder": "Engineer", "bead_id": "",
        "agent_id": f"agent-{world.agent.pk}",
    }  # fmt: skip
    renewed = send(ann, "post", "file-locks", {**body, "agent_id": world.agent.pk, "expires_in": 3600})
    assert renewed.status_code == 200
    assert renewed.json()["expires_at"] > taken.json()["expires_at"]
    for path in ("app/main.py", "app", "app/*.py"):
        refused = send(ann, "post", "file-locks", {**body, "file_path": path})
        assert (refused.status_code, "Engineer keeps" in refused.json()["error"]) == (409, True)
    for path in ("", "../x", "a\nb"):
        assert send(ann, "post", "file-locks", {**body, "file_path": path}).status_code == 400
    at = f"file-locks/{world.project.pk}/app/main.py"
    assert send(ann, "delete", at).status_code == 404  # it is the agent's, not hers
    assert send(ann, "delete", f"{at}?agent_id={world.agent.pk}").status_code == 204
    assert send(ann, "get", "file-locks").json() == []
    assert send(ann, "post", "file-locks", {**body, "expires_in": 60}).json()["holder"] == "ann"
    FileLock.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert send(ann, "get", "file-locks").json() == []
    assert send(ann, "post", "file-locks", {**body, "agent_id": world.agent.pk}).status_code == 201
    agent_retire(agent_id=world.agent.pk)
    assert not FileLock.objects.exists()
    assert Event.objects.filter(kind="file_lock.released").count() == 2
    vic = client_of("vic", world.organization, Role.VIEWER)
    assert send(vic, "post", "file-locks", body).status_code == 403


def test_beads_wait_for_files_that_somebody_keeps(world: World, ann: Client) -> None:
    def bead(title: str, *paths: str) -> Bead:
        return bead_create(project=world.project, title=title, paths=list(paths))

    inside, beside, vague = bead("Inside", "app/main.py"), bead("Beside", "docs/a.md"), bead("Vague")
    owner = bead("Owner", "app/other.py")
    body = {"file_path": "app", "project_id": world.project.pk, "bead_id": owner.key}
    assert send(ann, "post", "file-locks", body).status_code == 201
    ready = [inside, beside, vague, owner]
    assert apart(world.project.pk, ready) == {inside.pk: "waits for app, which ann keeps"}
    assert held_beads(ready) == apart(world.project.pk, ready)
    merge_policy_set(project=world.project, overlap="parallel")
    assert list(apart(world.project.pk, ready)) == [inside.pk]  # asked for, not guessed
    assert send(ann, "delete", f"file-locks/{world.project.pk}/app").status_code == 204
    assert apart(world.project.pk, ready) == {}

"""GitHub's webhooks: whose signature counts, and what deliveries come to."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from apps.accounts.models import Role
from apps.agents.git import git_alone
from apps.agents.hub import Hub
from apps.agents.merge_models import PullRequest
from apps.beads.models import Bead
from apps.engine import runner
from apps.engine.models import Run
from apps.events.models import Event
from apps.projects.models import Project
from tests.api.clients import client_of, send
from tests.workflows.test_pull_requests import Open, asked
from tests.world import World, world_build

REPOSITORY = {
    "full_name": "Acme/calc", "clone_url": "https://github.com/acme/calc.git",
    "ssh_url": "git@github.com:acme/calc.git",
}  # fmt: skip


@pytest.fixture
def remote(tmp_path: Path, settings: Settings) -> Hub:
    settings.LOOM_LOCAL_REMOTES = True
    hub = Hub(tmp_path / "remote.git")
    git_alone("init", "--quiet", "--bare", "--initial-branch=main", str(hub.path))
    return hub


@pytest.fixture
def world(db: None) -> World:
    return world_build(rows=0)


def secret_of(project: Project, name: str = "boss") -> str:
    """The project stands on GitHub from now on."""
    Project.objects.filter(pk=project.pk).update(git_repo="git@github.com:acme/calc")
    boss = client_of(name, project.organization, Role.ADMIN)
    made = send(boss, "post", f"projects/{project.pk}/webhook-secret")
    assert made.status_code == 201, made.content
    return str(made.json()["secret"])


def deliver(secret: str, kind: str, delivery: str = "d1", **body: Any) -> Any:
    raw = json.dumps({"repository": REPOSITORY, "sender": {"login": "octo"}, **body}).encode()
    signature = "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    headers = {"X-GitHub-Event": kind, "X-GitHub-Delivery": delivery, "X-Hub-Signature-256": signature}
    return Client().generic("POST", "/api/v1/webhooks/github", raw, "application/json", headers=headers)


def pull(bead: Bead, *, merged: bool) -> dict[str, Any]:
    head, base = {"ref": f"loom/{bead.key}"}, {"ref": "main"}
    return {
        "action": "closed",
        "pull_request": {"number": 1, "merged": merged, "head": head, "base": base, "title": "Note"},
    }


def test_only_a_projects_own_signature_counts(world: World) -> None:
    secret = secret_of(world.project)
    issue: dict[str, Any] = {"action": "opened", "issue": {"number": 7, "title": "It fell"}}
    told = deliver(secret, "issues", **issue)
    assert (told.status_code, told.json()["event"]["type"]) == (200, "github_issue_opened"), told.content
    assert deliver(secret, "issues", **issue).status_code == 200
    event = Event.objects.get(kind="external.github_issue")  # sent twice, it counts once
    assert (event.project_id, event.actor, event.data["title"]) == (
        world.project.pk,
        "github:octo",
        "It fell",
    )
    assert deliver("guessed", "issues", **issue).status_code == 401
    assert deliver("", "issues", **issue).status_code == 401
    assert deliver(secret, "issues", repository={"full_name": "acme/other"}, **issue).status_code == 401
    other = world_build("other", rows=0)
    theirs = secret_of(other.project, "theirs")
    assert deliver(theirs, "issues", "d2", **issue).status_code == 200
    assert (
        Event.objects.get(kind="external.github_issue", subject="webhook:d2").project_id == other.project.pk
    )
    assert deliver(secret, "star", "d3").json() == {"status": "ignored"}
    assert deliver(secret, "", "d4").status_code == 400
    ann = client_of("ann", world.organization)
    status = send(ann, "get", "webhooks/status").json()
    assert (status["webhook_secret_configured"], status["projects"]) == (True, [str(world.project.pk)])
    assert send(ann, "post", f"projects/{world.project.pk}/webhook-secret").status_code == 403
    renewed = send(client_of("new", world.organization, Role.ADMIN), "post",
                   f"projects/{world.project.pk}/webhook-secret").json()["secret"]  # fmt: skip
    assert deliver(secret, "ping", "d5").status_code == 401
    assert deliver(renewed, "ping", "d5").status_code == 200


def test_a_secret_whose_key_is_lost_says_what_to_do(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_ENCRYPTION_KEY", "first")
    secret = secret_of(world.project)
    monkeypatch.setenv("LOOM_ENCRYPTION_KEY", "another")
    told = deliver(secret, "ping")
    assert (told.status_code, told.json()["code"]) == (503, "unavailable"), told.content
    assert "webhook-secret" in told.json()["details"]["hint"]
    assert deliver(secret_of(world.project, "chief"), "ping").status_code == 200


def test_nonsense_of_strangers_is_refused(world: World) -> None:
    for raw in (b"", b"[]", b"{", b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}"):
        headers = {"X-GitHub-Event": "push"}
        answer = Client().generic("POST", "/api/v1/webhooks/github", raw, "application/json", headers=headers)
        assert answer.status_code == 400, raw[:20]


def test_a_merge_and_a_close_on_github_are_followed(open_studio: Open, remote: Hub) -> None:
    studio, bead = asked(open_studio, remote)
    secret = secret_of(studio.project)
    row = PullRequest.objects.get()
    assert remote.advance("main", row.commit, remote.head("main"))
    push = {"ref": "refs/heads/main", "after": row.commit}
    assert deliver(secret, "push", "p1", **push).status_code == 200
    assert deliver(secret, "push", "p2", ref="refs/heads/side").status_code == 200
    runner.drain()
    assert studio.hub.head("main") == row.commit
    assert studio.refreshed(bead).status == "closed"
    row.refresh_from_db()
    assert (row.status, row.closed_by) == ("merged", "the remote")
    second = studio.bead("Note again")
    studio.run()
    assert deliver(secret, "pull_request", "p3", **pull(second, merged=False)).status_code == 200
    runner.drain()
    closed = PullRequest.objects.get(bead=second)
    assert (closed.status, closed.closed_by) == ("closed", "github:octo")
    assert "Closed on GitHub by octo." in studio.refreshed(second).close_reason
    assert not Run.objects.filter(flow="webhook.github").exclude(status="done").exists()

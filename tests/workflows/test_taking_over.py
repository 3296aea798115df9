"""Projects that begin from a repository that exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from apps.accounts.models import Role, User
from apps.accounts.services import membership_set, organization_ensure
from apps.agents.git import git_alone
from apps.agents.hub import Hub
from apps.agents.merge_models import policy_of
from apps.agents.places import hub_path
from apps.core.errors import BadInput
from apps.engine import doorbell, runner
from apps.engine.models import Run
from apps.projects.models import Project
from apps.workflows.taking_over import host_require, name_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client(tmp_path: Path, settings: Settings) -> Client:
    doorbell.use(lambda _: None)
    settings.LOOM_DATA_DIR = tmp_path / "loom"
    settings.LOOM_LOCAL_REMOTES = True
    user = User.objects.create_user(username="ada")
    membership_set(user=user, organization=organization_ensure(name="acme"), role=Role.ADMIN)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def remote(tmp_path: Path) -> Hub:
    hub = Hub(tmp_path / "shorten.git")
    git_alone("init", "--quiet", "--bare", "--initial-branch=trunk", str(hub.path))
    hub.commit_files("trunk", {"app.py": b"one\n"}, "One")
    hub.commit_files("trunk", {"app.py": b"two\n"}, "Two")
    hub.commit_files("next", {"app.py": b"three\n"}, "Three")
    return hub


def asked(client: Client, **given: str) -> Any:
    return client.post("/api/v1/projects/take-over", given, content_type="application/json")


def begun(client: Client, **given: str) -> tuple[Project, Run]:
    answer = asked(client, **given)
    assert answer.status_code == 201, answer.json()
    runner.drain()
    return (
        Project.objects.get(pk=answer.json()["project_id"]),
        Run.objects.get(pk=answer.json()["run_id"]),
    )


def test_a_repository_is_copied_with_its_history_and_its_own_branch(client: Client, remote: Hub) -> None:
    project, run = begun(client, address=str(remote.path))
    assert (run.status, project.name, project.branch) == (Run.Status.DONE, "shorten", "trunk")
    hub = Hub(hub_path(project.pk))
    assert hub.head("trunk") == remote.head("trunk")
    assert hub.git.line("rev-list", "--count", "trunk") == "2"
    assert policy_of(project.pk).remote == "", "nothing is ever pushed there"
    named, _ = begun(client, address=str(remote.path), branch="next", name="Next", way="branch-pr")
    assert Hub(hub_path(named.pk)).read("next", "app.py") == b"three\n"
    assert (policy_of(named.pk).strategy, policy_of(named.pk).remote) == ("branch-pr", str(remote.path))


def test_what_cannot_be_copied_is_said(client: Client, remote: Hub, settings: Settings) -> None:
    _, run = begun(client, address=str(remote.path), branch="none")
    assert run.status == Run.Status.FAILED
    assert "has no branch none" in run.error
    settings.LOOM_MAX_REPOSITORY_MB = 0
    project, run = begun(client, address=str(remote.path))
    assert "are taken over at most" in run.error
    assert not hub_path(project.pk).exists()
    for wrong in ("", "ext::sh -c id", "--upload-pack=id", "https://a:secret@host/x", "file:x"):
        given = {"address": wrong}
        assert (
            client.post("/api/v1/projects/take-over", given, content_type="application/json").status_code
            == 400
        )
    settings.LOOM_LOCAL_REMOTES = False
    given = {"address": str(remote.path)}
    assert (
        client.post("/api/v1/projects/take-over", given, content_type="application/json").status_code == 400
    )
    for address in (
        "http://127.0.0.1/x.git",
        "git@localhost:x.git",
        "http://169.254.169.254/x",
        "ssh://[::1]/x",
    ):
        with pytest.raises(BadInput):
            host_require(address)


def test_the_page_begins_with_a_repository_and_keeps_what_was_typed(client: Client, remote: Hub) -> None:
    answer = client.post(
        "/projects/new/repository/", {"address": "nonsense", "branch": "main", "way": "keep"}
    )
    assert answer.status_code == 400
    assert b"is no address of a repository" in answer.content
    assert b'value="nonsense"' in answer.content
    answer = client.post("/projects/new/repository/", {"address": str(remote.path), "way": "keep"})
    assert answer.headers["Location"] == f"/projects/{Project.objects.get().pk}/"


@pytest.mark.parametrize(
    ("address", "name"),
    [("git@host:team/product.git", "product"), ("https://host/a/b/", "b"), ("/", "Repository")],
)
def test_a_project_is_called_as_its_repository(address: str, name: str) -> None:
    assert name_of(address) == name

"""The API of projects: made, changed, discussed, closed by their team's word, reopened, deleted."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from apps.accounts.models import Organization, Role
from apps.accounts.services import organization_ensure
from apps.agents.hub import Hub
from apps.agents.models import Agent, Persona
from apps.agents.places import hub_path
from apps.agents.sandbox import sandbox_program
from apps.beads.services import bead_create
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide, vote_cast
from apps.engine.models import Run
from apps.events.models import Event
from apps.projects.models import Project
from apps.projects.services import project_create
from apps.providers.models import Budget
from apps.workflows.closing import close_as_decided
from tests.api.clients import client_of, send

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nobody_reacts")]
PRD = "# Links\n\n## Store\n\n- The command `add` stores a link.\n"


def test_a_project_is_made_changed_and_found(client: Client, ours: Organization) -> None:
    given = {
        "name": "Links",
        "git_repo": "https://example.org/links.git",
        "branch": "trunk",
        "context": {"goal": "store", "size": 3},
        "is_sticky": True,
        "checks": [{"command": "make test"}],
    }
    made = send(client, "post", "projects", given)
    assert made.status_code == 201, made.json()
    body = made.json()
    assert body["context"] == {"goal": "store", "size": "3"}
    assert body["checks"] == [{"kind": "test", "command": "make test"}]
    assert client.get(made["Location"]).json() == body
    changed = send(client, "put", f"projects/{body['id']}", {"context": {"goal": None}, "max_sessions": 2})
    assert (changed.json()["context"], changed.json()["name"]) == ({"size": "3"}, "Links")
    project_create(organization=ours, name="Other")
    for query, names in (
        ("", ["Other", "Links"]),
        ("?is_sticky=true", ["Links"]),
        ("?search=links.git&status=open,reopened", ["Links"]),
        ("?ordering=name", ["Links", "Other"]),
        (f"?organization={ours.pk + 1}", []),
    ):
        assert [row["name"] for row in client.get(f"/api/v1/projects{query}").json()] == names


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"name": " "},
        {"name": "x", "git_repo": "/etc"},
        {"name": "x", "git_repo": "https://me:secret@example.org/x.git"},
        {"name": "x", "git_repo": "--upload-pack=x"},
        {"name": "x", "branch": "-x"},
        {"name": "x", "branch": "a..b"},
        {"name": "x", "branch": "a b"},
        {"name": "x", "max_sessions": 0},
        {"name": "x", "approval": "never"},
        {"name": "x", "checks": [{"name": "no command"}]},
        {"name": "x", "checks": [{"kind": "smoke", "command": "make smoke"}]},
        {"name": "x", "context": "text"},
        {"name": "x", "prd": PRD},
        {"name": "x", "organization": ["ours"]},
    ],
)
def test_projects_that_make_no_sense_are_refused(client: Client, given: dict[str, Any]) -> None:
    answer = send(client, "post", "projects", given)
    assert (answer.status_code, Project.objects.count()) == (400, 0)


def test_what_is_not_set_says_how_it_is_done(client: Client, ours: Organization) -> None:
    project = project_create(organization=ours, name="Links")
    for given, status in (
        ({"status": "closed"}, 409),
        ({"branch": "other"}, 400),
        ({"allow_network": True}, 403),
        ({"status": "open", "branch": "main", "allow_network": False}, 200),
    ):
        assert send(client, "put", f"projects/{project.pk}", given).status_code == status
    root = client_of("root", ours, Role.ADMIN)
    assert send(root, "patch", f"projects/{project.pk}", {"allow_network": True}).json()["allow_network"]


def test_a_prd_becomes_a_project_at_work(client: Client) -> None:
    file = base64.b64encode(PRD.encode()).decode()
    for given in ({"prd_text": PRD, "name": "Links"}, {"prd_file": file, "budget_usd": "2.50"}):
        answer = send(client, "post", "projects/bootstrap", given)
        assert (answer.status_code, answer.json()["status"]) == (201, "ready"), answer.json()
        project = Project.objects.get(pk=answer.json()["project_id"])
        assert (project.name, Run.objects.get(pk=answer.json()["run_id"]).flow) == ("Links", "prd.weave")
        assert client.get(f"/api/v1/projects/{project.pk}/prd").json()["prd"] == project.prd
        rows = client.get(f"/api/v1/projects/{project.pk}/requirements").json()
        assert [row["id"] for row in rows] == ["R-001"]
    assert Budget.objects.get(scope="project").limit_microusd == 2_500_000
    for wrong in ({}, {"prd_text": PRD, "prd_file": file}, {"prd_file": "%"}, {"prd_text": " "}):
        assert send(client, "post", "projects/bootstrap", wrong).status_code == 400


def test_a_project_without_work_closes_at_once_and_opens_again(client: Client, ours: Organization) -> None:
    project = project_create(organization=ours, name="Links")
    at = f"projects/{project.pk}"
    assert client.get(f"/api/v1/{at}/state").json()["can_close"]
    closed = send(client, "post", f"{at}/close", {"author_id": "user-ann", "comment": "Done."}).json()
    assert (closed["status"], closed["comments"][0]["comment"]) == ("closed", "Done.")
    assert closed["closed_at"]
    assert send(client, "post", f"{at}/close").status_code == 409
    assert send(client, "delete", f"{at}?confirm=links").status_code == 403
    assert send(client, "post", f"{at}/reopen").json()["status"] == "reopened"
    assert send(client, "post", f"{at}/reopen").status_code == 409
    root = client_of("root", ours, Role.ADMIN)
    assert send(root, "delete", f"{at}?confirm=links").status_code == 409
    send(client, "post", f"{at}/close")
    assert send(root, "delete", at).status_code == 400
    assert send(root, "delete", f"{at}?confirm=links").status_code == 204
    assert not Project.objects.exists()


def team(project: Project, *roles: str) -> list[Agent]:
    agents = []
    for role in roles:
        persona = Persona.objects.create(name=f"default/{role}", role=role, body="Lead.")
        agents.append(Agent.objects.create(project=project, persona=persona, name=role, role=role))
    return agents


def test_a_team_decides_whether_ready_work_stays_undone(client: Client, ours: Organization) -> None:
    project = project_create(organization=ours, name="Links")
    bead_create(project=project, title="Store links")
    team(project, "product-manager", "project-manager", "web-designer")
    at = f"projects/{project.pk}"
    assert not client.get(f"/api/v1/{at}/state").json()["can_close"]
    answer = send(client, "post", f"{at}/close", {"comment": "Enough."})
    assert (answer.status_code, answer.json()["status"]) == (202, "decision_required")
    asked = answer.json()["decision_bead"]
    assert (asked["options"], asked["recommendation"], asked["priority"]) == (["yes", "no"], "no", 1)
    assert asked["voters"] == ["product-manager", "project-manager"]
    again = send(client, "post", f"{at}/close").json()["decision_bead"]
    assert again["id"] == asked["id"]
    decision = Decision.objects.select_related("project", "bead").get()
    for voter in asked["voters"]:
        vote_cast(decision=decision, voter=voter, choice="yes")
    close_as_decided(Event.objects.get(kind="decision.resolved"))
    assert client.get(f"/api/v1/{at}").json()["status"] == "closed"
    close_as_decided(Event.objects.get(kind="decision.resolved"))  # told twice


@pytest.mark.parametrize("choice", ["yes", "no"])
def test_without_a_team_a_person_decides(client: Client, ours: Organization, choice: str) -> None:
    project = project_create(organization=ours, name="Links")
    bead_create(project=project, title="Store links")
    send(client, "post", f"projects/{project.pk}/close")
    decision = Decision.objects.select_related("project", "bead").get()
    assert decision.needs_person
    decision_decide(decision=decision, choice=choice, decider="ann")
    close_as_decided(Event.objects.get(kind="decision.resolved"))
    assert Project.objects.get().status == ("closed" if choice == "yes" else "open")


def test_perpetual_and_sticky_projects_do_not_close(client: Client, ours: Organization) -> None:
    for project in (
        project_create(organization=ours, name="Links", is_perpetual=True),
        project_create(organization=ours, name="Links", is_sticky=True),
    ):
        assert send(client, "post", f"projects/{project.pk}/close").status_code == 409
        assert not client.get(f"/api/v1/projects/{project.pk}/state").json()["can_close"]


def test_agents_leave_and_join_the_team(client: Client, ours: Organization) -> None:
    project = project_create(organization=ours, name="Links")
    (agent,) = team(project, "qa-engineer")
    at = f"projects/{project.pk}/agents"
    body = send(client, "post", at, {"agent_id": str(agent.pk), "action": "unassign"}).json()
    assert body["agents"] == [str(agent.pk)]
    assert Agent.objects.get().status == Agent.Status.STOPPED
    send(client, "post", at, {"agent_id": agent.pk})
    assert Agent.objects.get().status == Agent.Status.IDLE
    assert send(client, "post", at, {"agent_id": 999}).status_code == 404
    assert send(client, "post", at, {"agent_id": "x"}).status_code == 400
    assert send(client, "post", at, {"agent_id": agent.pk, "action": "fire"}).status_code == 400


def test_people_comment_on_projects(client: Client, ours: Organization) -> None:
    project = project_create(organization=ours, name="Links")
    at = f"projects/{project.pk}/comments"
    made = send(client, "post", at, {"author_id": "somebody else", "comment": "Nice."})
    assert (made.status_code, made.json()["author_username"]) == (201, "ann")
    assert client.get(f"/api/v1/{at}").json() == [made.json()]
    assert send(client, "post", at, {"comment": " "}).status_code == 400
    viewer = client_of("vic", ours, Role.VIEWER)
    assert send(viewer, "post", at, {"comment": "x"}).status_code == 403


def test_other_organizations_projects_are_not_there(client: Client) -> None:
    theirs = project_create(organization=organization_ensure(name="theirs"), name="Secret", prd=PRD)
    at = f"projects/{theirs.pk}"
    for method, tail in (
        ("get", ""),
        ("put", ""),
        ("get", "/state"),
        ("get", "/prd"),
        ("get", "/requirements"),
        ("get", "/comments"),
        ("post", "/comments"),
        ("post", "/close"),
        ("post", "/reopen"),
        ("post", "/agents"),
    ):
        assert send(client, method, at + tail, None if method == "get" else {}).status_code == 404
    assert client.get("/api/v1/projects").json() == []


def test_checks_are_told_as_they_are_found_left_out_or_given(
    client: Client, ours: Organization, settings: Settings, tmp_path: Path
) -> None:
    settings.LOOM_DATA_DIR = tmp_path
    project = project_create(organization=ours, name="Links")
    at = f"projects/{project.pk}"
    nothing = client.get(f"/api/v1/{at}/checks").json()
    assert (nothing["source"], nothing["commit"], nothing["checks"]) == ("detected", "", [])
    hub = Hub(hub_path(project.pk))
    hub.create()
    commit = hub.commit_files("main", {"app.py": b"", "ruff.toml": b"", "tests/test_app.py": b""}, "Begin")
    send(client, "put", at, {"checks": [{"name": "ruff", "enabled": False}]})
    found = client.get(f"/api/v1/{at}/checks").json()
    assert (found["source"], found["commit"]) == ("detected", commit)
    assert [(one["name"], one["enabled"]) for one in found["checks"]] == [
        ("compile", True), ("unittest tests", True), ("ruff", False),
    ]  # fmt: skip
    own = [{"kind": "lint", "command": "make lint"}, {"command": "make slow", "enabled": False}]
    assert send(client, "put", at, {"checks": own}).status_code == 200
    given = client.get(f"/api/v1/{at}/checks").json()
    assert (given["source"], "node" in given["tools"]) == ("configured", sandbox_program("node"))
    assert [(one["kind"], one["name"], one["enabled"]) for one in given["checks"]] == [
        ("lint", "make lint", True), ("test", "make slow", False),
    ]  # fmt: skip

"""The API, the command and the admin pages of workflows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.agents.persona_services import personas_sync
from apps.core.errors import Conflict
from apps.engine.models import Run
from apps.events.models import Event
from apps.projects.models import Project
from apps.workflows.definition_services import definition_create, definition_update
from apps.workflows.execution_services import graphs_pin
from apps.workflows.graph_library import built_in, workflow_for, workflows_of
from apps.workflows.models import WorkflowDefinition, WorkflowExecution, WorkflowHistory
from apps.workflows.transfer import graph_yaml
from tests.admin_pages import page, superuser
from tests.workflows.test_graph_reading import MINIMAL, changed
from tests.world import World, bead_add, client_of, world_build

__all__ = ["superuser"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    """A tenant with a bead in a workflow, and a workflow of its own."""
    world = world_build("acme", rows=2)
    personas_sync()
    definition_create(organization=world.organization, given=changed(name="links"))
    for bead in world.beads:
        walk_add(world, bead)
    return world


def walk_add(world: World, bead: Any, **fields: Any) -> WorkflowExecution:
    story, now = built_in()["story"], timezone.now()
    graphs_pin(graphs=[story])
    execution = WorkflowExecution.objects.create(
        run_id=Run.objects.get(bead_id=bead.pk).pk,
        project=world.project,
        bead=bead,
        name="story",
        content_id=story.sha256,
        started_at=now,
        last_node_at=now,
        **{"current_node": "verify", "cycle_count": 2, "node_attempt_count": 3, **fields},
    )
    WorkflowHistory.objects.create(
        execution=execution, number=1, node_key="build", agent=world.agent, condition="success"
    )
    return execution


@pytest.fixture
def client(world: World) -> Client:
    return client_of(world, Role.ADMIN)


def call(client: Client, method: str, address: str, body: Any = None, status: int = 200) -> Any:
    send = getattr(client, method)
    sent = {} if method == "get" else {"data": body or {}, "content_type": "application/json"}
    answer = send(f"/api/v1{address}", **sent)
    assert answer.status_code == status, answer.content
    return answer.json() if answer.content and "json" in answer.headers["Content-Type"] else answer


# -- definitions -----------------------------------------------------------------------------------


def test_the_list_holds_the_built_in_ones_and_ours_in_the_original_shape(client: Client) -> None:
    told = call(client, "get", "/workflows")
    assert told["count"] == len(told["workflows"]) == 7
    story = next(one for one in told["workflows"] if one["name"] == "story")
    assert (story["id"], story["is_default"], story["project_id"]) == ("wf-story", True, None)
    build = next(node for node in story["nodes"] if node["node_key"] == "build")
    assert (build["node_type"], build["max_attempts"], build["timeout_minutes"]) == ("task", 2, 480)
    ends = {(edge["from_node_key"], edge["to_node_key"], edge["condition"]) for edge in story["edges"]}
    assert {("", "build", "success"), ("merge", "", "success"), ("review", "build", "rejected")} <= ends
    assert [one["name"] for one in call(client, "get", "/workflows?type=bug")["workflows"]] == ["bug"]


def test_one_that_cannot_be_read_any_more_hides_none_of_the_others(client: Client) -> None:
    old, good = (call(client, "post", "/workflows", changed(name=name), 201) for name in ("old", "good"))
    WorkflowDefinition.objects.filter(name="old").update(content={"nodes": 3})
    told = call(client, "get", "/workflows?built_in=false&ordering=-name")["workflows"]
    told = [one for one in told if one["name"] != "links"]
    assert [one["id"] for one in told] == [old["id"], good["id"]]
    assert "cannot be read" in told[0]["problem"]
    assert (told[0]["name"], told[0]["nodes"]) == ("old", [])
    assert "problem" not in told[1]
    assert call(client, "get", "/workflows")["count"] == 9
    call(client, "get", f"/workflows/{old['id']}", status=409)
    call(client, "delete", f"/workflows/{old['id']}", status=204)


def test_what_was_read_can_be_sent_back_and_means_the_same(client: Client) -> None:
    for name in sorted(built_in()):
        read = call(client, "get", f"/workflows/{name}")
        made = call(client, "post", "/workflows", read, 201)
        assert made["sha256"] == read["sha256"], name
        text = call(client, "get", f"/workflows/{made['id']}/export")
        assert text.headers["Content-Disposition"] == f'attachment; filename="{name}.yaml"'
        assert yaml.safe_load(text.content)["name"] == name
        again = call(client, "post", "/workflows/import", {"yaml": text.content.decode()})
        assert (again["id"], again["version"]) == (made["id"], 1), "the same text changes nothing"


def test_a_definition_is_created_changed_and_deleted(client: Client, world: World) -> None:
    made = call(client, "post", "/workflows", {"yaml": MINIMAL, "project_id": world.project.pk}, 201)
    assert (made["project_id"], made["version"]) == (world.project.pk, 1)
    assert call(client, "post", "/workflows", {"yaml": MINIMAL, "project_id": world.project.pk}, 409)["code"]

    body = {**changed(max_cycles=7), "version": 1}
    assert call(client, "put", f"/workflows/{made['id']}", body)["max_cycles"] == 7
    stale = call(client, "put", f"/workflows/{made['id']}", body, 409)
    assert "changed meanwhile" in stale["error"]
    call(client, "delete", f"/workflows/{made['id']}", status=204)
    call(client, "get", f"/workflows/{made['id']}", status=404)
    kinds = Event.objects.filter(kind__startswith="workflow.", data__workflow="small").order_by("id")
    assert list(kinds.values_list("kind", flat=True)) == [
        "workflow.created",
        "workflow.updated",
        "workflow.deleted",
    ]


@pytest.mark.parametrize("name", ["smalll", "bootstrap"])
def test_a_project_asks_only_for_a_workflow_that_its_beads_can_go_through(
    client: Client, world: World, name: str
) -> None:
    refused = call(client, "put", f"/projects/{world.project.pk}", {"workflow": name}, 400)
    assert refused["error"] == f"There is no workflow {name!r} for beads."
    assert "story" in refused["details"]["hint"]
    call(client, "post", "/projects", {"name": "Another", "workflow": name}, 400)
    assert not Project.objects.exclude(workflow="").exists()
    assert not Project.objects.filter(name="Another").exists()


def test_a_workflow_that_a_project_asks_for_stays_until_it_asks_for_another(
    client: Client, world: World
) -> None:
    place = {"project_id": world.project.pk}
    made = call(client, "post", "/workflows", {"yaml": MINIMAL, **place}, 201)
    call(client, "put", f"/projects/{world.project.pk}", {"workflow": "small"})
    told = call(client, "delete", f"/workflows/{made['id']}", status=409)
    assert told["error"] == f"Every bead of {world.project.name} goes through small."
    renamed = {"yaml": MINIMAL.replace("name: small", "name: smaller")}
    call(client, "put", f"/workflows/{made['id']}", renamed, 409)
    common = call(client, "post", "/workflows", {"yaml": MINIMAL, "organization": "acme"}, 201)
    call(client, "delete", f"/workflows/{made['id']}", status=204)  # the organization's stands behind it
    call(client, "delete", f"/workflows/{common['id']}", status=409)
    call(client, "put", f"/projects/{world.project.pk}", {"workflow": ""})
    call(client, "delete", f"/workflows/{common['id']}", status=204)


def test_what_cannot_work_is_refused_with_the_places_and_nothing_is_kept(client: Client) -> None:
    broken = changed(name="broken", start="nowhere")
    refused = call(client, "post", "/workflows", broken, 400)
    assert "there is no node 'nowhere'" in refused["error"]
    assert refused["details"]["problems"][0]["place"] == "start"
    assert not WorkflowDefinition.objects.filter(name="broken").exists()

    told = call(client, "post", "/workflows/validate", {"yaml": MINIMAL.replace("to: build", "to: buidl", 1)})
    assert not told["valid"]
    assert told["problems"][0]["place"] == "edge build → buidl on failure"
    assert call(client, "post", "/workflows/validate", changed()) == {"valid": True, "problems": []}
    assert not call(client, "post", "/workflows/validate", {"yaml": "["})["valid"]
    call(client, "post", "/workflows/validate", {"yaml": 7}, 400)


def test_the_built_in_ones_stay_as_they_are(client: Client) -> None:
    for method in ("put", "delete"):
        assert "built in" in call(client, method, "/workflows/wf-story", changed(), 400)["error"]
    call(client, "get", "/workflows/wf-nothing", status=404)
    call(client, "get", f"/workflows/{'9' * 40}", status=404)


def test_another_tenant_finds_nothing_and_a_viewer_only_reads(world: World) -> None:
    definition = WorkflowDefinition.objects.get()
    stranger = client_of(world_build("other", rows=0), Role.ADMIN, "eve")
    for method in ("get", "put", "delete"):
        call(stranger, method, f"/workflows/wf-{definition.pk}", changed(), 404)
    call(stranger, "post", "/workflows", {"yaml": MINIMAL, "project_id": world.project.pk}, 404)
    call(stranger, "post", "/workflows", {"yaml": MINIMAL, "organization": world.organization.slug}, 404)
    call(stranger, "get", f"/workflows?project_id={world.project.pk}", status=404)
    call(stranger, "get", f"/workflows/executions?bead_id={world.beads[0].key}", status=404)
    call(stranger, "get", f"/beads/workflow?bead_id={world.beads[0].key}", status=404)
    assert call(stranger, "get", "/workflows/executions") == []
    assert call(stranger, "get", "/workflows/analytics")["total_executions"] == 0
    assert call(stranger, "get", "/workflows")["count"] == len(built_in())

    viewer = client_of(world, Role.VIEWER, "vic")
    call(viewer, "get", f"/workflows/wf-{definition.pk}")
    call(viewer, "post", "/workflows/validate", changed())
    call(viewer, "post", "/workflows", changed(), 403)
    call(viewer, "put", f"/workflows/wf-{definition.pk}", changed(), 403)
    user = client_of(world, Role.USER, "uma")
    call(user, "delete", f"/workflows/wf-{definition.pk}", status=403)
    assert Client().get("/api/v1/workflows").status_code == 401


# -- executions ------------------------------------------------------------------------------------


def test_executions_and_where_a_bead_is(client: Client, world: World) -> None:
    first, second = world.beads
    WorkflowExecution.objects.filter(bead=first).update(
        status="completed", completed_at=timezone.now(), escalated_at=timezone.now()
    )
    rows = call(client, "get", "/workflows/executions")
    assert [row["bead_id"] for row in rows] == [second.key, first.key]
    found = call(client, "get", f"/workflows/executions?status=active&project_id={world.project.pk}")
    assert [row["bead_id"] for row in found] == [second.key]
    call(client, "get", "/workflows/executions?status=lost", status=400)
    one = call(client, "get", f"/workflows/executions?bead_id={second.pk}")
    assert one["execution"]["current_node_key"] == "verify"
    assert one["history"][0]["agent_id"] == world.agent.pk

    told = call(client, "get", f"/beads/workflow?bead_id={second.key}")
    assert told["workflow"]["name"] == "story"
    assert told["current_node"]["node_type"] == "verify"
    assert call(client, "get", f"/beads/workflow?bead_id={first.key}")["current_node"] is None
    fresh = bead_add(world)
    assert "No workflow" in call(client, "get", f"/beads/workflow?bead_id={fresh.key}")["message"]
    call(client, "get", "/beads/workflow", status=400)

    figures = call(client, "get", "/workflows/analytics")
    assert (figures["status_counts"], figures["type_counts"]) == ({"active": 1, "completed": 1}, {"story": 2})
    assert (figures["escalation_rate"], figures["average_cycles"], figures["max_cycles"]) == (50.0, 2, 2)
    assert figures["node_outcomes"] == {"story.build": {"success": 2}}
    assert len(figures["recent_executions"]) == 2


# -- which of several ------------------------------------------------------------------------------


def test_a_projects_own_workflow_goes_before_its_organizations_and_the_built_in_one(world: World) -> None:
    def used() -> int:
        bead = world.beads[0]
        return workflow_for(bead, workflows_of(Project.objects.get(pk=world.project.pk))).graph.max_cycles

    match = [{"types": ["story", "task"]}]
    assert used() == 20
    definition_create(organization=world.organization, given=changed(name="story", match=match, max_cycles=5))
    assert used() == 5
    definition_create(
        organization=world.organization,
        project=world.project,
        given=changed(name="story", match=match, max_cycles=6),
    )
    assert used() == 6
    other = world_build("other", rows=1)
    assert workflow_for(other.beads[0], workflows_of(other.project)).graph.max_cycles == 20


def test_of_two_who_change_a_definition_at_once_one_is_told(world: World) -> None:
    mine, theirs = WorkflowDefinition.objects.get(), WorkflowDefinition.objects.get()
    definition_update(definition=mine, given=changed(name="links", max_cycles=3))
    with pytest.raises(Conflict, match="changed meanwhile"):
        definition_update(definition=theirs, given=changed(name="links", max_cycles=4))
    assert WorkflowDefinition.objects.get().content["max_cycles"] == 3


# -- the command -----------------------------------------------------------------------------------


def run_command(*words: Any) -> str:
    out = io.StringIO()
    call_command("workflows", "--org", "acme", *map(str, words), stdout=out, stderr=out)
    return out.getvalue()


def test_the_command_lists_shows_exports_and_imports(world: World, tmp_path: Path) -> None:
    listed = run_command("list")
    assert "story" in listed
    assert "all others" in listed
    assert "links              organization" in listed
    assert "rejected → build" in run_command("show", "story")
    file = tmp_path / "story.yaml"
    run_command("export", "story", "--to", file)
    assert file.read_text() == run_command("export", "story") == graph_yaml(built_in()["story"])
    assert "can be used" in run_command("validate", file)
    file.write_text(file.read_text().replace("timeout: 8h", "timeout: 9h"))
    assert "story, version 1" in run_command("import", file)
    assert WorkflowDefinition.objects.get(name="story").content["nodes"]["build"]["timeout"] == 9 * 3600
    file.write_text(file.read_text().replace("timeout: 2h", "timeout: 2h\n    role: wizard"))
    with pytest.raises(CommandError, match="One problem"):
        run_command("import", file)
    for words in (
        ["show", "nothing"],
        ["validate", tmp_path / "none"],
        ["--project", "nothing", "list"],
        ["--org", "no", "list"],
    ):
        with pytest.raises(CommandError):
            run_command(*words)


# -- admin -----------------------------------------------------------------------------------------


def test_the_admin_saves_only_what_can_work(client: Client, world: World, superuser: User) -> None:
    client.force_login(superuser)
    row = WorkflowDefinition.objects.get()
    address = page(WorkflowDefinition, "change", row.pk)
    assert "kind: merge" in client.get(address).content.decode()
    bad = client.post(address, {"text": MINIMAL.replace("start: build", "start: x"), "version_read": "1"})
    assert "there is no node &#x27;x&#x27;" in bad.content.decode()
    good = MINIMAL.replace("name: small", "name: links\nmax_cycles: 4")
    assert client.post(address, {"text": good, "version_read": "1"}).status_code == 302
    row.refresh_from_db()
    assert (row.version, row.content["max_cycles"]) == (2, 4)
    stale = client.post(address, {"text": good.replace("4", "5"), "version_read": "1"}, follow=True)
    assert "changed meanwhile" in stale.content.decode()

    WorkflowDefinition.objects.filter(pk=row.pk).update(content={"name": "links", "nodes": {}})
    assert "name: links" in client.get(address).content.decode(), "what cannot be read can still be mended"

    new = {"organization": world.organization.pk, "project": "", "text": MINIMAL}
    assert client.post(page(WorkflowDefinition, "add"), new).status_code == 302
    assert WorkflowDefinition.objects.filter(name="small").exists()
    gone = client.post(page(WorkflowDefinition, "delete", row.pk), {"post": "yes"})
    assert gone.status_code == 302
    assert Event.objects.filter(kind="workflow.deleted").exists()

"""Personas and agents over HTTP: what each person may see and change of them."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.agents.models import Agent, Persona, Session
from apps.agents.personas import persona_parse
from apps.events.models import Event
from tests.agents.team_room import API, admin, ann, get, send, stranger, viewer, world
from tests.world import World

__all__ = ["admin", "ann", "stranger", "viewer", "world"]
pytestmark = pytest.mark.django_db

QA = f"{API}/personas/default/qa-engineer"
OPENING = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
ORIGINAL = """\ufeff---\r
name: QA Engineer\r
description: Finds bugs: all of them. Use for tests.\r
author: somebody\r
metadata:\r
  role: QA Engineer\r
  specialties:\r
    - test planning\r
    - regression: all\r
  version: 1.0\r
  limits: {turns: 3}\r
---\r
# QA\r
\r
Looks twice.\r
"""


# -- personas --------------------------------------------------------------------------------------


def test_personas_have_the_shape_of_the_original(ann: Client) -> None:
    listed = get(ann, f"{API}/personas")
    assert isinstance(listed, list)
    assert {"default/ceo", "loom/loom"} <= {one["name"] for one in listed}
    one = get(ann, QA)
    assert one["name"] == "default/qa-engineer"
    assert {"description", "instructions", "metadata", "created_at", "updated_at"} <= set(one)
    assert (one["autonomy_level"], one["organization_id"], one["version"]) == ("semi", None, 1)
    assert "edge cases" in one["capabilities"]
    assert one["persona_file"] == "default/qa-engineer/SKILL.md"
    assert get(ann, f"{API}/personas/default/nobody", 404)["code"] == "not_found"
    assert [row["name"] for row in get(ann, f"{API}/personas?role=cto")] == ["default/cto"]


def test_an_edited_persona_is_the_organizations_own_and_nobody_elses(
    world: World, ann: Client, stranger: Client
) -> None:
    persona = Persona.objects.get(name="default/qa-engineer")
    agent = Agent.objects.create(project=world.project, persona=persona, name="Quinn", role=persona.role)
    running = Session.objects.create(
        project=world.project,
        agent=agent,
        kind="work",
        origin="x",
        opening=OPENING,
    )
    before = get(ann, QA)
    edited = send(
        ann, "PUT", QA, **{**before, "instructions": "# QA\n\nTests thrice.", "autonomy_level": "full"}
    )
    assert (edited["organization_id"], edited["version"]) == (str(world.organization.pk), 2)
    assert (edited["autonomy_level"], edited["metadata"]["autonomy"]) == ("full", "full")
    assert edited["metadata"]["aliases"] == before["metadata"]["aliases"]
    agent.refresh_from_db()
    assert agent.persona.body == "# QA\n\nTests thrice."
    running.refresh_from_db()
    assert running.opening == OPENING
    assert [row["organization_id"] for row in get(ann, f"{API}/personas?name=default/qa-engineer")] == [
        str(world.organization.pk)
    ]
    assert get(stranger, QA)["instructions"] == before["instructions"]
    assert {row["organization_id"] for row in get(stranger, f"{API}/personas")} == {None}
    send(ann, "PUT", QA, **edited)
    assert get(ann, QA)["version"] == 2  # nothing changed


def test_history_tells_who_changed_what_and_brings_it_back(ann: Client, admin: Client) -> None:
    first = get(ann, QA)["instructions"]
    send(ann, "PATCH", QA, instructions="Tests thrice.", note="Stricter.")
    send(admin, "PATCH", QA, metadata={"level": "junior", "title": ""})
    history = get(ann, f"{QA}/versions")
    assert [(row["number"], row["author"], row["note"]) for row in history] == [
        (3, "root", ""), (2, "ann", "Stricter."), (1, "loom", "As shipped."),
    ]  # fmt: skip
    second = get(ann, f"{QA}/versions/2")
    assert "+Tests thrice." in second["diff"]
    assert "-  level: senior\n+  level: junior" in get(ann, f"{QA}/versions/3")["diff"]
    assert "+Tests thrice." in get(ann, f"{QA}/versions/3?against=1")["diff"]
    restored = send(ann, "POST", f"{QA}/restore", version=1)
    assert (restored["instructions"], restored["version"]) == (first, 4)
    assert restored["metadata"]["title"]
    for wrong in (9, "1", None, True, -1, 2**40):
        send(ann, "POST", f"{QA}/restore", 404 if wrong == 9 else 400, version=wrong)
    send(admin, "DELETE", QA, 204)
    assert get(ann, QA)["organization_id"] is None
    send(admin, "DELETE", QA, 409)


def test_the_originals_file_is_read_leniently_and_written_strictly(ann: Client) -> None:
    made = send(ann, "POST", f"{API}/personas", 201, name="old/qa-tester", skill_md=ORIGINAL)
    assert (made["role"], made["metadata"]["title"]) == ("qa-engineer", "QA Engineer")
    assert made["metadata"]["specialties"] == "test planning; regression: all"
    assert (made["metadata"]["version"], made["metadata"]["limits.turns"]) == ("1.0", "3")
    assert made["metadata"]["author"] == "somebody"
    assert any("colon" in warning for warning in made["warnings"])
    assert any(warning.startswith("line 4: the field author") for warning in made["warnings"])
    text = get(ann, f"{API}/personas/old/qa-tester/skill")
    strict = persona_parse(text.encode(), name="old/qa-tester")
    assert strict.description == "Finds bugs: all of them. Use for tests."
    assert all(isinstance(value, str) for value in strict.metadata.values())
    again = send(ann, "PUT", f"{API}/personas/old/qa-tester", skill_md=text)
    assert (again["warnings"], again["version"]) == ([], 1)
    assert (
        send(ann, "POST", f"{API}/personas", 409, name="old/qa-tester", skill_md=ORIGINAL)["code"]
        == "conflict"
    )


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("no front matter", 1, "three hyphens"),
        ("---\nname: a\ndescription: x", 3, "does not end"),
        ("---\nname: a\ndescription: [x\n---\nBody", 3, "not YAML"),
        ("---\nname: a\nname: b\ndescription: x\n---\nBody", 3, "twice"),
        ("---\nname: a\nmetadata:\n  x: &y 1\n  z: *y\n---\nBody", 5, "references"),
        ("---\n- a\n---\nBody", 2, "fields with values"),
        ("---\nname: a\ndescription: x\n---\n", 4, "nothing stands below"),
        ("---\nname: a\ndescription: x\nmetadata:\n  autonomy: total\n---\nBody", 5, "autonomy"),
        ("---\nname: a\ndescription: '  '\n---\n# Only a heading", 3, "no description"),
        ("---\nx: " + "[" * 5000 + "\n---\nBody", 2, ""),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_its_line(ann: Client, text: str, line: int, said: str) -> None:
    refused = send(ann, "POST", f"{API}/personas", 400, name="own/a", skill_md=text)
    assert refused["details"]["line"] == line, refused
    assert said in refused["error"]
    assert not Persona.objects.filter(name="own/a").exists()


def test_a_clone_is_another_persona_of_the_same_role(ann: Client) -> None:
    made = send(ann, "POST", f"{QA}/clone", 201, new_name="own/fuzzer", instructions="Fuzz.")
    assert (made["name"], made["role"], made["instructions"]) == ("own/fuzzer", "qa-engineer", "Fuzz.")
    send(ann, "POST", f"{QA}/clone", 409, new_name="own/fuzzer")
    other = send(ann, "POST", f"{QA}/clone", 201, new_name="own/prober", metadata={"role": "prober"})
    assert (other["role"], "aliases" in other["metadata"]) == ("prober", False)
    for wrong in ("Own/X", "a//b", "own/versions", "../etc", "x" * 121, ""):
        send(ann, "POST", f"{QA}/clone", 400, new_name=wrong)


def test_a_name_cannot_lead_to_two_roles(ann: Client) -> None:
    refused = send(ann, "PATCH", QA, 409, metadata={"aliases": "cto"})
    assert "two roles" in refused["error"]


def test_who_may_change_personas(viewer: Client, stranger: Client, ann: Client) -> None:
    send(ann, "PATCH", QA, instructions="Ours.")
    for client, method, path in (
        (viewer, "PATCH", QA), (viewer, "POST", f"{QA}/clone"), (viewer, "POST", f"{API}/personas"),
        (viewer, "POST", f"{QA}/restore"), (ann, "DELETE", QA), (Client(), "GET", QA),
    ):  # fmt: skip
        status = 401 if client not in (viewer, ann) else 403
        send(client, method, path, status, instructions="Mine.", new_name="own/x", version=1)
    send(stranger, "PATCH", QA, 404, organization="acme", instructions="Mine.")
    assert get(ann, QA)["instructions"] == "Ours."
    for garbage in (b"[1]", b"{", b'{"metadata": 3}', b'{"instructions": {}}', b'{"description": ""}'):
        assert ann.generic("PATCH", QA, garbage, content_type="application/json").status_code == 400


# -- agents ----------------------------------------------------------------------------------------


def test_agents_are_spawned_paused_cloned_and_taken_out(world: World, ann: Client, admin: Client) -> None:
    made = send(ann, "POST", f"{API}/agents", 201, persona_name="qa-engineer", project_id=world.project.pk)
    assert set(made) == {
        "id", "name", "role", "persona_name", "persona", "provider_id", "status", "current_bead",
        "current_action", "project_id", "position_id", "started_at", "last_active",
    }  # fmt: skip
    assert (made["persona_name"], made["status"], made["position_id"]) == (
        "default/qa-engineer", "idle", "qa-engineer",
    )  # fmt: skip
    one = f"{API}/agents/{made['id']}"
    assert get(ann, f"{API}/agents/agent-{made['id']}")["name"] == "QA engineer"
    assert send(ann, "POST", f"{one}/pause")["status"] == "paused"
    assert send(ann, "POST", f"{one}/activate")["status"] == "idle"
    assert send(ann, "POST", f"{one}/activate")["status"] == "idle"
    assert send(ann, "POST", f"{one}/stop")["status"] == "stopped"
    send(ann, "POST", f"{one}/stop", 409)
    assert send(ann, "POST", f"{one}/resume")["status"] == "idle"
    send(
        ann, "POST", f"{API}/agents", 409, persona_name="cto", project_id=world.project.pk, name="qa ENGINEER"
    )
    clone = send(ann, "POST", f"{one}/clone", 201, new_persona_name="fuzzer", new_agent_name="Fuzzy")
    assert clone["persona_name"] == f"projects/{world.project.pk}/qa-engineer/fuzzer"
    assert (clone["name"], clone["role"]) == ("Fuzzy", "qa-engineer")
    get(ann, one, 404)  # it was replaced
    send(admin, "DELETE", f"{API}/agents/{clone['id']}", 204)
    get(admin, f"{API}/agents/{clone['id']}", 404)
    kinds = set(Event.objects.filter(subject=f"agent:{made['id']}").values_list("kind", flat=True))
    assert {"agent.spawned", "agent.status_change", "agent.retired", "agent.completed"} <= kinds


def test_an_agents_persona_can_be_its_own(world: World, ann: Client) -> None:
    made = send(ann, "POST", f"{API}/agents", 201, persona_name="default/cto", project_id=world.project.pk)
    one = f"{API}/agents/{made['id']}"
    changed = send(
        ann, "PUT", one, name="Grace", persona={"mission": "Ship it.", "tone": "", "autonomy_level": "full"}
    )
    assert (changed["name"], changed["persona"]["mission"], changed["persona"]["autonomy_level"]) == (
        "Grace", "Ship it.", "full",
    )  # fmt: skip
    assert changed["persona_name"] == f"projects/{world.project.pk}/cto/agent-{made['id']}"
    persona = Agent.objects.get(pk=made["id"]).persona
    assert persona.instructions.endswith("Mission: Ship it.")
    assert Persona.objects.get(name="default/cto").metadata.get("mission") is None
    again = send(ann, "PATCH", one, persona={"tone": "Dry."})
    assert (again["persona_name"], again["persona"]["version"]) == (changed["persona_name"], 2)


def test_who_may_touch_agents(world: World, ann: Client, viewer: Client, stranger: Client) -> None:
    one = f"{API}/agents/{world.agent.pk}"
    assert [row["id"] for row in get(viewer, f"{API}/agents?project_id={world.project.pk}")] == [
        str(world.agent.pk)
    ]
    assert "persona" not in get(viewer, f"{API}/agents")[0]
    assert [row["id"] for row in get(stranger, f"{API}/agents") if row["id"] == str(world.agent.pk)] == []
    for action in ("pause", "resume", "stop", "clone", "activate"):
        send(viewer, "POST", f"{one}/{action}", 403)
        send(stranger, "POST", f"{one}/{action}", 404, new_persona_name="x")
    send(ann, "DELETE", one, 403)
    send(stranger, "POST", f"{API}/agents", 404, persona_name="cto", project_id=world.project.pk)
    for body in (
        {},
        {"persona_name": "cto"},
        {"persona_name": 7, "project_id": "x"},
        {"persona_name": "cto", "project_id": -1},
    ):
        send(ann, "POST", f"{API}/agents", 400, **body)
    send(ann, "POST", f"{API}/agents", 404, persona_name="plumber", project_id=world.project.pk)
    assert Client().get(f"{API}/agents").status_code == 401


def test_more_rows_cost_no_more_queries(world: World, ann: Client) -> None:
    def counted() -> list[int]:
        found = []
        for path in ("agents", "personas", "messages", f"org-charts/{world.project.pk}"):
            with CaptureQueriesContext(connection) as queries:
                get(ann, f"{API}/{path}")
            found.append(len(queries))
        return found

    before = counted()
    for number in range(5):
        send(ann, "POST", f"{API}/agents", 201, persona_name="cto", project_id=world.project.pk)
        send(ann, "POST", f"{QA}/clone", 201, new_name=f"own/tester-{number}")
        send(
            ann, "POST", f"{API}/messages", 201,
            project_id=world.project.pk, to_role="cto", subject="Hi", body=str(number),
        )  # fmt: skip
    assert counted() == before

"""Work given by people and programs: tasks in words, claims, second dispatches, errors that are filed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Role
from apps.agents.lifecycle import agent_spawn
from apps.beads.models import Bead
from apps.beads.services import bead_close
from apps.engine.models import Run
from apps.events.models import Event
from apps.workflows.auto_filing import MOST_AN_HOUR
from tests.api.clients import client_of, send
from tests.workflows.studio import APPROVE, Answer, Studio, done, write
from tests.world import World, world_build

Open = Callable[..., Studio]
ERROR = {
    "source": "checkout", "error_type": "KeyError", "message": "KeyError: 'tax'",
    "stack_trace": "File a.py, line 3, in total\nKeyError: 'tax'", "context": {"page": "/cart"},
}  # fmt: skip


def noting(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
    return APPROVE if kind == "review" else [write("NOTES.md", f"{title}\n"), done("Noted.")]


@pytest.fixture
def world(db: None) -> World:
    return world_build(rows=1)


@pytest.fixture
def ann(world: World) -> Client:
    return client_of("ann", world.organization)


def test_a_task_in_words_is_done_by_whom_it_was_given(open_studio: Open) -> None:
    studio = open_studio(noting)
    ann = client_of("ann", studio.organization)
    agent_spawn(project=studio.project, role="engineering-manager", name="Ada")
    agent = agent_spawn(project=studio.project, role="engineering-manager", name="Ben")
    body = {"project_id": studio.project.pk, "agent_id": f"agent-{agent.pk}", "prompt": "Note it. Then rest."}
    told = send(ann, "post", "work", body)
    assert told.status_code == 202, told.content
    assert (told.json()["Success"], told.json()["CompletedAt"]) == (False, None)
    studio.run()
    task = send(ann, "get", f"work/{told.json()['TaskID']}").json()
    assert (task["Success"], task["Response"], task["AgentID"]) == (True, "Noted.", f"agent-{agent.pk}")
    assert (task["Actions"], task["LoopIterations"], task["LoopTerminalReason"]) == (
        ["write_file", "done"], 1, "merged",
    )  # fmt: skip
    bead = Bead.objects.get(key=task["TaskID"])
    assert (bead.title, bead.description) == ("Note it.", "Note it. Then rest.")
    assert "Note it." in studio.main_file("NOTES.md")


def test_a_bead_is_claimed_for_one_agent_and_dispatched_again(open_studio: Open) -> None:
    studio = open_studio(noting, max_sessions=1)
    ann = client_of("ann", studio.organization)
    ada = agent_spawn(project=studio.project, role="engineering-manager", name="Ada")
    other = agent_spawn(project=studio.project, role="qa-engineer", name="Quinn")
    bead = studio.bead("First", status="deferred")
    at = f"beads/{bead.key}"
    assert send(ann, "post", f"{at}/claim", {"agent_id": ada.pk}).status_code == 409  # not open
    Bead.objects.filter(pk=bead.pk).update(status="open")
    assert send(ann, "post", f"{at}/claim", {"agent_id": other.pk}).status_code == 400
    assert send(ann, "post", f"{at}/claim", {"agent_id": "agent-999"}).status_code == 404
    for _ in range(2):
        claimed = send(ann, "post", f"{at}/claim", {"agent_id": f"agent-{ada.pk}"})
        assert (claimed.status_code, claimed.json()) == (200, {"status": "claimed"}), claimed.content
    assert send(ann, "post", f"{at}/claim", {"agent_id": other.pk}).status_code == 409
    assert send(ann, "post", f"{at}/claim", {"agent_id": "me"}).status_code == 409
    again = send(ann, "post", f"{at}/redispatch", {"reason": "Another way"})
    assert (again.status_code, again.json()["context"]["redispatch_reason"]) == (202, "Another way")
    studio.run()
    bead = studio.refreshed(bead)
    assert (bead.status, bead.attempts) == ("closed", 2)
    assert [run.status for run in Run.objects.filter(bead_id=bead.pk).order_by("id")] == ["canceled", "done"]


def test_a_person_takes_a_bead_and_gives_it_back(world: World, ann: Client) -> None:
    at = f"beads/{world.beads[0].key}"
    Run.objects.all().delete()
    assert send(ann, "post", f"{at}/claim", {"agent_id": "me"}).status_code == 200
    bead = send(ann, "get", at).json()
    assert (bead["status"], bead["assigned_to"]) == ("in_progress", "ann")
    back = send(ann, "post", f"{at}/redispatch", {"reason": "No time"})
    assert (back.status_code, back.json()["status"], back.json()["assigned_to"]) == (200, "open", "")
    assert Event.objects.filter(kind="bead.redispatched", actor="ann").count() == 1
    vic = client_of("vic", world.organization, Role.VIEWER)
    for action, body in (("claim", {"agent_id": "me"}), ("redispatch", {})):
        assert send(vic, "post", f"{at}/{action}", body).status_code == 403
    task: dict[str, Any] = {"project_id": world.project.pk, "prompt": "x", "role": "Nobody at all"}
    assert send(ann, "post", "work", task).status_code == 400
    assert send(ann, "post", "work", {**task, "role": "", "agent_id": "agent-999"}).status_code == 404


def test_one_error_is_one_open_bead(world: World, ann: Client) -> None:
    def file(**more: Any) -> Any:
        return send(ann, "post", "beads/auto-file", {"project_id": world.project.pk, **ERROR, **more})

    first = file(severity="low")
    assert (first.status_code, first.json()["created"]) == (201, True), first.content
    bead = Bead.objects.get(key=first.json()["bead_id"])
    assert (bead.type, bead.priority, bead.title) == ("bug", 3, "[auto-filed] [checkout] KeyError: 'tax'")
    assert (bead.labels, bead.context["page"]) == (["auto-filed", "checkout", "KeyError"], "/cart")
    again = file(severity="critical", stack_trace="File a.py, line 77, in total\nKeyError: 'tax'")
    assert (again.status_code, again.json()["bead_id"], again.json()["created"]) == (200, bead.key, False)
    bead.refresh_from_db()
    assert (bead.priority, bead.context["occurrences"]) == (0, "2")
    for odd in ("many", "", "9" * 5000, [1]):
        send(ann, "patch", f"beads/{bead.key}", {"context": {"occurrences": odd}})
        assert file().status_code == 200, odd
        bead.refresh_from_db()
        assert bead.context["occurrences"] == "2"
    assert file(message="TypeError: other").json()["bead_id"] != bead.key
    bead_close(bead=bead, reason="Fixed.")
    assert file().status_code == 201  # it came back
    for number in range(MOST_AN_HOUR - 3):
        world.project.beads.create(key=f"x-{number}", title="x", origin=f"auto-filed:{number}:1")
    answer = file(message="Yet another")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "600")
    assert send(ann, "post", "beads/auto-file", ERROR).status_code == 404  # nothing improves itself here
    assert file(severity="dire").status_code == 400

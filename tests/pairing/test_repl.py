"""Ask Loom: over HTTP with a scripted model, and what the question and the order come to."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from apps.accounts.models import Role
from apps.accounts.services import organization_ensure
from apps.beads.models import Bead
from apps.core.masking import scope_of, secrets_note
from apps.pairing.facts import CHARS, facts_of
from apps.pairing.models import Exchange
from apps.pairing.repl import loom_ask
from apps.providers.models import Call
from apps.providers.services import budget_set
from tests.api.clients import client_of, person, send
from tests.pairing.conftest import Messages, Room, talking, until, viewer_of, words
from tests.world import World, world_build


@pytest.fixture
def world(db: None) -> World:
    return world_build(rows=2)


def test_a_question_is_answered_from_the_work_and_an_order_is_carried_out(
    room: Room, ann: httpx.Client
) -> None:
    slow = threading.Event()

    def says(messages: Messages) -> Any:
        if "# Task: ask" in str(messages[1]["content"]):
            slow.wait(5)
            return f"{room.bead.key} is deferred."
        return "I look into it."

    room.says = says
    late = ann.post("repl", json={"message": "Still there?", "timeout_sec": 1})
    assert (late.status_code, late.json()["status"]) == (202, "answering")
    slow.set()
    assert late.headers["Location"] == f"/api/v1/repl/{late.json()['id']}"
    until(lambda: ann.get(f"repl/{late.json()['id']}").json()["status"] == "done", "the answer")
    asked = ann.post("repl", json={"message": "What about Subtract?", "project_id": room.studio.project.pk})
    assert asked.status_code == 200, asked.text
    body, call = asked.json(), Call.objects.filter(purpose="repl").order_by("-id")[0]
    assert body["response"] == f"{room.bead.key} is deferred."
    assert (body["provider_name"], body["model"], body["bead_id"]) == ("studio", "script", "")
    assert body["tokens_used"] == call.prompt_tokens + call.completion_tokens > 0
    assert (call.status, call.project_id, call.cost_microusd > 0) == ("settled", room.studio.project.pk, True)
    prompt = str(room.asked[1][1]["content"])
    assert f"{room.bead.key} (deferred" in prompt
    assert "Calculator (id" in prompt
    assert ann.get(f"repl/{body['id']}").json() == body
    with talking(ann, "GET", f"repl/{body['id']}/stream") as events:
        assert words(list(events)) == body["response"]
    ordered = ann.post("repl", json={"message": "Engineering Manager: add a power function"})
    assert ordered.status_code == 201, ordered.text
    bead = Bead.objects.get(key=ordered.json()["bead_id"])
    assert (bead.role, bead.priority, bead.title) == ("engineering-manager", 0, "add a power function")
    with room.client(viewer_of(room.studio.organization)) as viewer:
        assert viewer.post("repl", json={"message": "Well?"}).status_code == 403
        assert viewer.get(f"repl/{body['id']}").status_code == 404  # another's question
    organization = room.studio.organization
    budget_set(organization_id=organization.pk, scope="organization", scope_id=organization.pk, limit_usd=0)
    assert ann.post("repl", json={"message": "And now?"}).status_code == 402


def test_what_one_may_not_read_is_not_among_the_facts(world: World) -> None:
    hidden = world_build("hidden", rows=1)
    ann = person("ann", world.organization)
    facts = facts_of(ann, world.organization, None, f"How is {hidden.beads[0].key}?")
    assert world.beads[0].key in facts
    assert "decision" in facts
    assert hidden.beads[0].key not in facts
    assert "hidden" not in facts
    assert "Store links" not in facts_of(
        person("eve", organization_ensure(name="others")), world.organization, None, "links"
    )


def test_a_secret_is_masked_before_a_fact_is_cut(world: World) -> None:
    secrets_note(secret := "canary-7f3a9c21d5e8b604", scope=scope_of(world.project.pk))
    for at in range(0, CHARS, 9):
        world.beads[0].description = f"{'x' * at} {secret}"
        world.beads[0].save(update_fields=["description"])
        facts = facts_of(person(f"ann{at}", world.organization), world.organization, None, "links")
        assert secret[:9] not in facts


def test_facts_take_as_many_queries_for_many_beads(world: World, django_assert_max_num_queries: Any) -> None:
    ann = person("ann", world.organization)
    for number in range(40):
        world.project.beads.create(key=f"x-{number}", title="Links " * 40, description="y" * 900)
    with django_assert_max_num_queries(20):
        assert len(facts_of(ann, world.organization, world.project, "links")) < 40_000


@pytest.mark.parametrize(
    ("message", "role"),
    [
        ("engineering manager: do it", "engineering-manager"),
        ("Engineer: do it", "engineering-manager"),  # an agent's name
        ("Note: this is a question", None),
        ("http://x.invalid: what is that?", None),
        ("Engineering manager:", None),
    ],
)
def test_what_begins_with_a_role_is_an_order(world: World, message: str, role: str | None) -> None:
    asked = loom_ask(person=person("ann", world.organization), text=message, organization=world.organization)
    assert (asked.bead.role if asked.bead else None) == role
    assert (asked.exchange is None) == (role is not None)


def test_a_bad_question_is_refused_and_one_of_elsewhere_not_found(world: World) -> None:
    ann = client_of("ann", world.organization)
    other = world_build("other", rows=0)
    assert send(ann, "post", "repl", {"message": " "}).status_code == 400
    assert send(ann, "post", "repl", {"message": "x" * 8_001}).status_code == 400
    assert send(ann, "post", "repl", {"message": "?", "project_id": other.project.pk}).status_code == 404
    vic = client_of("vic", world.organization, Role.VIEWER)
    assert send(vic, "post", "repl", {"message": "?"}).status_code == 403
    assert not Exchange.objects.exists()

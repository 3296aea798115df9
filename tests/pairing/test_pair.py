"""A person and an agent at work on one bead, over HTTP, with a scripted model behind a socket."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.key_services import key_create
from apps.accounts.models import Membership, User
from apps.accounts.services import organization_ensure
from apps.agents.acting import Acting
from apps.agents.hub import Hub
from apps.agents.models import Agent, Claim, Session
from apps.agents.places import hub_path, session_ref
from apps.beads.models import Bead
from apps.engine import runner
from apps.engine.models import Run
from apps.providers.models import Call
from apps.providers.services import budget_set
from apps.workflows.dispatch import dispatch
from tests.api.clients import person
from tests.pairing.conftest import (
    LONG,
    Killed,
    Messages,
    Room,
    newest,
    pair,
    talking,
    until,
    viewer_of,
    words,
)
from tests.workflows.studio import APPROVE, CALC, Answer, last, replies, write

SUBTRACT = CALC + "\n\ndef sub(a, b):\n    return a - b\n"


def test_an_answer_is_streamed_as_it_is_spoken_and_the_conversation_goes_on(
    room: Room, ann: httpx.Client
) -> None:
    room.says = lambda messages: f"You said {last(messages)}. {LONG}"
    room.studio.server.switches.chunk_delay = 0.002
    events = pair(ann, room, "alpha")
    kinds = [kind for kind, _, _ in events]
    assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("connected", "done", {"chunk"})
    assert kinds.count("chunk") > 2
    assert words(events).startswith("You said alpha. One word")
    assert words(events).endswith("so it goes on. ")
    hello, end = events[0][2], events[-1][2]
    assert (hello["agent_name"], hello["message_count"]) == (room.agent.name, 1)
    call = Call.objects.get(session_id=int(hello["session_id"]))
    assert end["tokens_used"] == call.prompt_tokens + call.completion_tokens
    assert (end["status"], call.status, call.bead_id) == ("done", "settled", room.bead.pk)
    assert call.user_id == User.objects.get(username="ann").pk
    again = pair(ann, room, "beta")
    assert again[0][2] | {"exchange_id": ""} == hello | {"message_count": 2, "exchange_id": ""}
    said = [message["content"] for message in room.asked[-1] if message["role"] == "user"]
    assert said[1:] == ["alpha", "beta"]
    context = ann.get(f"beads/{room.bead.key}/conversation").json()
    assert set(context) == {
        "session_id", "bead_id", "project_id", "messages", "created_at", "updated_at", "expires_at",
        "token_count", "metadata", "entity_metadata",
    }  # fmt: skip
    spoken = [(one["role"], one["content"][:14]) for one in context["messages"]][2:]
    assert spoken == [
        ("user", "alpha"), ("assistant", "You said alpha"), ("user", "beta"), ("assistant", "You said beta."),
    ]  # fmt: skip
    assert Agent.objects.get(pk=room.agent.pk).status == "idle"  # talking is not its work


def test_a_conversation_may_be_the_first_that_happens_in_a_project(room: Room, ann: httpx.Client) -> None:
    shutil.rmtree(hub_path(room.studio.project.pk))

    events = pair(ann, room, "Hi")

    assert (words(events), events[-1][2]["status"]) == ("Hello.", "done")
    session = Session.objects.get(pk=events[0][2]["session_id"])
    assert session.base_commit == Hub(hub_path(session.project_id)).head("main")


def test_what_was_made_is_claimed_verified_reviewed_and_merged(room: Room, ann: httpx.Client) -> None:
    def says(messages: Messages) -> Answer:
        if str(messages[1]["content"]).startswith("# Task: review"):
            return APPROVE
        return "Done: sub() is there." if replies(messages) else [write("calc/__init__.py", SUBTRACT)]

    room.says = says
    events = pair(ann, room, "Add sub().")
    actions = next(data for kind, _, data in events if kind == "actions")
    assert actions["actions"][0]["type"] == "write_file"
    assert actions["results"][0]["ok"] is True
    assert words(events) == "Done: sub() is there."
    session_id = events[0][2]["session_id"]
    assert "def sub" not in room.studio.main_file("calc/__init__.py")
    claimed = ann.post(f"pair/{session_id}/claim", json={"summary": "sub()"})
    assert claimed.status_code == 202, claimed.text
    until(lambda: Bead.objects.get(pk=room.bead.pk).status == "closed", "the merge")
    assert "def sub" in room.studio.main_file("calc/__init__.py")
    claim = Claim.objects.get(bead=room.bead)
    assert (claim.summary, claim.evidence.filter(passed=True).count()) == ("sub()", 2)
    assert ann.post(f"pair/{session_id}/claim", json={}).status_code == 409
    assert pair(ann, room, "More?")[0][2]["session_id"] != session_id


def test_what_a_person_rejects_is_gone_for_the_agent_too(
    room: Room, ann: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Answer] = [
        [write("calc/__init__.py", SUBTRACT)], "Done.",
        [("read_file", {"path": "calc/__init__.py"})], "I see.",
    ]  # fmt: skip
    room.says = lambda messages: answers.pop(0)
    session_id = pair(ann, room, "Add sub().")[0][2]["session_id"]
    written = Session.objects.get(pk=session_id).head_commit
    commit_tree, meanwhile = Hub.commit_tree, [written[::-1]]
    was_inside: list[bool] = []

    def watched(hub: Hub, *given: Any) -> str:
        was_inside.append(connection.in_atomic_block)
        if meanwhile:
            Session.objects.filter(pk=session_id).update(head_commit=meanwhile.pop())
        return commit_tree(hub, *given)

    monkeypatch.setattr(Hub, "commit_tree", watched)
    reject = f"pair/{session_id}/reject"
    assert ann.post(reject, json={"paths": ["elsewhere.py"]}).status_code == 404
    assert ann.post(reject, json={}).status_code == 409, "it was changed at this moment"
    project_id = Session.objects.get(pk=session_id).project_id
    assert Hub(hub_path(project_id)).ref(session_ref(session_id)) == written, "a refusal moves nothing"
    Session.objects.filter(pk=session_id).update(head_commit=written)
    assert ann.post(reject, json={}).json()["rejected"] == ["calc/__init__.py"]
    assert was_inside == [False, False], "git runs, and a transaction waits for it"
    events = pair(ann, room, "Look again.")
    (read,) = next(data["results"] for kind, _, data in events if kind == "actions")
    assert read["ok"]
    assert "def sub" not in read["text"]
    assert "rejected what you changed" in str(room.asked[-1])


def test_a_long_conversation_is_read_in_parts(room: Room, ann: httpx.Client) -> None:
    session_id = [pair(ann, room, f"message {number}")[0][2]["session_id"] for number in range(4)][-1]
    address, before, said = f"conversations/{session_id}?limit=3", None, list[str]()
    while True:
        body = ann.get(address + (f"&before={before}" if before else "")).json()
        said = [message["content"] for message in body["messages"]] + said
        before = body["metadata"]["older"]
        if before is None:
            break
    whole = ann.get(f"conversations/{session_id}").json()
    assert said == [message["content"] for message in whole["messages"]]
    assert whole["metadata"]["older"] is None
    assert whole["metadata"]["turn_count"] == 4
    assert ann.get(f"beads/{room.bead.key}/conversation?limit=1").json()["metadata"]["older"] == 4
    for wrong in ("limit=0", "limit=x", "before=0"):
        assert ann.get(f"conversations/{session_id}?{wrong}").status_code == 400


def test_the_agent_may_do_what_the_person_may_and_no_more(room: Room, ann: httpx.Client) -> None:
    room.says = lambda messages: (
        [write("calc/__init__.py", "evil")] if replies(messages) % 2 == 0 else str(messages[-1]["content"])
    )
    organization = room.studio.organization
    keeper = User.objects.get(username="ann")
    scopes = ["conversations:*", "projects:read", "agents:read", "beads:read"]
    _, secret = key_create(user=keeper, organization=organization, name="talk", scopes=scopes)
    with httpx.Client(base_url=ann.base_url, headers={"X-API-Key": secret}, trust_env=False) as talker:
        events = pair(talker, room)
    assert "write_file is not open to you here" in words(events)
    assert not Session.objects.get(kind="pair").head_commit
    tools = room.studio.server.requests[-1].body["tools"]
    assert "write_file" not in [tool["function"]["name"] for tool in tools]
    pair(ann, room)  # the same conversation, with more rights
    assert Session.objects.get(kind="pair").head_commit
    with room.client(viewer_of(organization)) as viewer:
        assert viewer.post("pair", json=room.body()).status_code == 403
        session_id = Session.objects.get(kind="pair").pk
        assert viewer.get(f"pair/{session_id}").json()["status"] == "done"
        for action in ("stop", "claim"):
            assert viewer.post(f"pair/{session_id}/{action}", json={}).status_code == 403


def test_one_who_loses_the_right_in_the_middle_is_not_answered(room: Room, ann: httpx.Client) -> None:
    def says(messages: Messages) -> Answer:
        Membership.objects.filter(user__username="ann").update(role="viewer")
        return [("read_file", {"path": "calc/__init__.py"})]

    room.says = says
    events = pair(ann, room)
    assert [kind for kind, _, _ in events][-2:] == ["error", "done"]
    assert "any more" in events[-2][2]["error"]
    assert newest().status == "failed"


def test_others_find_nothing(room: Room, ann: httpx.Client) -> None:
    session_id = pair(ann, room)[0][2]["session_id"]
    eve = person("eve", organization_ensure(name="others"))
    with room.client(eve) as other:
        assert other.post("pair", json=room.body()).status_code == 404
        for at in (f"pair/{session_id}", f"pair/{session_id}/stream", f"conversations/{session_id}",
                   f"beads/{room.bead.key}/conversation"):  # fmt: skip
            assert other.get(at).status_code == 404, at
        for at in ("pair/{}/stop", "pair/{}/claim", "conversations/{}/reset"):
            assert other.post(at.format(session_id), json={}).status_code == 404, at
        assert other.delete(f"conversations/{session_id}").status_code in {403, 404}
        assert other.get(f"conversations?project_id={room.studio.project.pk}").json()["conversations"] == []
    with room.client() as nobody:
        assert nobody.post("pair", json=room.body()).status_code == 401
        assert nobody.get(f"pair/{session_id}/stream").status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400), ({"agent_id": "x", "bead_id": "y", "message": "z"}, 404), ({"message": ""}, 400),
        ({"message": "   "}, 400), ({"message": 7, "agent_id": {}}, 400), ({"agent_id": "9" * 30}, 404),
        ({"bead_id": "nope-1"}, 404), ({"message": "x" * 100_001}, 400), ({"message": "a\x00b"}, 202),
        ({"message": None}, 400), ({"stream": "perhaps"}, 400),
    ],
)  # fmt: skip
def test_garbage_is_refused(room: Room, ann: httpx.Client, body: dict[str, object], status: int) -> None:
    whole = {**room.body(stream=False), **body} if body else {}
    assert ann.post("pair", json=whole).status_code == status
    assert ann.post("pair", content=b"[1, 2").status_code == 400


def test_a_bead_that_a_person_pairs_on_is_not_given_to_anybody_else(room: Room, ann: httpx.Client) -> None:
    pair(ann, room)
    Bead.objects.filter(pk=room.bead.pk).update(status="open")
    assert dispatch(room.studio.project.pk) == 0
    Session.objects.filter(kind="pair").update(updated_at=timezone.now() - timedelta(hours=2))
    assert dispatch(room.studio.project.pk) == 1
    assert Bead.objects.get(pk=room.bead.pk).status == "in_progress"


def test_a_worker_that_dies_in_the_middle_is_followed_by_another(
    room: Room, ann: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies after the reply was paid: that reply is acted on, not asked for again."""
    read = ("read_file", {"path": "calc/__init__.py"})
    room.says = lambda messages: "Read it." if replies(messages) else [read]
    real = Acting.run

    def die(self: Acting) -> None:
        monkeypatch.setattr(Acting, "run", real)
        raise Killed

    monkeypatch.setattr(Acting, "run", die)
    with talking(ann, "POST", "pair", json=room.body()) as events:
        next(events)
        until(lambda: not room.worker.is_alive(), "the death")
        held = Run.objects.filter(pk=newest().run_id or 0, status="running")
        assert held.update(lease_until=timezone.now() - timedelta(seconds=1)) == 1
        runner.sweep()
        room.worker_start()
        rest = list(events)
    assert [kind for kind, _, _ in rest if kind != "reset"] == ["actions", "chunk", "done"]
    assert (newest().answer, len(room.asked)) == ("Read it.", 2)


def test_a_model_that_fails_says_why_and_may_be_asked_again(room: Room, ann: httpx.Client) -> None:
    room.studio.server.fail_next("400", times=1, body="no such thing")
    events = pair(ann, room, "first")
    assert [kind for kind, _, _ in events] == ["connected", "error", "done"]
    assert "no such thing" in events[1][2]["error"]
    assert words(pair(ann, room, "second")) == "Hello."
    said = [message["content"] for message in room.asked[-1] if message["role"] == "user"]
    assert said[1:] == ["first", "second"]


def test_budgets_hold(room: Room, ann: httpx.Client) -> None:
    project = room.studio.project
    budget_set(
        organization_id=project.organization_id, scope="project", scope_id=project.pk, limit_usd="0.000001"
    )
    events = pair(ann, room)
    assert (events[1][0], events[1][2]["code"]) == ("error", "budget_exceeded")
    assert not Call.objects.exclude(status="reserved").exists()
    said = [{"role": "user", "content": "Hi"}]
    answer = ann.post("chat/completions", json={"project_id": project.pk, "messages": said})
    assert (answer.status_code, answer.json()["code"]) == (402, "budget_exceeded")


# -- conversations ---------------------------------------------------------------------------------


def test_conversations_are_listed_read_reset_and_deleted(room: Room, ann: httpx.Client) -> None:
    session_id = pair(ann, room, "alpha")[0][2]["session_id"]
    project_id = room.studio.project.pk
    listed = ann.get(f"conversations?project_id={project_id}&limit=5").json()
    assert (listed["project_id"], listed["limit"]) == (str(project_id), 5)
    assert [one["session_id"] for one in listed["conversations"]] == [session_id]
    assert ann.get("conversations").status_code == 400
    for limit in ("0", "1001", "x"):
        assert ann.get(f"conversations?project_id={project_id}&limit={limit}").status_code == 400
    one = ann.get(f"conversations/{session_id}").json()
    assert [message["role"] for message in one["messages"]] == ["system", "user", "user", "assistant"]
    answer = ann.post(f"conversations/{session_id}/reset", json={"keep_system_message": True})
    assert answer.json() == {
        "message": "Conversation reset", "session_id": session_id, "keep_system_message": True,
    }  # fmt: skip
    assert len(ann.get(f"conversations/{session_id}").json()["messages"]) == 2
    assert pair(ann, room, "beta")[0][2]["session_id"] == session_id
    said = [message["content"] for message in room.asked[-1] if message["role"] == "user"]
    assert said[1:] == ["beta"]
    with room.client(person("root", room.studio.organization, "admin")) as admin:
        assert ann.delete(f"conversations/{session_id}").status_code == 403
        assert admin.delete(f"conversations/{session_id}").json()["session_id"] == session_id
        assert admin.get(f"conversations/{session_id}").status_code == 404
        work = Session.objects.create(
            project=room.studio.project, bead=room.bead, agent=room.agent, kind="work", origin="w"
        )
        assert admin.delete(f"conversations/{work.pk}").status_code == 409
        assert admin.post(f"conversations/{work.pk}/reset", json={}).status_code == 409

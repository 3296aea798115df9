"""Turns that only look are kept with their reply: one step, and what could go wrong with that."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from apps.agents.actions import REGISTRY
from apps.agents.letters import letter_send
from apps.agents.models import Agent, Message
from apps.agents.statements import letters_wait
from apps.beads.models import Bead
from apps.engine.models import Step
from apps.events.models import Event
from apps.providers.models import Call
from tests.workflows.studio import APPROVE, Answer, Studio, done, replies, write

Open = Callable[..., Studio]
LOOK = ("read_file", {"path": "calc/__init__.py"})
READS: list[Answer] = [[write("one.txt", "1")], [LOOK], [("read_tree", {}), LOOK], [LOOK, done()]]


def reader(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
    return APPROVE if kind == "review" else READS[replies(messages)]


def test_a_turn_that_only_looks_is_one_step_with_its_reply(open_studio: Open) -> None:
    studio = open_studio(reader)
    bead = studio.bead(title="Read")
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    (session,) = studio.sessions("work")
    turns = studio.turns(session)
    assert [len(turn.results) for turn in turns] == [1, 1, 2, 2]
    assert "return a + b" in turns[1].results[0]["text"]
    assert "tests/" in turns[2].results[0]["text"]
    assert all(turn.acted_at for turn in turns)
    queries = Step.objects.filter(run__bead_id=bead.pk, name="query", output__acted=True)
    assert sorted(queries.values_list("output__turn", flat=True)) == [2, 3]
    told = Event.objects.filter(subject=f"session:{session.pk}", kind="turn.acted").order_by("id")
    assert [event.data["turn"] for event in told] == [1, 2, 3, 4]


@pytest.mark.parametrize("turn", [1, 2], ids=["at work", "looking"])
def test_a_message_that_comes_meanwhile_is_told_once_and_kept(open_studio: Open, turn: int) -> None:
    heard: list[int] = []

    def model(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
        if kind == "work":
            heard.append(sum(str(message["content"]).count("Mind the gap.") for message in messages))
            if replies(messages) == turn - 1:
                agent = Agent.objects.get(current_bead__title="Read")
                letter_send(
                    project=studio.project,
                    to_role=agent.role,
                    subject="Hm",
                    body="Mind the gap.",
                    sender="ada",
                )
        return reader(kind, title, messages)

    studio = open_studio(model)
    studio.bead(title="Read")
    studio.run()
    assert heard == [0] * turn + [1] * (4 - turn)
    (session,) = studio.sessions("work")
    assert Message.objects.get(subject="Hm").delivered_to_id == session.pk
    assert "Mind the gap." in studio.turns(session)[turn - 1].results[-1]["say"]


def test_nobody_looks_for_messages_that_are_meant_for_others(open_studio: Open) -> None:
    found: list[str] = []
    studio = open_studio(reader)
    studio.bead(title="Read")
    studio.run()
    (session,) = studio.sessions("work")
    other = Agent.objects.exclude(pk=session.agent_id).first()
    asked: dict[str, Any] = {"project": studio.project, "to_role": session.agent.role, "sender": "ada"}

    def look() -> None:
        letters_wait(session, session.bead_id, then=lambda: found.append("some"))

    letter_send(**asked, subject="a", body="For another.", to_agent=other)
    letter_send(**asked, subject="b", body="Of its own.", session=session)
    look()
    assert found == []
    letter_send(**asked, subject="c", body="For its role.")
    look()
    assert found == ["some"]


def test_a_look_that_the_platform_fails_is_taken_again_without_paying_again(
    open_studio: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = REGISTRY["read_file"]
    real, failures = kind.act, [OSError(errno.EIO, "Input/output error")]

    def act(self: Any, ctx: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(self, ctx)

    monkeypatch.setattr(kind, "act", act)
    studio = open_studio(reader)
    bead = studio.bead(title="Read")
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    (session,) = studio.sessions("work")
    assert Call.objects.filter(session_id=session.pk).count() == len(studio.turns(session)) == 4
    assert "return a + b" in studio.turns(session)[1].results[0]["text"]
    queries = Step.objects.filter(run__bead_id=bead.pk, name="query", output__acted=True)
    assert list(queries.values_list("output__turn", flat=True)) == [3]

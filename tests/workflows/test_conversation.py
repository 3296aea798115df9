"""What the model is shown: whole, valid for strict servers, and shorter when it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from apps.beads.models import Bead
from tests.workflows.studio import APPROVE, Answer, Studio, done, replies, write

Messages = list[dict[str, Any]]
Open = Callable[..., Studio]
LONG = "x" * 5000 + "\n"


def reading_a_lot(kind: str, title: str, messages: Messages) -> Answer:
    if kind == "review":
        return APPROVE
    count = replies(messages)
    if count < 5:
        return [write(f"notes/{count}.txt", LONG), ("read_file", {"path": f"notes/{count}.txt"})]
    return [done()]


def work_requests(studio: Studio) -> list[Messages]:
    bodies = [request.body["messages"] for request in studio.server.requests]
    return [messages for messages in bodies if messages[1]["content"].startswith("# Task: work")]


def test_every_tool_call_is_answered_once_and_history_only_grows(open_studio: Open) -> None:
    studio = open_studio(reading_a_lot)
    studio.bead()
    studio.run()

    asked = work_requests(studio)
    for earlier, later in pairwise(asked):
        assert later[: len(earlier)] == earlier, "a prefix that changes is paid for again by every cache"
    for messages in asked:
        for place, message in enumerate(messages):
            ids = [call["id"] for call in message.get("tool_calls", [])]
            answers = [one["tool_call_id"] for one in messages[place + 1 : place + 1 + len(ids)]]
            assert answers == ids
    everything = [call["id"] for message in asked[-1] for call in message.get("tool_calls", [])]
    assert len(everything) == len(set(everything))


def test_a_conversation_that_does_not_fit_is_shortened_but_keeps_its_task(open_studio: Open) -> None:
    numbers = iter(range(9))

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind != "work":
            return reading_a_lot(kind, title, messages)
        number = next(numbers)
        path = f"notes/{number}.txt"
        return [write(path, LONG), ("read_file", {"path": path})] if number < 8 else [done()]

    studio = open_studio(model)
    studio.server.switches.max_bytes = 60_000
    bead = studio.bead(description="Remember me: this is the task.")

    studio.run()

    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    session = studio.sessions("work")[0]
    assert session.compacted_to > 0
    shortened = work_requests(studio)[-1]
    assert "Remember me: this is the task." in shortened[1]["content"]
    assert "retold to save room" in shortened[1]["content"]
    assert studio.main_file("notes/0.txt") == LONG


def test_a_model_that_turns_out_to_have_no_tools_goes_on_in_json(open_studio: Open) -> None:
    switched: list[int] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "work" and replies(messages) == 2 and not switched:
            switched.append(1)
            studio.server.switches.tools = False
        return reading_a_lot(kind, title, messages)

    studio = open_studio(model)
    bead = studio.bead()

    studio.run()

    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    first, *_, final = work_requests(studio)
    assert all("tool_calls" not in message and message["role"] != "tool" for message in final)
    assert '"write_file"' in final[2]["content"], "what was said with tools is told again as JSON"
    assert "Answer with one JSON object" in final[0]["content"]
    assert "Answer with one JSON object" not in first[0]["content"]


def test_notes_messages_and_the_guide_of_the_repository_reach_later_sessions(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if title == "First":
            return [
                ("remember", {"note": "Amounts are in cents."}),
                ("send_message", {"to_role": "tester", "subject": "Edge", "body": "Try zero."}),
                write("AGENTS.md", "Use tabs.\n"),
                done(),
            ]
        told = messages[1]["content"]
        assert "Amounts are in cents." in told
        assert "Edge" in told
        assert "Try zero." in told
        assert "Use tabs." in told
        return [write("b.txt", "b\n"), done()]

    studio = open_studio(model)
    first = studio.bead("First")
    second = studio.bead("Second", role="qa-engineer", blocked_by=[first])
    studio.run()
    assert studio.refreshed(second).status == Bead.Status.CLOSED

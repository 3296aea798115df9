"""Sessions longer than the model's window: what stays in sight, what is retold, what can be read again."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from pytest_django import Settings

from apps.agents.conversation import Conversation
from apps.agents.memory_models import Compaction, Output
from apps.beads.models import Bead
from apps.core.errors import BudgetExceeded
from apps.providers import gateway, pool
from apps.providers.models import Call, Provider
from tests.workflows.studio import APPROVE, Answer, Studio, done, last, replies, write

Messages = list[dict[str, Any]]
Open = Callable[..., Studio]
TASK = "Remember me: this is the task."
OUTPUT = "".join(f"line {number} of the output\n" for number in range(2000))
STEPS = ["[x] look", "[ ] write every page", "[ ] check"]
SUMMARY = "Pages were written one after the other; page 3 was hard."


def window(studio: Studio, tokens: int) -> None:
    Provider.objects.filter(pk=studio.provider.pk).update(context_window=tokens)
    pool.forget()


def prompts(studio: Studio) -> list[Messages]:
    bodies = [request.body["messages"] for request in studio.server.requests]
    return [messages for messages in bodies if messages[1]["content"].startswith("# Task: work")]


def long_work(turns: int, *, summary: Answer = SUMMARY) -> Callable[[str, str, Messages], Answer]:
    """A model that reads on and on, and writes what it found now and then."""
    numbers = iter(range(turns))

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if kind == "compact":
            return summary
        number = next(numbers, None)
        if number is None:
            return [done()]
        if number == 0:
            return [("set_plan", {"steps": STEPS})]
        if number % 40 == 39:
            return [write(f"found/{number:03}.txt", f"{number}\n"), ("run_tests", {})]
        return [("read_file", {"path": "words.txt", "offset": 1 + 10 * number, "limit": 60})]

    return model


def with_words(studio: Studio) -> Studio:
    words = "".join(f"{number:05} the quick brown fox jumps over lazy dogs\n" for number in range(4000))
    studio.hub.commit_files("main", {"words.txt": words.encode()}, "Words", "Loom <loom@loom.invalid>")
    return studio


def size(messages: Any) -> int:
    return len(json.dumps(messages)) // 4


def test_a_session_of_ten_windows_keeps_task_plan_and_acceptance(
    open_studio: Open, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LOOM_MAX_TURNS = 400
    tokens = 24_000
    encoded: list[int] = []
    add = Conversation._add

    def counted(talk: Conversation, message: bytes) -> None:
        encoded.append(len(message))
        add(talk, message)

    monkeypatch.setattr(Conversation, "_add", counted)
    studio = with_words(open_studio(long_work(300)))
    window(studio, tokens)
    bead = studio.bead(description=TASK, acceptance=["All that was found is kept."])
    studio.run()

    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    (session,) = studio.sessions("work")
    turns = studio.turns(session)
    assert len(turns) == 301
    assert sum(size([turn.reply, turn.results]) for turn in turns) > 10 * tokens
    asked = prompts(studio)
    assert max(size(messages) for messages in asked) < tokens
    for messages in asked[-50:]:
        told = messages[1]["content"]
        for pinned in (TASK, "All that was found is kept.", *STEPS, SUMMARY, "found/159.txt", "run_tests in"):
            assert pinned in told
        assert [message["role"] for message in messages[:3]] == ["system", "user", "assistant"]
    made = list(session.compactions.all())
    assert all(one.by_model and one.tokens_after < 0.75 * one.tokens_before for one in made)
    # A new prefix is paid for once in a while, not in each turn.
    changed = sum(later[: len(earlier)] != earlier for earlier, later in pairwise(asked))
    assert changed == len(made) < len(asked) / 8
    paid = Call.objects.filter(session_id=session.pk, purpose="compact", status="settled")
    assert sorted(paid.values_list("pk", flat=True)) == sorted(one.call_id for one in made)
    assert len(encoded) < 4 * len(turns), (
        "each message is encoded once, and the few kept ones once a compaction"
    )
    # Read anew, as by another worker, it is the same to the byte.
    session.refresh_from_db()
    again = Conversation.load(session, studio.turns(session), session.compactions.last())
    assert [json.loads(message) for message in again.messages[: len(asked[-1])]] == asked[-1]


def test_where_the_model_gives_no_summary_the_platform_lists_what_was_done(open_studio: Open) -> None:
    studio = with_words(open_studio(long_work(40, summary="<think>hm</think>")))
    window(studio, 24_000)
    bead = studio.bead(description=TASK)
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    first = Compaction.objects.order_by("id").first()
    assert first is not None
    assert not first.by_model
    assert "- 2: read_file words.txt ok" in first.summary
    assert all(step in first.text for step in STEPS)


def test_without_money_for_a_summary_work_goes_on(open_studio: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    real = gateway.complete

    def poor(request: Any, **how: Any) -> Any:
        if request.payer.purpose == "compact":
            raise BudgetExceeded("Nothing is left for this.")
        return real(request, **how)

    monkeypatch.setattr(gateway, "complete", poor)
    studio = with_words(open_studio(long_work(40)))
    window(studio, 24_000)
    bead = studio.bead()
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert not Compaction.objects.filter(by_model=True).exists()
    assert Compaction.objects.exists()


def test_a_conversation_refused_as_too_long_is_made_shorter(open_studio: Open) -> None:
    """Where nobody told how large the window is, the refusal does."""
    studio = with_words(open_studio(long_work(40)))
    window(studio, 0)
    studio.server.switches.max_bytes = 80_000
    bead = studio.bead(description=TASK)
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert Compaction.objects.exists()
    assert all(TASK in messages[1]["content"] for messages in prompts(studio))


def test_a_model_without_tools_is_retold_alike(open_studio: Open) -> None:
    studio = with_words(open_studio(long_work(40), tools=False))
    window(studio, 24_000)
    bead = studio.bead(description=TASK)
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    roles = [message["role"] for message in prompts(studio)[-1]]
    assert roles == ["system", *["user", "assistant"] * ((len(roles) - 2) // 2), "user"], "strictly in turn"
    assert SUMMARY in prompts(studio)[-1][1]["content"]


def test_a_long_output_is_shown_in_parts_and_the_rest_is_read_by_its_name(open_studio: Open) -> None:
    heard: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if len(messages) > 2:
            heard.append(last(messages))
        return [
            [write("long.txt", OUTPUT), ("run_command", {"command": "cat long.txt"})],
            [("read_output", {"output": "1.2", "offset": 20_000, "limit": 5_000})],
            [("read_output", {"output": "1.9"})],
            [("read_output", {"output": "2.1"})],
            [done()],
        ][len(heard)]

    studio = open_studio(model)
    bead = studio.bead()
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    shown, part, none, again = heard[:4]
    kept = Output.objects.get(turn=1, number=2)
    assert OUTPUT.strip() in kept.text
    assert len(shown) < 17_000
    assert f'all {len(kept.text):,} characters of it: read_output with output "1.2"' in shown
    assert kept.text[20_000:25_000] in part
    assert "go on with offset=25000" in part
    assert "There is no output 1.9" in none
    assert kept.text[20_000:20_100] in again, "also what is not longer than what was shown"


def test_a_small_window_makes_results_smaller(open_studio: Open) -> None:
    heard: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "work" and len(messages) > 2:
            heard.append(last(messages))
        if kind == "review":
            return APPROVE
        return [done()] if heard else [write("a.txt", "a"), ("run_command", {"command": "seq 5000"})]

    studio = open_studio(model)
    window(studio, 20_000)
    studio.bead()
    studio.run()
    assert len(heard[0]) < 8_000


def test_a_fresh_session_is_handed_over_what_was_done_what_is_left_and_what_failed(
    open_studio: Open, settings: Settings
) -> None:
    settings.LOOM_MAX_TURNS = 4
    told: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if "Earlier sessions" in messages[1]["content"]:
            told.append(messages[1]["content"])
            return [write("tests/test_t.py", "x = 1\n"), done()]
        turns: list[Answer] = [
            [("set_plan", {"steps": ["[x] read", "[ ] write the sum", "check it"]})],
            [write("tests/test_t.py", "import nothing_here\n"), ("run_tests", {})],
            "I think it is the import.",
            [("read_file", {"path": "tests/test_t.py"})],
        ]
        return turns[replies(messages)]

    studio = open_studio(model)
    bead = studio.bead()
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    note = told[0][told[0].index("## Earlier sessions") :]
    assert "turn limit" in note
    assert "it changed tests/test_t.py." in note
    assert "Left of its plan: [ ] write the sum; check it." in note
    assert "Its last check failed: run_tests in turn 2:" in note
    assert "nothing_here" in note
    assert "Its last words: I think it is the import." in note
    assert "holds the files as session" in note

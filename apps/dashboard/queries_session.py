"""The transcript of a session: what the model thought and said, did, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from apps.agents.models import Session, Turn

PER_PAGE = 20
RESULT_CHARS = 6000
ARGUMENT_CHARS = 3000
MAIN = ("path", "command", "query", "pattern", "title", "question", "summary", "name", "to_role", "role")


@dataclass(frozen=True)
class Act:
    """One action with its result; `state` is open while it has not been carried out."""

    name: str
    subject: str
    state: str
    arguments: list[tuple[str, str]]
    result: str
    milliseconds: int
    change: list[tuple[str, str]]  # lines of an edit: (removed or added, text)


@dataclass(frozen=True)
class TurnShown:
    turn: Turn
    thinking: str
    says: str
    acts: list[Act]
    told: list[str]  # what the platform said


def transcript(session: Session, page: int) -> tuple[list[TurnShown], int]:
    """The turns of a page, newest page first, and how many pages there are."""
    pages = max(1, -(-session.turns.count() // PER_PAGE))
    first = (min(max(1, page), pages) - 1) * PER_PAGE
    return [turn_shown(turn) for turn in session.turns.order_by("number")[first : first + PER_PAGE]], pages


def turn_shown(turn: Turn) -> TurnShown:
    try:
        reply = json.loads(turn.reply)
    except ValueError:
        reply = {"content": turn.reply}
    reply = reply if isinstance(reply, dict) else {"content": str(reply)}
    says = turn.notes or _text(reply.get("content"))
    return TurnShown(
        turn=turn,
        thinking=_text(reply.get("reasoning_content") or reply.get("reasoning"))[:RESULT_CHARS],
        says=says[:RESULT_CHARS],
        acts=list(_acts(turn)),
        told=[str(row["say"])[:RESULT_CHARS] for row in _results(turn) if row.get("say")],
    )


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _results(turn: Turn) -> list[dict[str, Any]]:
    return [row for row in turn.results or [] if isinstance(row, dict)]


def _acts(turn: Turn) -> Iterator[Act]:
    texts = [row for row in _results(turn) if "say" not in row]
    for at, action in enumerate(turn.actions):
        outcome = turn.outcome[at] if at < len(turn.outcome) else {}
        arguments = action.get("arguments")
        arguments = arguments if isinstance(arguments, dict) else {}
        result = next((row for row in texts if row.get("id") == action.get("id")), {})
        if result:
            texts.remove(result)
        yield Act(
            name=str(action.get("name", "")),
            subject=next((str(arguments[name])[:160] for name in MAIN if arguments.get(name)), ""),
            state="open" if turn.results is None else "failed" if outcome.get("ok") is False else "done",
            arguments=[(name, _argument(value)) for name, value in arguments.items()],
            result=str(result.get("text") or result.get("content") or "")[:RESULT_CHARS],
            milliseconds=int(outcome.get("ms") or 0),
            change=_change(arguments),
        )


def _argument(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return (
        text if len(text) <= ARGUMENT_CHARS else f"{text[:ARGUMENT_CHARS]}\n[{len(text)} characters in all]"
    )


def _change(arguments: dict[str, Any]) -> list[tuple[str, str]]:
    """An edit as the lines it takes out and puts in."""
    old, new = arguments.get("old_text"), arguments.get("new_text")
    if not isinstance(old, str) or not isinstance(new, str):
        return []
    lines = [("removed", line) for line in old.splitlines()] + [("added", line) for line in new.splitlines()]
    return lines[:80]

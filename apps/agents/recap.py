"""Turns in few words, told from their rows: for a model to sum up, or in place of its summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apps.agents.models import Turn

ARGUMENT_CHARS, RESULT_CHARS, NOTES_CHARS = 240, 500, 300
SPOKEN = ("path", "command", "query", "title", "source", "output", "question", "summary", "symbol", "name")


def turns_told(turns: Sequence[Turn], *, room: int) -> str:
    """The turns with their notes, arguments and results, within `room` characters.

    Results get what is left beside the rest; of turns that are still too many the middle is left out.
    """
    results = sum(len(turn.results or ()) for turn in turns)
    bare = [_turn(turn, 0) for turn in turns]
    left = room - sum(map(len, bare))
    each = min(RESULT_CHARS, left // max(1, results))
    return _within([_turn(turn, each) for turn in turns] if each > 40 else bare, room)


def turns_listed(turns: Sequence[Turn], *, room: int) -> str:
    """What was done, a line for each turn, within `room` characters."""
    return _within([_line(turn) for turn in turns], room)


def _within(parts: Sequence[str], room: int) -> str:
    """As many parts as fit: a quarter of the room from the beginning, the rest from the end."""
    if sum(len(part) + 1 for part in parts) <= room:
        return "\n".join(parts)
    head, tail = [], []
    used = 0
    for part in parts:
        if used + len(part) > room // 4:
            break
        head.append(part)
        used += len(part) + 1
    for part in reversed(parts[len(head) :]):
        if used + len(part) > room - 60:
            break
        tail.append(part)
        used += len(part) + 1
    left_out = len(parts) - len(head) - len(tail)
    return "\n".join([*head, f"[... {left_out} turns left out ...]", *reversed(tail)])


def _turn(turn: Turn, result_chars: int) -> str:
    lines = [f"Turn {turn.number}: {_flat(turn.notes, NOTES_CHARS)}".rstrip()]
    told = [result for result in turn.results or () if "id" in result]
    for number, asked in enumerate(turn.actions):
        given = ", ".join(
            f"{key}={_flat(value, ARGUMENT_CHARS)}" for key, value in asked["arguments"].items()
        )
        lines.append(f"- {asked['name']}({given}) {_ended(turn, number)}")
        if result_chars and number < len(told):
            lines.append(f"  {_flat(told[number].get('text', ''), result_chars)}")
    lines += [f"- told: {_flat(one['say'], RESULT_CHARS)}" for one in turn.results or () if "say" in one]
    return "\n".join(lines)


def _line(turn: Turn) -> str:
    did = [f"{_spoken(asked)} {_ended(turn, number)}" for number, asked in enumerate(turn.actions)]
    notes = f" ({_flat(turn.notes, 160)})" if turn.notes.strip() else ""
    return f"- {turn.number}: {'; '.join(did) or 'no valid action'}{notes}"


def _spoken(asked: dict[str, Any]) -> str:
    about = next((asked["arguments"][key] for key in SPOKEN if asked["arguments"].get(key)), "")
    return f"{asked['name']} {_flat(about, 90)}".rstrip()


def _ended(turn: Turn, number: int) -> str:
    done = turn.outcome[number] if number < len(turn.outcome) else None
    return "" if done is None else "ok" if done["ok"] else "FAILED"


def _flat(value: object, limit: int) -> str:
    text = " ".join(str(value)[: 4 * limit].split())
    return text if len(text) <= limit else f"{text[:limit]}..."

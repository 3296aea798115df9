"""A model's reply as actions: what is there, in order, and one error that tells what is not understood."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from apps.agents.replies.language import MAX_PROBLEMS, OPENING, located, read_language
from apps.agents.replies.native import read_calls
from apps.agents.replies.shapes import Spoken
from apps.agents.replies.text import TextReading, orchestration, read_text
from apps.agents.replies.thinking import answer_start

EXPECTED = (
    "Call the tools you were given, or answer with one JSON object and nothing else, like this:\n"
    '{"actions": [{"type": "read_file", "path": "README.md"}], "notes": "why"}'
)
MAX_REPLY = 2_000_000
MAX_ACTIONS = 200
_MAX_NOTES = 4_000
_TOLD = 3  # problems told at once
_UNESCAPED = re.compile(r'(?<!\\)"')
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Call:
    """One action as the model named it; `id` is unique in its reply."""

    id: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """`error` is "" when everything was understood; else it is the message to answer with."""

    actions: tuple[Call, ...]
    notes: str = ""
    error: str = ""


def read_reply(text: str | None, tool_calls: Sequence[Mapping[str, Any]] = ()) -> Reading:
    """Every complete action of a reply, in order, and nothing that is not there.

    Native calls win: text beside them is notes. Takes time in proportion to the reply's length.
    """
    text = text or ""
    if len(text) > MAX_REPLY:
        return Reading((), error=_error([f"it has {len(text):,} characters, which is too long"], 0))
    start = answer_start(text)
    orders: list[str] = []
    found = TextReading()
    if tool_calls:
        native = read_calls(tool_calls)
        calls, problems = native.calls, native.problems
        notes = text[start:]
    else:
        found = read_text(text, start)
        quoted = text.strip()[:1] == '"' == text.strip()[-1:]  # what looks like a call lies in a text
        if (quoted or not found.calls) and (bare := _uncovered(text[start:]) or _uncovered(text)):
            begin = answer_start(bare)
            if (inner := read_text(bare, begin)).calls:
                found, text, start = inner, bare, begin
        calls, notes = found.calls, found.notes or found.prose
        orders = located(text, tuple(found.orders[:MAX_PROBLEMS]))
        problems = [
            f"{why}{_place(text, at)}" if number < _TOLD else why
            for number, (at, why) in enumerate(sorted(found.problems))
        ]
    if OPENING.search(notes):
        said = read_language(notes)
        calls = [*map(orchestration, said.instructions), *calls]
        notes, orders = said.text, [*orders, *said.problems]
    if not tool_calls and not calls and not problems and not orders:
        problems = [_nothing(text, start, found.shown)]
    if len(calls) > MAX_ACTIONS:
        problems = [*problems, f"only the first {MAX_ACTIONS} of its {len(calls)} actions are taken"]
        calls = calls[:MAX_ACTIONS]
    error = _error(problems, len(calls)) if problems else ""
    return Reading(_numbered(calls), _clean(notes), "\n".join(filter(None, [error, _misordered(orders)])))


def _uncovered(text: str) -> str:
    """The text without the coat that something put around all of it: a JSON string, HTML's escapes; or ""."""
    bare = text.strip()
    if bare[:1] == '"' == bare[-1:]:
        with suppress(ValueError):
            said = json.loads(bare, strict=False)
            return _uncovered(said) or said if isinstance(said, str) else ""
    if '\\"' in bare and not _UNESCAPED.search(bare):
        with suppress(ValueError):
            return str(json.loads(f'"{bare}"', strict=False))
    if ("&quot;" in bare and '{"' not in bare) or "&lt;tool_call" in bare:
        return html.unescape(bare)
    return ""


def _misordered(problems: list[str]) -> str:
    if not problems:
        return ""
    told = "\n".join(f"- {problem}" for problem in problems)
    return f"Orchestration blocks with errors; nothing of such a block was done:\n{told}"


def _nothing(text: str, start: int, shown: int | None) -> str:
    if not text.strip():
        return "it is empty"
    if start >= len(text.rstrip()):
        return "it is all thought, without an action after it"
    if shown is not None:
        return f"it holds no action, only one shown in code, a quotation or an example{_place(text, shown)}"
    return "it holds no action"


def _error(problems: list[str], understood: int) -> str:
    told = "; ".join(problems[:_TOLD])
    more = f" (and {len(problems) - _TOLD} more)" if len(problems) > _TOLD else ""
    if understood:
        rest = f" The {understood} complete action(s) in it were taken; send again only what is missing."
        return f"Reply not understood in part: {told}{more}.{rest}\n{EXPECTED}"
    return f"Reply not understood: {told}{more}.\n{EXPECTED}"


def _place(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    near = " ".join(text[max(0, at - 20) : at + 30].split())
    return f" (line {line}, column {column}, near {near!r})" if near else f" (line {line})"


def _clean(notes: str) -> str:
    """Notes that a database and a page can take."""
    notes = notes.replace("\0", "").encode("utf-8", "replace").decode().strip()
    return notes if len(notes) <= _MAX_NOTES else notes[:_MAX_NOTES] + "..."


def _numbered(calls: list[Spoken]) -> tuple[Call, ...]:
    """Calls with ids that no server refuses: given ones if usable, else nine characters from the content.

    The same reply always gets the same ids, so that reading it again after a crash changes nothing.
    """
    taken: set[str] = set()
    numbered: list[Call] = []
    for index, call in enumerate(calls):
        chosen, attempt = call.id, 0
        while chosen in taken or not _ID.fullmatch(chosen):
            seed = f"{index}:{attempt}:{call.name}:{call.arguments}"
            chosen = "c" + hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()[:8]
            attempt += 1
        taken.add(chosen)
        numbered.append(Call(chosen, call.name, call.arguments))
    return tuple(numbered)

"""A list of actions that does not hold together: save every complete action, in order, and no debris."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from apps.agents.replies.jsonish import Broken, Found, read_value
from apps.agents.replies.shapes import is_known, notes_of, spoken_of

_BETWEEN = re.compile(r"[\s,]*+")
_KEY = re.compile(r"""\s*+(?:"([^"\\\n]{1,80})"|'([^'\\\n]{1,80})')\s*+:""")
_ELEMENT = re.compile(r"""[,}\[\]]\s*+(\{\s*+["'](?:type|action|tool|name)["']\s*+:\s*+["']([\w.-]+)["'])""")
_PIECES = re.compile(r'["{}\[\]]')
_TRIED = 8
_MOST_PROBLEMS = 20


@dataclass
class Recovered:
    """`items` are complete objects of the list with their offsets; `guessed`: its end had to be guessed."""

    items: list[tuple[int, Found]] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)
    notes: str = ""
    end: int = 0
    guessed: bool = False
    cut: bool = False


def recover(text: str, start: int) -> Recovered:
    """Read list elements from `start` (behind the "[") as far as they can be told apart."""
    got = Recovered(end=start)
    at = start
    while len(got.problems) < _MOST_PROBLEMS:
        between = _BETWEEN.match(text, at)
        at = between.end() if between else at
        if at >= len(text) or text[at] != "{":
            _finish(text, at, got)
            return got
        try:
            found = read_value(text, at)
        except Broken as broken:
            got.problems.append((broken.at, broken.why))
            after = None if broken.cut else _next_element(text, broken.at, sure=not broken.quotes)
            if after is None:
                got.cut = broken.cut
                got.end = len(text)
                return got
            at = after
            continue
        if not got.problems or _names_known(found):
            got.items.append((at, found))
        at = found.end
    got.end = len(text)
    return got


def _names_known(found: Found) -> bool:
    spoken = spoken_of(found.value)
    return spoken is not None and is_known(spoken.name)


def _finish(text: str, at: int, got: Recovered) -> None:
    """The list ends at `at`, with or without its bracket: look at what the envelope says after it."""
    if at < len(text):
        if text[at] == "]":
            at += 1
        else:
            got.guessed = True
            if not (text[at] == "}" or _KEY.match(text, at)) and _PIECES.search(text, at):
                got.problems.append((at, "an action object is expected here"))
    at, members = _members(text, at)
    got.notes = notes_of(members)
    got.end = at


def _members(text: str, at: int) -> tuple[int, dict[str, object]]:
    """Members of the envelope that follow its list, up to its end or the first oddity."""
    members: dict[str, object] = {}
    while True:
        between = _BETWEEN.match(text, at)
        at = between.end() if between else at
        key = _KEY.match(text, at)
        if key is None:
            return (at + 1 if text[at : at + 1] == "}" else at), members
        value_at = key.end()
        space = _BETWEEN.match(text, value_at)
        try:
            found = read_value(text, space.end() if space else value_at)
        except Broken as broken:
            return max(broken.reach, at), members
        members[key[1] or key[2]] = found.value
        at = found.end


def _next_element(text: str, at: int, *, sure: bool) -> int | None:
    """Where the list goes on after a broken element.

    When a quote was lost, what looks like an action may be text of the broken one; it counts only if
    everything from there to the end of the reply fits together.
    """
    for _ in range(_TRIED):
        match = _ELEMENT.search(text, at)
        if match is None:
            return None
        at = match.end()
        if is_known(match[2]):
            reached = None if sure else _misfit(text, match.start(1))
            if reached is None:
                return match.start(1)
            at = max(at, reached)
    return None


def _misfit(text: str, at: int) -> int | None:
    """How far the list goes on from `at` before it stops to fit together; None if it fits to the end."""
    try:
        while text[at : at + 1] == "{":
            at = read_value(text, at).end
            between = _BETWEEN.match(text, at)
            at = between.end() if between else at
    except Broken as broken:
        return broken.reach
    if text[at : at + 1] != "]":
        return at
    end, _ = _members(text, at + 1)
    return end if _PIECES.search(text, end) else None

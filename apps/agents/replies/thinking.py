"""Where the answer begins in a reply that thinks aloud first."""

from __future__ import annotations

import re
from itertools import islice

from apps.agents.replies import tags
from apps.agents.replies.jsonish import Broken, read_value
from apps.agents.replies.shapes import listed, spoken_of

_WORDS = (
    r"(?:\w+:)?(?:think|thinking|thoughts?|reasoning|reflection|scratch_?pad|inner_?(?:thoughts?|monologue)"
    r"|antthinking)"
)
_CLOSING = (
    rf"</{_WORDS}>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>"
    r"|(?<=<\|end\|>)<\|start\|>assistant(?=<\|channel\|>commentary)"
)
_CLOSED = re.compile(rf"{_CLOSING}|<\|channel\|>final<\|message\|>", re.IGNORECASE)
_OPENING = (
    rf"<{_WORDS}(?:\s[^<>\n]{{0,80}})?>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>"
    r"|<\|channel\|>analysis<\|message\|>"
)
_OPENED = re.compile(rf"\s*(?:{_OPENING})", re.IGNORECASE)
THOUGHT = re.compile(_OPENING, re.IGNORECASE)
_EITHER = re.compile(rf"(?P<open>{_OPENING})|(?P<close>{_CLOSING})", re.IGNORECASE)
_DOCUMENT = re.compile(r"(?:\s|```\w*|</?tool_call>|,)*+(?=[{\[])")
_TAGGED = r"<(?:tool_call|[\w-]{0,20}:?(?:function|invoke))\b"
_LIKELY = re.compile(
    rf"""^[ \t\ufeff]*+(?=[{{\[]|{_TAGGED})|(?=\{{\s*+"actions"\s*+:)""",
    re.MULTILINE,
)
_TAG = re.compile(
    rf"(?:\s|</(?:tool_call|\w*:?function_calls)>|<tool_call>(?=\s*<)|<\w*:?function_calls>)*+(?={_TAGGED})"
)
_LAST = re.compile(rf"^\s*(?:```\w*\s*)?(?=\{{|{_TAGGED})", re.MULTILINE)
_REST = re.compile(r"(?:\s|`|</(?:tool_call|\w*:?function_calls)>)*+")
_TRIED = 4
_MOST = 20  # objects of one answer that are looked at


def answer_start(text: str) -> int:
    """Where what is no thought begins; `len(text)` if all of it is thought. More thoughts may follow."""
    ends = [match.end() for match in _CLOSED.finditer(text)]
    if not ends:
        return _unclosed(text)
    ends = _outside_answers(text, ends)
    if not ends:
        return 0
    return next((begin for begin in [0, *ends[:-1]][-_TRIED:] if _is_even(text, begin)), ends[-1])


def _outside_answers(text: str, ends: list[int]) -> list[int]:
    """Without the tags inside a text of the answer itself, such as code that removes such tags."""
    outside: list[int] = []
    begin = reached = 0
    for number, end in enumerate(ends):
        if end < reached:
            continue
        reached = _reach(text, begin, end) if number < _MOST else 0
        if reached <= end:
            outside.append(end)
        begin = max(reached, end)
    return outside


def _is_even(text: str, begin: int) -> bool:
    """Whether each thought from here on is opened and closed, and words of an answer stand between them."""
    marks = [match.lastgroup for match in _EITHER.finditer(text, begin)]
    answers = len(marks) > 2 or _answer_end(text, begin) > 0
    return answers and marks == ["open", "close"] * (len(marks) // 2)


def thought_end(text: str, opening: re.Match[str]) -> int:
    """Behind the thought that begins here; the end of the text if it is never closed."""
    closed = _CLOSED.search(text, opening.end())
    return closed.end() if closed else len(text)


def _reach(text: str, begin: int, tag: int) -> int:
    """How far an answer that begins between `begin` and `tag` goes, if it goes over that tag; else -1."""
    if _OPENED.match(text, begin):
        return -1
    starts = (begin, *(line.end() for line in islice(_LIKELY.finditer(text, begin, tag), _TRIED)))
    return next((end for start in starts if (end := _answer_end(text, start, tag)) > tag), -1)


def _answer_end(text: str, begin: int, tag: int = -1) -> int:
    """Where well-formed objects of an answer that starts right at `begin` end; -1 without any.

    With a `tag`, an object that breaks only behind it counts as well, unless a lost quote can be why: the
    text that holds the tag has ended as a text does.
    """
    end = -1
    for _ in range(_MOST):
        if (called := _call_end(text, begin)) > 0:
            begin = end = called
            continue
        opening = _DOCUMENT.match(text, begin)
        try:
            found = read_value(text, opening.end()) if opening else None
        except Broken as broken:
            sound = broken.cut or not broken.quotes
            return broken.at if 0 <= tag < broken.at and sound else end
        if found is None or found.doubt or not (found.strict or tag >= 0):
            return end
        if listed(found.value) is None and spoken_of(found.value) is None:
            return end
        begin = end = found.end
    return end


def _call_end(text: str, begin: int) -> int:
    """Where a whole call of tags that begins here ends; -1 without one."""
    before = _TAG.match(text, begin)
    opening = tags.OPENING.match(text, before.end()) if before else None
    try:
        return tags.read_call(text, opening)[1] if opening else -1
    except Broken:
        return -1


def _unclosed(text: str) -> int:
    """A thought that never ends is all there is, unless an answer stands whole at the very end."""
    opening = _OPENED.match(text)
    if opening is None:
        return 0
    for match in list(_LAST.finditer(text))[-_TRIED:]:
        end = _answer_end(text, match.start())
        if end > 0 and _REST.fullmatch(text, end):
            return match.start()
    return len(text)

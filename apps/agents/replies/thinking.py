"""Where the answer begins in a reply that thinks aloud first."""

from __future__ import annotations

import re

from apps.agents.replies.jsonish import Broken, read_value
from apps.agents.replies.shapes import listed, spoken_of

_CLOSED = re.compile(
    r"</(?:think|thinking|thought|thoughts|reasoning)>|\[/THINK\]|<\|channel\|>final<\|message\|>",
    re.IGNORECASE,
)
_OPENED = re.compile(r"\s*(?:<(?:think|thinking|thought|thoughts|reasoning)>|\[THINK\])", re.IGNORECASE)
_DOCUMENT = re.compile(r"\s*(?:```\w*\s*)?(?=[{\[])")
_TRIED = 4


def answer_start(text: str) -> int:
    """The offset behind the last closed thought; 0 without one, `len(text)` if all of it is thought."""
    ends = [match.end() for match in _CLOSED.finditer(text)]
    if not ends:
        return _unclosed(text)
    for begin in [0, *ends[:-1]][-_TRIED:]:
        # A tag inside a text of the answer itself, such as code that removes such tags, ends no thought.
        if _answer_end(text, begin) > ends[-1]:
            return begin
    return ends[-1]


def _answer_end(text: str, begin: int) -> int:
    """Where a well-formed answer that starts right at `begin` ends; -1 without one."""
    opening = _DOCUMENT.match(text, begin)
    if opening is None:
        return -1
    try:
        found = read_value(text, opening.end())
    except Broken:
        return -1
    is_answer = found.strict and (listed(found.value) is not None or spoken_of(found.value) is not None)
    return found.end if is_answer else -1


def _unclosed(text: str) -> int:
    """A thought that never ends is all there is, unless an answer stands whole at the very end."""
    opening = _OPENED.match(text)
    if opening is None:
        return 0
    for match in list(re.finditer(r"^\s*(?:```\w*\s*)?(?=\{)", text, re.MULTILINE))[-_TRIED:]:
        end = _answer_end(text, match.start())
        if end > 0 and not text[end:].strip(" \n\r\t`"):
            return match.start()
    return len(text)

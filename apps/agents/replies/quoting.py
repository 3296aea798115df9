"""What a reply only shows: actions in code, tables, logs, quotations and examples ask for nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NEAR = 200  # characters of a line that are looked at around an object
_FENCE = re.compile(r"(?:^[ \t]*|(?<=:)[ \t*]*)(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)$", re.MULTILINE)
# Fences that models put around actions; anything else is a program, unless it begins like an action.
_DATA = {
    "", "json", "json5", "jsonc", "jsonl", "ndjson", "xml", "text", "txt", "plaintext", "yaml",
    "action", "actions", "tool", "tool_call", "tool_calls", "tool_code", "tool_use", "function_call",
}  # fmt: skip
_SHOWN = {"diff", "patch", "markdown", "md"}
_BEGINS = re.compile(r"\s*(?:[{\[]|<(?:tool|function|invoke|action|[|｜]|[a-z]+_[a-z]+>))")
_TAG = re.compile(r"<[^<>\n]{1,60}>|\[/?[A-Z_]{1,20}\]|`+\w*")
_LABEL = re.compile(
    r"\s*+(?:\d+[.)]|[-*+])?\s*+(?:[*_]{0,2}[A-Za-z][\w ]{0,30}[*_]{0,2}\s*:[*_\s]*)?(?:json|functools)?\W*"
)
_BEFORE = r"\s*(?:[`~]{3,}\w*\s*)?(?:<tool_calls?>\s*|<function_calls>\s*)?\Z"
_FORBIDS = re.compile(
    r"\b(?:never|(?:do|should|must|will|would) ?n[o']t|don[’']t|won[’']t|not)\s+(?:be\s+)?"
    rf"(?:run|do|execute|use|send|call|try|emit)\b[^\n.]{{0,40}}:{_BEFORE}",
    re.IGNORECASE,
)
_EXAMPLE = re.compile(
    r"(?:\b(?:for (?:example|instance)|such as|(?:an|one|another|usage|some|here (?:is|are)) examples?)"
    r"|(?<!\bthe )(?<!\bthese )(?<!\bour )(?<!existing )\bexamples?(?=[^\w\n]{0,4}:|\s\()|\be\.g\.)"
    rf"(?:[*_]{{0,2}}|\s\([^()\n]{{0,40}}\)):?[*_]{{0,2}}{_BEFORE}",
    re.IGNORECASE,
)
_NO_LEAD = tuple("},]")  # what ends no words that lead to an example: most often another action
_ROW = re.compile(r"[ \t]{0,40}+(?:>(?!>>)|\|)")
_LOG = re.compile(r"\d\d:\d\d:\d\d\b|^\s*(?:DEBUG|INFO|WARN(?:ING)?|ERROR)\b")
_GOES_ON = re.compile(r"\s+(?:[a-z]{2,}|I\b)|\s*,\s+[a-z]{2,}")


@dataclass(frozen=True)
class _Fence:
    mark: str
    language: str
    end: int  # of its opening line


class Quoting:
    """Knows, as its text is read from left to right, what the words around a place make of it."""

    def __init__(self, text: str, start: int) -> None:
        self.text, self.start = text, start
        self.fence: _Fence | None = None
        self.reached = start  # behind the last thing that was read as one
        self.taken = start  # behind the last action that was taken: what stands in it quotes nothing after it
        self._line_at = self._looked = 0

    def pass_over(self, begin: int, end: int) -> None:
        """Words from `begin` to `end`: code blocks begin and end in them."""
        self.reached = max(self.reached, begin)
        for found in _FENCE.finditer(self.text[begin:end]):
            mark, words = found["mark"], found["info"].split()
            if self.fence is None:
                self.fence = _Fence(mark, words[0].lower() if words else "", begin + found.end())
            elif mark.startswith(self.fence.mark) and not words:
                self.fence = None

    def is_shown(self, at: int, *, in_program: bool = True) -> bool:
        """Whether what begins at `at` is part of a document or a program, forbidden, or an example."""
        before = self.text[max(self.start, at - 160) : at]
        if before.rstrip()[-1:] not in _NO_LEAD and (_FORBIDS.search(before) or _EXAMPLE.search(before)):
            return True
        if self.fence is None or self.fence.language in _DATA:
            return False
        is_program = in_program and not _BEGINS.match(self.text, self.fence.end)
        return is_program or self.fence.language in _SHOWN

    def is_quoted(self, at: int, end: int) -> bool:
        """In a row, a log, code within words, or quoted from somebody."""
        before, after = self._line(at, end)
        if _ROW.match(self.text, self._line_start(at), at) or _LOG.search(before):
            return True
        code = before.rfind("`")
        if code < 0 or before.count("`") % 2 == 0 or "`" not in after or before[:code].endswith("`"):
            return before.endswith("~~") and after.startswith("~~")
        words = before[:code] + after.partition("`")[2]
        is_named = before[:code].rstrip(" \t*_").endswith(":") and not re.search(r"\w", before[code:])
        return bool(re.search(r"\w", words) and not is_named)

    def is_part_of_line(self, at: int, end: int) -> bool:
        """In a sentence that goes on, or in a line of code."""
        before, after = self._line(at, end)
        if self.fence is not None:
            line = max(at - len(before), self.fence.end, self.reached)
            if not _LABEL.fullmatch(_TAG.sub("", self.text[line:at])):
                return True
        words = re.search(r"[A-Za-z]([.,]?)\s+\Z", before)
        begins_anew = words is not None and words[1] == "." and after.lstrip().startswith("I ")
        return bool(words and not begins_anew and _GOES_ON.match(after))

    def _line(self, at: int, end: int) -> tuple[str, str]:
        """What stands before and behind on the same line, as far as it is looked at."""
        begin = max(self._line_start(at), at - _NEAR, min(self.taken, at))
        return self.text[begin:at], self.text[end : end + _NEAR].partition("\n")[0]

    def _line_start(self, at: int) -> int:
        """Where the line begins; only what was not looked at before is searched."""
        found = self.text.rfind("\n", self._looked, at)
        if found >= 0:
            self._line_at = found + 1
        self._looked = max(at, self._looked)
        return self._line_at

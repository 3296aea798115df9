"""The orchestration language: `<loom> ... END </loom>` blocks in texts, read, checked and cut out.

A block opens where its tag begins a line, or stands right before an instruction. Instructions end with a line
END; values are read as what they are, so an END or a closing tag inside JSON ends nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from apps.agents.replies.decoding import Malformed, decode_at
from apps.agents.replies.language_values import (
    FORMS,
    JSON_PARAMETERS,
    KINDS,
    VALUES,
    Instruction,
    missing_problem,
    parameter_problem,
)
from apps.core.storable import storable, storable_text

__all__ = ["OPENING", "Block", "Instruction", "Language", "Problem", "read_block", "read_language", "strip"]

_WORDS = "|".join(KINDS)
_TAG = r"<(?:loom|temporal)>"
OPENING = re.compile(
    rf"(?im:^[ \t]*{_TAG}(?=[ \t]*$|\s+(?:{_WORDS})[ \t]*:))|(?i:{_TAG})(?=[ \t]+(?:{_WORDS})[ \t]*:)"
)
_CLOSING = re.compile(r"</(?:loom|temporal)>", re.IGNORECASE)
_END = re.compile(r"END[ \t]*(?=\r?\n|$|(?i:</(?:loom|temporal)>))")
_NAMED = re.compile(r"(\w{1,60})[ \t]*:[ \t]*")
_BLANK = re.compile(r"\s*")
_LINE = re.compile(r"[^\r\n]*")
_NESTED = re.compile(_TAG, re.IGNORECASE)
_CLOSING_WORD = re.compile(r"(?:^|\s+)END$")
_RESUME = re.compile(rf"(?m:^[ \t]*(?:END[ \t]*$|(?i:{_WORDS})[ \t]*:))|(?i:{_TAG}|</(?:loom|temporal)>)")
_BROKEN = object()
_STOP = re.compile(r"(?:(?<=\s)END[ \t]*)?(?i:</(?:loom|temporal)>)|(?=\r?\n)")
_AFTER = re.compile(r"[ \t]*(?=\r?\n|$|(?:END[ \t]*)?(?i:</(?:loom|temporal)>)|END[ \t]*(?:\r?\n|$))")
MAX_PROBLEMS = 20
EXPECTED = (
    "<loom>\nWORKFLOW: delegate\nINPUT: {...}\nEND\n</loom> "
    "(instructions: " + ", ".join(KINDS) + "; parameters one a line as NAME: value)"
)


@dataclass(frozen=True)
class Problem:
    """What is wrong at an offset of the text, and what was expected there."""

    at: int
    message: str


@dataclass(frozen=True)
class Block:
    """A block from `start` to `end` of the text. With a problem anywhere in it, no instruction counts."""

    start: int
    end: int
    instructions: tuple[Instruction, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Language:
    """All blocks of a text, and the text without them."""

    instructions: tuple[Instruction, ...] = ()
    problems: tuple[str, ...] = ()
    text: str = ""


def read_language(text: str, start: int = 0) -> Language:
    """Every block from `start` on. Takes time in proportion to the text."""
    instructions: list[Instruction] = []
    problems: list[str] = []
    kept: list[str] = []
    at, closings = start, last_closing(text)
    while opening := OPENING.search(text, at):
        kept.append(text[at : opening.start()])
        block = read_block(text, opening, closings)
        instructions += block.instructions
        problems += located(text, block.problems[: MAX_PROBLEMS - len(problems)])
        at = block.end
    kept.append(text[at:])
    return Language(tuple(instructions), tuple(problems), "".join(kept).strip())


def strip(text: str) -> str:
    """The text without its blocks; one without any comes back as it is."""
    return read_language(text).text if OPENING.search(text) else text


def located(text: str, problems: tuple[Problem, ...]) -> list[str]:
    return [f"{place(text, problem.at)}: {problem.message}" for problem in problems]


def place(text: str, at: int) -> str:
    """`line 3, column 8`, both from 1."""
    return f"line {text.count(chr(10), 0, at) + 1}, column {at - text.rfind(chr(10), 0, at)}"


def last_closing(text: str) -> int:
    """Where the last closing tag begins; -1 without one."""
    return max(text.lower().rfind(tag) for tag in ("</loom>", "</temporal>"))


def read_block(text: str, opening: re.Match[str], closings: int | None = None) -> Block:
    """The block that `opening` begins; `closings` is what `last_closing` says, where it is known."""
    reader = _Reader(text, opening, last_closing(text) if closings is None else closings)
    return reader.read()


@dataclass
class _Draft:
    """An instruction on its way."""

    at: int
    kind: str
    target: str
    values: dict[str, Any] = field(default_factory=dict)
    sound: bool = True


class _Reader:
    def __init__(self, text: str, opening: re.Match[str], closings: int) -> None:
        self.text, self.closings = text, closings
        self.start = opening.start()
        self.tag = text.index("<", opening.start())
        self.at = opening.end()
        self.draft: _Draft | None = None
        self.instructions: list[Instruction] = []
        self.problems: list[Problem] = []
        self.open = True

    def read(self) -> Block:
        while self.open:
            self.at = self._past(_BLANK)
            if self.at >= len(self.text) or _NESTED.match(self.text, self.at):
                return self._unclosed()
            if closing := _CLOSING.match(self.text, self.at):
                self.at, self.open = closing.end(), False
            elif end := _END.match(self.text, self.at):
                self._finish()
                self.at = end.end()
            elif not self._line() and self.at > self.closings:
                return self._unclosed()
        self._finish()
        if not self.instructions and not self.problems:
            self._problem(self.tag, f"the block holds no instruction; expected {EXPECTED}")
        sound = () if self.problems else tuple(self.instructions)
        return Block(self.start, self.at, sound, tuple(self.problems))

    def _past(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self.text, self.at)
        return found.end() if found else self.at

    def _problem(self, at: int, message: str) -> None:
        if self.draft is not None:
            self.draft.sound = False
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(at, message))

    def _unclosed(self) -> Block:
        name = self.text[self.tag + 1 : self.text.index(">", self.tag)]
        message = (
            f"this block is never closed, so nothing of it was done; expected END and </{name}> after it"
        )
        return Block(self.start, self.at, (), (Problem(self.tag, message),))

    # -- lines -------------------------------------------------------------------------------------

    def _line(self) -> bool:
        """Read one line with its value; False if it is no line of the language (and passed over)."""
        named = _NAMED.match(self.text, self.at)
        word = named[1].upper() if named else ""
        if named is None or not (word in KINDS or word in VALUES or self.draft):
            if self.at <= self.closings:
                self._stray(word)
            return False
        at, self.at = self.at, named.end()
        if word in KINDS:
            self._finish()
            self._header(at, word)
        elif self.draft is None:
            self._problem(at, f"{word} stands before any instruction; expected {EXPECTED}")
            self.at = self._past(_LINE)
        else:
            self._parameter(self.draft, at, word)
        return True

    def _header(self, at: int, kind: str) -> None:
        self.draft = _Draft(at, kind, "")
        target = str(self._text_value(at, kind))
        # Names hold no spaces, so an END behind one on its line is the word of the language.
        self.draft.target = _CLOSING_WORD.sub("", target)
        if self.draft.target != target:
            self._finish()

    def _stray(self, word: str) -> None:
        close = get_close_matches(word, KINDS, n=1, cutoff=0.6) if word else []
        guess = f" (did you mean {close[0]}?)" if close else ""
        line = _LINE.match(self.text, self.at)
        shown = line[0][:60] if line else ""
        self._problem(self.at, f"{shown!r} is no instruction or parameter{guess}; expected {EXPECTED}")
        self.at = self._line_end()

    def _line_end(self) -> int:
        """The end of the line, or the closing tag on it."""
        stop = _STOP.search(self.text, self.at)
        if stop is None:
            return len(self.text)
        return stop.start()

    def _parameter(self, draft: _Draft, at: int, name: str) -> None:
        if problem := parameter_problem(draft.kind, name):
            self._problem(at, problem)
        elif name in draft.values:
            self._problem(at, f"{name} is given twice; expected it once")
        begin = self._value_start(name)
        value = self._json_value(name) if name in JSON_PARAMETERS else self._text_value(at, name)
        if value is _BROKEN or name not in VALUES:
            return
        try:
            draft.values[name] = VALUES[name](value)
        except ValueError as error:
            self._problem(begin, f"{name} is not valid; expected {error}, as in `{FORMS[name]}`")

    def _value_start(self, name: str) -> int:
        return self._past(_BLANK) if name in JSON_PARAMETERS else self.at

    def _json_value(self, name: str) -> Any:
        """The JSON value here, which may span lines; _BROKEN if it is (and that is reported)."""
        begin = self._past(_BLANK)
        try:
            value, self.at = decode_at(_DECODER, self.text, begin)
        except Malformed as error:
            self._problem(error.at, f"{name} is not JSON ({error.why}); expected `{FORMS[name]}`")
        except (ValueError, RecursionError):
            self._problem(begin, f"{name} is not usable JSON; expected `{FORMS[name]}`")
        else:
            return storable(value) if self._ends_line(name) else _BROKEN
        self._resume()
        return _BROKEN

    def _resume(self) -> None:
        """After broken JSON: go on at the next END, instruction or closing tag that begins a line."""
        found = _RESUME.search(self.text, self.at)
        self.at = found.start() if found else len(self.text)

    def _ends_line(self, name: str) -> bool:
        if after := _AFTER.match(self.text, self.at):
            self.at = after.end()
            return True
        self._problem(self.at, f"something stands behind the value of {name}; expected the end of the line")
        self.at = self._line_end()
        return False

    def _text_value(self, at: int, name: str) -> Any:
        """The rest of the line, or the JSON string it consists of."""
        if self.text.startswith('"', self.at):
            try:
                value, end = decode_at(_DECODER, self.text, self.at)
            except ValueError:
                pass  # an ordinary text that begins with a quotation mark
            else:
                if _AFTER.match(self.text, end):
                    self.at = end
                    return storable_text(str(value))
        begin, self.at = self.at, self._line_end()
        value = self.text[begin : self.at].strip()
        if not value and name in VALUES:
            self._problem(at, f"{name} has no value; expected `{FORMS[name]}`")
            return _BROKEN
        return storable_text(value)

    def _finish(self) -> None:
        draft, self.draft = self.draft, None
        if draft is None:
            return
        if draft.sound and (problem := missing_problem(draft.kind, draft.target, draft.values)):
            self._problem(draft.at, problem)
        elif draft.sound:
            options = {name.lower(): value for name, value in draft.values.items()}
            self.instructions.append(Instruction(draft.kind, draft.target, options))


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(strict=False, parse_constant=_refuse)  # models write raw line ends in strings

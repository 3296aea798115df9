"""JSON as models write it: strict first, then with the slips that leave one possible meaning.

Accepted beyond the standard: trailing commas, a comma too many, one forgotten at a line's end, comments, keys
without quotes, single, triple or typographic quotes, Python's True, False and None, unknown escapes, raw line
breaks.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from apps.agents.replies.decoding import decode_at

MAX_DEPTH = 40
_MAX_DIGITS = 40
_SPACE = re.compile(r"(?:[ \t\r\n\u00a0\ufeff]+|//[^\n]*|#[^\n]*|/\*(?:[^*]|\*(?!/)){0,2000}+\*/)*+")
_DOUBLE = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_SINGLE = re.compile(r"'((?:[^'\\]++|\\.)*+)'", re.DOTALL)
_CURLY = re.compile(r"[“„”]((?:[^“”\\]++|\\.)*+)[”“]", re.DOTALL)
_CURLY_SINGLE = re.compile(r"[‘‚]((?:[^‘’\\]++|\\.)*+)[’‘]", re.DOTALL)
QUOTES = "\"'“”„‘‚’"
_STRINGS = {'"': _DOUBLE, "'": _SINGLE, "‘": _CURLY_SINGLE, "‚": _CURLY_SINGLE}
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*+)(?:\.\d++)?(?:[eE][+-]?\d++)?(?![\w.])")
_WORD = re.compile(r"[A-Za-z_$][\w$-]*+")
_COLON = re.compile(r"\s*+:")
_KEY_AHEAD = re.compile(r"""(?:"[^"\\\n]{1,80}"|'[^'\\\n]{1,80}')\s*:""")
_ESCAPE = re.compile(r'\\(.)|"', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS: dict[str, Any] = {
    "true": True,
    "false": False,
    "null": None,
    "True": True,
    "False": False,
    "None": None,
}


class Broken(Exception):
    """No JSON from `at` on. `quotes`: what follows may lie inside a string; `cut`: the text ends early."""

    def __init__(self, at: int, why: str, *, quotes: bool = False, cut: bool = False) -> None:
        super().__init__(why)
        self.at, self.why, self.quotes, self.cut = at, why, quotes, cut
        self.reach = at  # how far the text was read


@dataclass(frozen=True)
class Found:
    """A value that ended before `end`. `doubt` says why its meaning is not certain, at (offset, reason)."""

    value: Any
    end: int
    strict: bool
    doubt: tuple[int, str] | None = None


def read_value(text: str, start: int) -> Found:
    """The JSON value that begins at `start`; raises Broken. Takes time in proportion to what it reads."""
    try:
        value, end = decode_at(_STRICT, text, start)
    except (ValueError, RecursionError):
        found = _read_leniently(text, start)
    else:
        found = Found(value, end, strict=True)
    problem = unkeepable(found.value)
    if problem:
        raise Broken(start, problem)
    return found


def _read_leniently(text: str, start: int) -> Found:
    reader = _Reader(text, start)
    try:
        value = reader.value(0)
    except Broken as broken:
        broken.reach = max(broken.at, reader.at)
        raise
    return Found(value, reader.at, strict=False, doubt=reader.doubt)


def closers_missing(text: str, start: int) -> str | None:
    """The brackets that, put after `text`, close a value cut off right after a complete member; else None."""
    reader = _Reader(text, start)
    try:
        reader.value(0)
    except Broken as broken:
        tail = text.rstrip()[-1:]
        if broken.cut and tail in {'"', "]", "}"} and not broken.quotes:
            return "".join(reversed(reader.open))
    return None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; where "type" names the action and comes again as its argument, both are kept."""
    members = dict(pairs)
    if len(members) < len(pairs):
        types = [value for key, value in pairs if key == "type"]
        if len(types) == 2 and "bead_type" not in members:
            members["type"], members["bead_type"] = types
    return members


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("number too long")
    return int(digits)


def _fraction(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("number too large")
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_STRICT = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_whole, parse_float=_fraction, parse_constant=_no_constant
)


def unkeepable(value: Any, depth: int = 0) -> str:
    """Why a value cannot be kept as JSON text in a database, or ""."""
    if isinstance(value, str):
        if "\0" in value:
            return "it holds a NUL character"
        return "it holds half of a surrogate pair" if not value.isascii() and _SURROGATE.search(value) else ""
    if depth > MAX_DEPTH:
        return "it is nested too deeply"
    items: Any = ()
    if isinstance(value, dict):
        items = (*value, *value.values())
    elif isinstance(value, list):
        items = value
    return next((problem for item in items if (problem := unkeepable(item, depth + 1))), "")


@dataclass
class _Reader:
    """One pass over the text, without going back."""

    text: str
    at: int
    doubt: tuple[int, str] | None = None
    open: list[str] = field(default_factory=list)

    def value(self, depth: int) -> Any:
        char = self._next("a value")
        if depth > MAX_DEPTH:
            raise Broken(self.at, "it is nested too deeply")
        if char == "{":
            return self._object(depth)
        if char == "[":
            return self._list(depth)
        if char in QUOTES:
            return self._string(char)
        number = _NUMBER.match(self.text, self.at)
        if number:
            self.at = number.end()
            return self._number(number[0])
        word = _WORD.match(self.text, self.at)
        if word and word[0] in _WORDS:
            self.at = word.end()
            return _WORDS[word[0]]
        raise Broken(self.at, "a value is expected here; texts need double quotes")

    def _next(self, expected: str) -> str:
        space = _SPACE.match(self.text, self.at)
        self.at = space.end() if space else self.at
        if self.at >= len(self.text):
            raise Broken(self.at, f"the text ends where {expected} is expected", cut=True)
        return self.text[self.at]

    def _number(self, digits: str) -> int | float:
        try:
            return _fraction(digits) if set(digits) & set(".eE") else _whole(digits)
        except ValueError as error:
            raise Broken(self.at, str(error)) from error

    def _object(self, depth: int) -> dict[str, Any]:
        self.at += 1
        self.open.append("}")
        pairs: list[tuple[str, Any]] = []
        while self._next('a key or "}"') != "}":
            key = self._key()
            if self._next('":"') != ":":
                raise Broken(self.at, f'":" is expected after the key {key[:40]!r}', quotes=True)
            self.at += 1
            pairs.append((key, self.value(depth + 1)))
            self._separator("}")
        self.at += 1
        self.open.pop()
        return _members(pairs)

    def _key(self) -> str:
        char = self.text[self.at]
        if char in QUOTES:
            return self._string(char)
        word = _WORD.match(self.text, self.at)
        if word and _COLON.match(self.text, word.end()):
            self.at = word.end()
            return word[0]
        raise Broken(self.at, 'a key in double quotes or "}" is expected here')

    def _list(self, depth: int) -> list[Any]:
        self.at += 1
        self.open.append("]")
        items: list[Any] = []
        while self._next('a value or "]"') != "]":
            items.append(self.value(depth + 1))
            self._separator("]")
        self.at += 1
        self.open.pop()
        return items

    def _separator(self, closer: str) -> None:
        """A comma or the closing bracket; a comma may be missing where a new line brings a new member."""
        before = self.at
        after_string = self.text[before - 1] in QUOTES
        char = self._next(f'"," or "{closer}"')
        if char == ",":
            while char == ",":
                self.at += 1
                char = self._next(f'a value or "{closer}"')
        elif char != closer:
            new_line = "\n" in self.text[before : self.at]
            member = char == "{" if closer == "]" else _KEY_AHEAD.match(self.text, self.at)
            if not (new_line and member):
                why = f'"," or "{closer}" is expected here'
                if after_string:
                    why += '; is a quote inside the text before not written as \\"?'
                raise Broken(self.at, why, quotes=after_string)

    def _string(self, quote: str) -> str:
        begin = self.at
        if self.text.startswith(quote * 3, begin):
            return self._triple(quote * 3)
        match = _STRINGS.get(quote, _CURLY).match(self.text, begin)
        if match is None:
            self.at = len(self.text)
            raise Broken(begin, "a text begins here and does not end", quotes=True, cut=True)
        self.at = match.end()
        body = match[1]
        if "\n" in body and ("\\n" in body or quote == "'"):
            self.doubt = self.doubt or (begin, "this text has raw line breaks; write each as \\n")
        return self._unescaped(begin, body)

    def _triple(self, quotes: str) -> str:
        begin = self.at
        end = self.text.find(quotes, begin + 3)
        if end < 0:
            self.at = len(self.text)
            raise Broken(begin, "a text begins here and does not end", quotes=True, cut=True)
        self.at = end + 3
        body = self.text[begin + 3 : end]
        if "\\" in body:
            self.doubt = self.doubt or (
                begin,
                "backslashes in triple quotes can mean two things; use one pair",
            )
        return body

    def _unescaped(self, begin: int, body: str) -> str:
        if "\\" not in body:
            return body
        try:
            value = json.loads(f'"{_ESCAPE.sub(_escape, body)}"', strict=False)
        except ValueError as error:
            raise Broken(begin, "this text holds a broken \\u escape") from error
        return str(value)


def _escape(match: re.Match[str]) -> str:
    """A known escape as it is; an unknown one means the backslash itself, as in a pattern like \\d."""
    char = match[1]
    if char is None:
        return '\\"'
    if char in '"\\/bfnrtu':
        return match[0]
    return char if char == "'" else "\\\\" + char

"""Native tool calls: arguments repaired where only one meaning is possible."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.agents.replies.jsonish import Broken, closers_missing, read_value, unkeepable
from apps.agents.replies.shapes import Spoken

_FENCE = re.compile(r"\s*```\w*\s*(.*?)\s*```\s*", re.DOTALL)
_LEFTOVER = re.compile(r"[\s}\]`;]*(?:</?[\w|]+>\s*)?")
_MARKER = re.compile(r"<\|.*", re.DOTALL)


@dataclass
class NativeReading:
    calls: list[Spoken] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_calls(tool_calls: Sequence[Mapping[str, Any]]) -> NativeReading:
    """The calls whose name and arguments can be read, in order; a problem for each other one."""
    reading = NativeReading()
    for number, call in enumerate(tool_calls, 1):
        inner = call.get("function")
        function = inner if isinstance(inner, Mapping) else call
        name = _name(function.get("name"))
        if not name:
            reading.problems.append(f"tool call {number} names no tool")
            continue
        try:
            arguments = _out_of_bag(name, _arguments(function.get("arguments")))
        except Broken as broken:
            place = f" at character {broken.at + 1}" if broken.at else ""
            reading.problems.append(
                f"the arguments of tool call {number} ({name}) are broken{place}: {broken.why}"
            )
            continue
        given = call.get("id")
        reading.calls.append(Spoken(name, arguments, given if isinstance(given, str) else ""))
    return reading


def _name(given: Any) -> str:
    """The name without what templates leak into it, as in "read_file<|channel|>commentary"."""
    return _MARKER.sub("", given).strip()[:64] if isinstance(given, str) else ""


def _arguments(given: Any) -> dict[str, Any]:
    if given is None or (isinstance(given, str) and not given.strip()):
        return {}
    if isinstance(given, Mapping):
        return _checked(dict(given))
    if not isinstance(given, str):
        raise Broken(0, "they are neither an object nor text")
    if "&quot;" in given and '"' not in given:
        given = html.unescape(given)
    fenced = _FENCE.fullmatch(given)
    value = _parsed(fenced[1] if fenced else given)
    for _ in range(2):  # encoded twice or more
        value = _parsed(value) if isinstance(value, str) else value
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Broken(0, "a JSON object is expected")
    return value


def _out_of_bag(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of {"arguments": {...}} or of the whole call sent as its own arguments."""
    inner = arguments.get("arguments", arguments.get("parameters"))
    beside = arguments.keys() - {"arguments", "parameters"}
    is_whole = beside == {"name"} and arguments["name"] == name
    return inner if isinstance(inner, dict) and (not beside or is_whole) else arguments


def _checked(arguments: dict[str, Any]) -> dict[str, Any]:
    problem = unkeepable(arguments)
    if problem:
        raise Broken(0, problem)
    return arguments


def _parsed(text: str) -> Any:
    start = len(text) - len(text.lstrip())
    try:
        found = read_value(text, start)
    except Broken as broken:
        closers = closers_missing(text, start) if broken.cut else None
        if closers is None:
            raise
        found = read_value(text + closers, start)
        text += closers
    if found.doubt:
        raise Broken(*found.doubt)
    rest = _LEFTOVER.match(text, found.end)
    if (rest.end() if rest else found.end) == len(text):
        return found.value
    again = _same_again(text, found.end)
    if again is not None and found.value in (again, {}):  # sent twice, or begun with an empty object
        return again
    raise Broken(found.end, "more follows after the end of the object")


def _same_again(text: str, at: int) -> Any:
    """The value that follows, if it ends the text: some servers send the same arguments twice."""
    begin = at + len(text[at:]) - len(text[at:].lstrip())
    try:
        found = read_value(text, begin)
    except Broken:
        return None
    return found.value if not text[found.end :].strip() else None

"""Calls written as Python: `read_file(path="a")`, alone on lines, in a list, or in a block of their own."""

from __future__ import annotations

import ast
import re
from bisect import bisect
from functools import cached_property
from typing import Any

from apps.agents.actions import REGISTRY
from apps.agents.replies.jsonish import MAX_DEPTH, Broken, unkeepable
from apps.agents.replies.shapes import Spoken

MAX_CALL = 400_000
_NAMES = "|".join(sorted(REGISTRY, key=len, reverse=True))
_MODULE = r"(?:functions\.|tools\.|default_api\.)?"
_CALL = re.compile(rf"(?:print\()?{_MODULE}(?P<name>{_NAMES})(?:\.call)?\(")
OPENING = re.compile(
    rf"(?:(?m:^)|(?<=<\|python_start\|>)|(?<=<\|python_tag\|>)|(?<=<tool_call>))[ \t]*+"
    rf"(?:\[\s*)?(?:print\()?{_MODULE}(?:{_NAMES})(?:\.call)?\("
)
_PIECE = re.compile(
    r"""\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[\[{(]|[\]})]|["']""",
    re.DOTALL,
)
_BETWEEN = re.compile(r"[\s,]*+")
_SPACE = re.compile(r"\s*+")
_LINE_END = re.compile(r"\)?[ \t]*;?[ \t]*(?:#[^\n]*)?(?=\r?\n|$|</tool_call>|<\||```)")
_FENCE = re.compile(r"^[ \t]*```(\w*)[ \t]*\r?$", re.MULTILINE)
_WORDS = {"true": True, "false": False, "null": None}
_OWN_FENCES = {"tool_code", "tool_call", "tool_calls"}


class PythonCalls:
    """Reads the calls of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._plain: set[int] = set()  # code blocks that hold more than calls

    @cached_property
    def _fences(self) -> list[re.Match[str]]:
        return list(_FENCE.finditer(self.text))

    def read(self, opening: re.Match[str]) -> tuple[list[Spoken], int] | None:
        """The calls that begin at `opening` and where they end; None if this is code and asks for nothing.

        Raises Broken where a call is certain but not complete.
        """
        text = self.text
        if (fence := self._fence_around(opening.start())) is not None:
            begin, end = fence
            block = text[begin:end]
            if begin in self._plain or not _is_only_calls(block):
                self._plain.add(begin)
                return None
            return _all_of(block), end
        if "[" in opening[0]:
            return _list(text, text.index("[", opening.start()) + 1)
        spoken, end = _one(text, opening.start())
        after = _LINE_END.match(text, end)
        return ([spoken], after.end()) if after else None

    def _fence_around(self, at: int) -> tuple[int, int] | None:
        """Where the closed code block that `at` lies in starts and ends, if it is not one for calls."""
        before = bisect(self._fences, at, key=lambda fence: fence.start())
        if before % 2 == 0 or before >= len(self._fences) or self._fences[before - 1][1] in _OWN_FENCES:
            return None
        return self._fences[before - 1].end(), self._fences[before].start()


def _is_only_calls(block: str) -> bool:
    try:
        lines = ast.parse(block.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(line, ast.Expr) and isinstance(line.value, ast.Call | ast.List) for line in lines)


def _all_of(block: str) -> list[Spoken]:
    calls: list[Spoken] = []
    at = 0
    while opening := OPENING.search(block, at):
        if "[" in opening[0]:
            more, at = _list(block, block.index("[", opening.start()) + 1)
            calls += more
        else:
            spoken, at = _one(block, opening.start())
            calls.append(spoken)
    return calls


def _list(text: str, at: int) -> tuple[list[Spoken], int]:
    calls: list[Spoken] = []
    while True:
        between = _BETWEEN.match(text, at)
        at = between.end() if between else at
        if text[at : at + 1] == "]":
            return calls, at + 1
        if calls and not _CALL.match(text, at):
            return calls, at
        spoken, at = _one(text, at)
        calls.append(spoken)


def _one(text: str, at: int) -> tuple[Spoken, int]:
    call = _CALL.search(text, at)
    if call is None:
        raise Broken(at, "a call is expected here")
    begin = call.end() - 1
    end = _closing(text, begin)
    try:
        tree = ast.parse(f"f{text[begin:end]}", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = f"the call of {call['name']} is not valid: {error.args[0]}"
        raise Broken(begin, why, quotes=True) from error
    if not isinstance(tree, ast.Call) or tree.args or any(one.arg is None for one in tree.keywords):
        raise Broken(begin, f"name every argument of {call['name']}, as in path='a'")
    return Spoken(call["name"], {str(one.arg): _value(one.value, begin) for one in tree.keywords}), end


def _closing(text: str, at: int) -> int:
    """Behind the bracket that closes the one at `at`."""
    depth = 0
    for piece in _PIECE.finditer(text, at, at + MAX_CALL):
        if piece[0] in "([{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Broken(piece.start(), "it is nested too deeply")
        elif piece[0] in ")]}":
            depth -= 1
            if depth == 0:
                return piece.end()
        elif piece[0] in "\"'":
            raise Broken(piece.start(), "a text begins here and does not end", quotes=True, cut=True)
    raise Broken(len(text), "the text ends before the call is closed", cut=True)


def _value(node: ast.expr, at: int) -> Any:
    if isinstance(node, ast.Name) and node.id in _WORDS:
        return _WORDS[node.id]
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise Broken(at, "arguments are plain values: texts, numbers, lists") from error
    if isinstance(value, bytes | complex | set):
        raise Broken(at, "arguments are plain values: texts, numbers, lists")
    if problem := unkeepable(value):
        raise Broken(at, problem)
    return list(value) if isinstance(value, tuple) else value

"""Actions that know code: where a name is defined, and where it is used."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from apps.agents.actions.base import Action, ActionContext, Result, clip
from apps.agents.actions.read import SEARCH_SECONDS
from apps.agents.codemap import Definition, definitions_of
from apps.agents.editing.text import MAX_BYTES, is_binary
from apps.agents.paths import relative, resolve_inside, walk_files
from apps.core.errors import NotFound

MOST = 60
LONGEST = 200
Found = tuple[str, str, tuple[Definition, ...]]  # path, text, what it defines


class _Navigation(Action):
    group: ClassVar[str] = "read"
    renamed: ClassVar[dict[str, str]] = {
        "symbol_name": "symbol",
        "query": "symbol",
        "identifier": "symbol",
        "function": "symbol",
        "name": "symbol",
        "file": "path",
        "directory": "path",
    }
    ignored: ClassVar[frozenset[str]] = frozenset({"line", "column", "language"})

    symbol: str = Field(pattern=r"^[\w$.:#]+$", max_length=200, description="A name, also Class.method.")
    path: str = "."

    def parts(self) -> tuple[str, str]:
        """The owner, if one is given, and the name."""
        words = [word for word in re.split(r"[.:#]+", self.symbol) if word]
        return (words[-2] if len(words) > 1 else ""), (words[-1] if words else self.symbol)

    def files(self, ctx: ActionContext, name: str) -> Iterator[Found]:
        """Files that hold the name; ends early when time is up."""
        start = resolve_inside(ctx.root, self.path)
        if not start.exists():
            raise NotFound(f"There is no file or directory {self.path}.")
        deadline, wanted = time.monotonic() + SEARCH_SECONDS, name.encode()
        for file in walk_files(start):
            if time.monotonic() > deadline:
                return
            if file.stat().st_size > MAX_BYTES:
                continue
            data = file.read_bytes()
            if wanted in data and not is_binary(data):
                text, path = data.decode("utf-8", "replace"), relative(ctx.root, file)
                yield path, text, definitions_of(path, text)


class FindDefinition(_Navigation):
    name: ClassVar[str] = "find_definition"
    purpose: ClassVar[str] = "Find where a function, class, method, type or top-level value is defined."
    aliases: ClassVar[tuple[str, ...]] = ("goto_definition", "go_to_definition", "find_symbol")

    def act(self, ctx: ActionContext) -> Result:
        owner, name = self.parts()
        found = []
        for path, text, defined in self.files(ctx, name):
            lines = text.split("\n")
            for one in defined:
                if one.name == name and owner in {"", one.owner}:
                    of = f" of {one.owner}" if one.owner else ""
                    code = lines[one.line - 1].strip()[:LONGEST]
                    found.append(f"{path}:{one.line}-{one.last} ({one.kind}{of}): {code}")
        told = "\n".join(found[:MOST]) or (
            f"No definition of {self.symbol} is known here. "
            "It may come from a library; search_text finds any text."
        )
        return Result(ok=True, text=clip(told), data={"query": self.symbol, "found": len(found)})


class FindReferences(_Navigation):
    name: ClassVar[str] = "find_references"
    purpose: ClassVar[str] = "Find the lines that use a name, each with the function or class it stands in."
    aliases: ClassVar[tuple[str, ...]] = ("find_usages", "references", "usages")

    def act(self, ctx: ActionContext) -> Result:
        _, name = self.parts()
        word = re.compile(rf"(?<![\w$]){re.escape(name)}(?![\w$])")
        found: list[str] = []
        for path, text, defined in self.files(ctx, name):
            heads = {one.line for one in defined if one.name == name}
            for number, line in enumerate(text.split("\n"), 1):
                if len(found) <= MOST and number not in heads and word.search(line):
                    inside = _around(defined, number)
                    where = f" (in {inside})" if inside else ""
                    found.append(f"{path}:{number}{where}: {line.strip()[:LONGEST]}")
        told = "\n".join(found[:MOST]) or f"Nothing uses {name}."
        more = f"\n[more than {MOST} lines; give a path]" if len(found) > MOST else ""
        data = {"query": self.symbol, "found": min(len(found), MOST)}
        return Result(ok=True, text=clip(told + more), data=data)


def _around(defined: tuple[Definition, ...], line: int) -> str:
    """The innermost definition around a line, with its owner."""
    inside = [one for one in defined if one.line <= line <= one.last and one.kind != "value"]
    if not inside:
        return ""
    one = max(inside, key=lambda one: one.line)
    return f"{one.owner}.{one.name}" if one.owner else one.name

"""Real files of this repository, and changes to a few of their lines."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WHERE = (
    "apps/**/*.py",
    "tests/**/*.py",
    "docs/*.md",
    "static/**/*.js",
    "static/**/*.css",
    "*.yaml",
    "templates/**/*.html",
)
_WORD = re.compile(r"[A-Za-z_]{4,}")


@dataclass(frozen=True)
class Change:
    """Lines [start:end] of a file, which become `fresh`; at least one line differs."""

    path: str
    lines: tuple[str, ...]
    start: int
    end: int
    fresh: tuple[str, ...]

    @property
    def before(self) -> str:
        return text(self.lines)

    @property
    def after(self) -> str:
        return text((*self.lines[: self.start], *self.fresh, *self.lines[self.end :]))

    def around(self, before: int, after: int) -> tuple[list[str], list[str]]:
        """The lines to replace and their replacement, with that many unchanged lines before and after."""
        head = list(self.lines[max(0, self.start - before) : self.start])
        tail = list(self.lines[self.end : self.end + after])
        return [*head, *self.lines[self.start : self.end], *tail], [*head, *self.fresh, *tail]


def text(lines: tuple[str, ...] | list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


@functools.cache
def sources() -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = []
    for pattern in WHERE:
        for path in sorted(set(ROOT.glob(pattern)) - set(Path(__file__).parent.iterdir())):
            read = path.read_text(encoding="utf-8")
            if (
                1_000 < len(read) < 40_000
                and "\r" not in read
                and read.endswith("\n")
                and read.count("\n") > 30
            ):
                found.append((path.relative_to(ROOT).as_posix(), tuple(read[:-1].split("\n"))))
    return tuple(found)


def changes(dice: random.Random, *, tries: int) -> Iterator[Change]:
    for _ in range(tries):
        path, lines = dice.choice(sources())
        size = dice.choice((1, 1, 2, 3, 5))
        start = dice.randrange(6, len(lines) - size - 6)
        there = lines[start : start + size]
        if not all(line.strip() for line in there):
            continue
        fresh = changed(dice, there)
        if fresh != there:
            yield Change(path, lines, start, start + size, fresh)


def changed(dice: random.Random, lines: tuple[str, ...]) -> tuple[str, ...]:
    """What a developer might make of these lines: a word renamed, a line more, a line less."""
    way = dice.choice(("rename", "rename", "add", "remove", "rewrite"))
    if way == "rename":
        return tuple(renamed(dice, line) for line in lines)
    where = dice.randrange(len(lines))
    indent = lines[where][: len(lines[where]) - len(lines[where].lstrip())]
    if way == "add":
        return (
            *lines[: where + 1],
            f"{indent}extra_{dice.randrange(100)} = record(entry)",
            *lines[where + 1 :],
        )
    if way == "remove" and len(lines) > 1:
        return (*lines[:where], *lines[where + 1 :])
    return (*lines[:where], f"{indent}rewritten({dice.randrange(1000)})", *lines[where + 1 :])


def renamed(dice: random.Random, line: str) -> str:
    words = sorted(set(_WORD.findall(line)))
    if not words:
        return line
    word = dice.choice(words)
    return re.sub(rf"\b{re.escape(word)}\b", f"{word}_{dice.choice('abcde')}x", line)

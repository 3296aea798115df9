"""Unified diffs as rows for the page: both numbers, and what stands beside what. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

MAX_ROWS = 1500  # in all; the page says what it leaves out
HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)$")


@dataclass(frozen=True)
class Row:
    """`kind`: same, added, removed, hunk or told. Numbers are None where the side has no such line."""

    kind: str
    old: int | None
    new: int | None
    text: str


@dataclass
class FileDiff:
    path: str
    rows: list[Row] = field(default_factory=list)
    added: int = 0
    removed: int = 0
    hidden: int = 0

    def pairs(self) -> Iterator[tuple[Row | None, Row | None]]:
        """What was beside what is: a run of removed lines beside the added ones that follow."""
        old: list[Row] = []
        new: list[Row] = []
        for row in self.rows:
            if row.kind == "removed":
                old.append(row)
            elif row.kind == "added":
                new.append(row)
            else:
                yield from _beside(old, new)
                old, new = [], []
                yield row, row
        yield from _beside(old, new)


class Sums:
    """Lines of all the files of a change."""

    files: list[FileDiff]

    @property
    def added(self) -> int:
        return sum(file.added for file in self.files)

    @property
    def removed(self) -> int:
        return sum(file.removed for file in self.files)


def _beside(old: list[Row], new: list[Row]) -> Iterator[tuple[Row | None, Row | None]]:
    for at in range(max(len(old), len(new))):
        yield (old[at] if at < len(old) else None), (new[at] if at < len(new) else None)


def files_of(text: str) -> list[FileDiff]:
    """The files of a unified diff with their rows, at most MAX_ROWS in all."""
    files: list[FileDiff] = []
    room = MAX_ROWS
    for chunk in _chunks(text.splitlines()):
        file = FileDiff(path=_path(chunk[0]))
        for row in _rows(chunk):
            file.added += row.kind == "added"
            file.removed += row.kind == "removed"
            if room > 0:
                file.rows.append(row)
                room -= 1
            else:
                file.hidden += 1
        files.append(file)
    return files


def _chunks(lines: Iterable[str]) -> list[list[str]]:
    chunks: list[list[str]] = []
    for line in lines:
        if line.startswith("diff --git "):
            chunks.append([line])
        elif chunks:
            chunks[-1].append(line)
    return chunks


def _path(head: str) -> str:
    return head.rpartition(" b/")[2].strip('"') or head


def _rows(chunk: list[str]) -> Iterator[Row]:
    old = new = 0
    is_inside = False
    for line in chunk[1:]:
        if found := HUNK.match(line):
            old, new, is_inside = int(found[1]), int(found[2]), True
            yield Row("hunk", None, None, found[3].strip())
        elif not is_inside:
            if line.startswith(("Binary ", "rename ", "new file", "deleted file")):
                yield Row("told", None, None, line)
        elif line.startswith("+"):
            yield Row("added", None, new, line[1:])
            new += 1
        elif line.startswith("-"):
            yield Row("removed", old, None, line[1:])
            old += 1
        elif line.startswith("\\"):
            yield Row("told", None, None, line[2:])
        else:
            yield Row("same", old, new, line[1:])
            old, new = old + 1, new + 1

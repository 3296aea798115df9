"""Which lines of which files a session has been shown, kept as plain text so that turns can rebuild it."""

from __future__ import annotations

import re
from typing import Any

_SPAN = re.compile(r"(.*)\t(\d+)-(\d+)", re.DOTALL)


def note_shown(seen: set[str], data: dict[str, Any]) -> None:
    """From the kept data of a read_file (its "from" and "to") or of a write_file (all of it)."""
    path = str(data.get("path", ""))
    if "from" in data and not (data["from"] == 1 and data["to"] == data["lines"]):
        seen.add(f"{path}\t{data['from']}-{data['to']}")
    else:
        seen.add(path)


def note_moved(seen: set[str], source: str, target: str) -> None:
    for entry in list(seen):
        path, tab, span = entry.partition("\t")
        if path == source:
            seen.add(f"{target}{tab}{span}")


def forget_shown(seen: set[str], path: str) -> None:
    seen -= {entry for entry in seen if entry.partition("\t")[0] == path}


def unseen_lines(seen: set[str], path: str, count: int) -> list[int]:
    """The numbers of those of its `count` lines that were never shown."""
    if path in seen:
        return []
    shown: set[int] = set()
    for entry in seen:
        span = _SPAN.fullmatch(entry)
        if span and span[1] == path:
            shown.update(range(int(span[2]), int(span[3]) + 1))
    return [number for number in range(1, count + 1) if number not in shown]

"""What `loom` shows: tables that fit the terminal, all of it where a program reads, JSON where asked for."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

COLUMNS = {
    "projects": ("id", "name", "status", "bead_prefix"),
    "beads": ("id", "status", "priority", "type", "title", "assigned_to"),
    "agents": ("id", "name", "role", "status", "current_bead"),
    "decisions": ("id", "state", "priority", "question", "options"),
    "runs": ("id", "flow", "status", "waits_for", "error"),
}
GAP = "  "
LEAST = 6  # cells that a column keeps, however narrow the terminal is
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Without what would steer a terminal: titles and errors come from models and strangers."""
    return CONTROLS.sub("", text.replace("\r\n", "\n"))


def harmless(text: str) -> str:
    """JSON with what would steer a terminal as escapes, which mean the same."""
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Shown:
    def __init__(self, out: Any, err: Any, *, as_json: bool) -> None:
        self._out, self._err, self._as_json = out, err, as_json
        self._is_terminal = bool(getattr(out, "isatty", lambda: False)())

    def say(self, text: str) -> None:
        self._out.write(f"{text}\n")

    def note(self, text: str) -> None:
        """Beside what was asked for, so not where a program reads it."""
        self._err.write(f"{plain(text)}\n")

    def told(self, body: Any, text: str) -> None:
        written = json.dumps(body, indent=2, ensure_ascii=False)
        self.say(harmless(written) if self._as_json else plain(text))

    def one(self, body: dict[str, Any]) -> None:
        filled = {name: value for name, value in body.items() if value not in (None, "", [], {})}
        self.told(body, "\n".join(f"{name}: {_text(value)}" for name, value in filled.items()))

    def rows(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        if self._as_json:
            self.told(rows, "")
        elif rows:
            for line in self._table(COLUMNS[name], rows):
                self.say(line)
        else:
            self.note(f"No {name}.")

    def event(self, text: str) -> None:
        event = json.loads(text)
        if "type" in event:
            if self._as_json:
                self.say(harmless(text))
            else:
                about = event.get("data", {})
                words = about.get("title") or about.get("question") or about.get("bead_id") or ""
                self.say(f"{event['timestamp'][:19]}  {plain(event['type'])}  {_cell(words)}".rstrip())
            self._out.flush()
        elif "last_event_id" in event:
            self.note("Some events were left out: there were too many.")

    def _table(self, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> list[str]:
        cells = [[column.upper().replace("_", " ") for column in columns]]
        cells += [[_cell(row.get(column)) for column in columns] for row in rows]
        widths = [max(cell_len(line[number]) for line in cells) for number in range(len(columns))]
        if self._is_terminal:
            widths = fitted(widths, shutil.get_terminal_size().columns - len(GAP) * (len(columns) - 1))
        return [
            GAP.join(_sized(text, width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in cells
        ]


def fitted(widths: list[int], room: int) -> list[int]:
    """The same, with the widest cut until all fit."""
    found = list(widths)
    while sum(found) > room and max(found) > LEAST:
        found[found.index(max(found))] -= 1
    return found


def _sized(text: str, width: int) -> str:
    return set_cell_size(text, width) if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def _cell(value: Any) -> str:
    """On one line."""
    return " ".join(plain(_text(value)).split())


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)

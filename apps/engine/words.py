"""The timeline of a run in words, for its page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from apps.core.admin import shown_json, shown_text
from apps.engine.models import CHILD, JOIN

SHAPES = {
    "ready": "○",
    "running": "◔",
    "waiting": "◌",
    "paused": "‖",
    "done": "✔",
    "failed": "✕",
    "canceled": "⊘",
}
WHAT = {"sleep": "sleeps", "wait": "waits for", "join": "joins run", "start": "starts", "step": "step"}
PREFIXES = ("wait:timer:", f"wait:{CHILD}", "wait:", JOIN, "start:")


def row_shown(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of the timeline as its line of the table."""
    return entry | {
        "what": WHAT[entry["kind"]] if entry["type"] == "step" else entry["type"],
        "named": _named(entry),
        "state": _state(entry),
        "took": took(entry["duration_ms"]) if entry.get("duration_ms") is not None else "",
        "result": _result(entry),
    }


def _named(entry: dict[str, Any]) -> str:
    name: str = entry["name"]
    if entry["type"] != "step":
        return name
    if entry["kind"] == "sleep":
        return f"until {entry['wake_at']:%Y-%m-%d %H:%M:%S}" if entry["wake_at"] else "a while"
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    return f"run {name[len(prefix) :]}" if prefix == f"wait:{CHILD}" else name[len(prefix) :]


def _state(entry: dict[str, Any]) -> str:
    if entry["type"] == "signal":
        return f"✔ taken by step {entry['taken_by']}" if entry["taken_at"] else "◌ not asked for yet"
    if entry["type"] == "event":
        return f"by {entry['actor']}" if entry["actor"] else ""
    said = f"{SHAPES.get(entry['status'], '')} {entry['status']}"
    if entry.get("attempt", 1) > 1 or entry.get("failures"):
        said += f", attempt {entry['attempt']} of {entry['attempts']}"
    if entry["status"] == "waiting" and entry["wake_at"]:
        said += f", until {entry['wake_at']:%Y-%m-%d %H:%M:%S}"
    return said


def _result(entry: dict[str, Any]) -> str:
    if entry["type"] == "child":
        return shown_text(entry["error"])
    if entry["type"] == "step" and entry["error"]:
        error = entry["error"]
        return shown_text(" ".join(filter(None, [error["message"], error["hint"], f"({error['code']})"])))
    return shown_json(entry.get("output", entry.get("data")))


def took(milliseconds: int) -> str:
    """A duration as people say it, to about three digits."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 100_000:
        return f"{milliseconds / 1000:.1f} s"
    return str(timedelta(seconds=milliseconds // 1000))

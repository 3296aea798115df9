"""What differs between two configurations, for people to read before they say yes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

KEYS = ("slug", "name", "pattern")  # by which parts of a list are told apart
PARTS = {"personas", "workflows", "providers", "motivations", "projects", "command_rules"}
SHOWN = 500  # characters of a value


def changes_between(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """`{"path", "change": added | changed | removed, "before", "after"}` for each, in order."""
    return list(_changes("", before, after))


def _changes(path: str, before: Any, after: Any) -> Iterator[dict[str, Any]]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            here = f"{path}.{key}" if path else str(key)
            yield from _pair(here, _parts(key, before), _parts(key, after), key in before, key in after)
        return
    yield _told(path, "changed", before, after)


def _pair(path: str, before: Any, after: Any, was: bool, is_now: bool) -> Iterator[dict[str, Any]]:
    if was and is_now:
        yield from _changes(path, before, after)
    elif is_now:
        yield _told(path, "added", None, after)
    else:
        yield _told(path, "removed", before, None)


def _parts(key: str, of: dict[str, Any]) -> Any:
    """A list of parts as a mapping by their names."""
    value = of.get(key)
    if key not in PARTS or not isinstance(value, list):
        return value
    return {next(str(part[name]) for name in KEYS if name in part): part for part in value}


def _told(path: str, change: str, before: Any, after: Any) -> dict[str, Any]:
    return {"path": path, "change": change, "before": _short(before), "after": _short(after)}


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > SHOWN:
        return f"{value[:SHOWN]}…"
    if isinstance(value, dict):
        return {key: _short(part) for key, part in value.items()}
    return [_short(part) for part in value] if isinstance(value, list) else value

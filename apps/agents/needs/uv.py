"""What uv.lock pins for this Python and platform, as lines for pip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.markers import InvalidMarker, Marker

from apps.agents.languages.base import part
from apps.agents.needs.base import MOST_LOCK_BYTES, toml_of

Row = dict[str, Any]
OWN = ("virtual", "editable", "directory")  # sources that lie in the repository


def uv_locked(lock: Path, groups: Iterable[str]) -> Iterator[str]:
    """Everything that the repository's own packages lead to, with these extras and groups of theirs."""
    rows = [row for row in toml_of(lock, MOST_LOCK_BYTES).get("package", []) if isinstance(row, dict)]
    waiting = [edge for row in rows if _is_own(row) for edge in _asked(row, groups)]
    taken: dict[tuple[str, str], Row] = {}
    extras: set[tuple[str, str, str]] = set()
    while waiting:
        edge = waiting.pop()
        if not holds(str(edge.get("marker", ""))):
            continue
        for row in _meant(rows, edge):
            key = (str(row["name"]), str(row.get("version", "")))
            if key not in taken:
                taken[key] = row
                waiting += _edges(row.get("dependencies"))
            for extra in map(str, edge.get("extra", ())):
                if (*key, extra) not in extras:
                    extras.add((*key, extra))
                    waiting += _edges(part(row, "optional-dependencies").get(extra))
    lines = [line for _, row in sorted(taken.items()) if not _is_own(row) and (line := _line(row))]
    yield from _registries(taken.values())
    yield from lines


def holds(marker: str) -> bool:
    """Whether a condition holds for the Python that runs this, which is that of the sandbox."""
    try:
        return not marker or Marker(marker).evaluate({"extra": ""})
    except InvalidMarker:
        return True


def _is_own(row: Row) -> bool:
    return not part(row, "source").keys().isdisjoint(OWN)


def _asked(row: Row, groups: Iterable[str]) -> Iterator[Row]:
    yield from _edges(row.get("dependencies"))
    for name in groups:
        yield from _edges(part(row, "optional-dependencies").get(name))
        yield from _edges(part(row, "dev-dependencies").get(name))


def _edges(found: Any) -> list[Row]:
    return [edge for edge in found if isinstance(edge, dict)] if isinstance(found, list) else []


def _meant(rows: list[Row], edge: Row) -> list[Row]:
    """The package that an edge leads to; it names the version where there are several."""
    named = [row for row in rows if row.get("name") == edge.get("name")]
    version = edge.get("version")
    return [row for row in named if version is None or row.get("version") == version]


def _line(row: Row) -> str:
    name, source = row["name"], part(row, "source")
    if "git" in source:
        address, _, commit = str(source["git"]).partition("#")
        return f"{name} @ git+{address.partition('?')[0]}@{commit}"
    if "url" in source:
        return f"{name} @ {source['url']}"
    return f"{name}=={row['version']}" if row.get("version") else ""


def _registries(rows: Iterable[Row]) -> list[str]:
    found = {str(part(row, "source").get("registry", "")) for row in rows}
    return [
        f"--extra-index-url {one}"
        for one in sorted(found)
        if one.startswith("https://") and "//pypi.org/" not in one
    ]

"""Which checks prove a project: those its owner configured, else those its files call for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import walk
from pathlib import Path
from typing import Any

from apps.agents.checks import detect_checks
from apps.agents.hub import Hub
from apps.agents.paths import resolve_inside
from apps.agents.results import Check

SKIPPED = {".git", "__pycache__", "node_modules", ".venv", "venv", "dist", "build", "target", ".tox"}
MAX_FILES = 50_000


def configured_checks(configured: Iterable[dict[str, Any]]) -> tuple[Check, ...]:
    """The project's own list: [{"kind", "name", "command"}]."""
    return tuple(
        Check(kind=row.get("kind", "test"), name=row.get("name", row["command"]), command=row["command"])
        for row in configured
    )


def commit_checks(hub: Hub, commit: str, configured: Iterable[dict[str, Any]]) -> tuple[Check, ...]:
    return configured_checks(configured) or tuple(
        detect_checks(hub.files(commit), lambda path: hub.read(commit, path))
    )


def worktree_checks(root: Path, configured: Iterable[dict[str, Any]]) -> tuple[Check, ...]:
    """The same for files that are being worked on."""
    return configured_checks(configured) or tuple(
        detect_checks(list(_files(root)), lambda path: resolve_inside(root, path).read_bytes())
    )


def _files(root: Path) -> Iterator[str]:
    found = 0
    for folder, folders, names in walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in sorted(names):
            found += 1
            if found > MAX_FILES:
                return
            yield (Path(folder) / name).relative_to(root).as_posix()

"""Which checks prove a project: those its owner configured, else those its files call for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from os import walk
from pathlib import Path
from typing import Any

from apps.agents.checks import detect_checks
from apps.agents.hub import Hub
from apps.agents.paths import resolve_inside
from apps.agents.places import hub_path
from apps.agents.results import Check
from apps.agents.sandbox import sandbox_tools
from apps.projects.models import Project

SKIPPED = {".git", "__pycache__", "node_modules", ".venv", "venv", "dist", "build", "target", ".tox"}
MAX_FILES = 50_000


@dataclass(frozen=True)
class Chosen:
    """The checks of a project: `runs` in their order, and those that were found and left out."""

    runs: tuple[Check, ...]
    left_out: tuple[Check, ...] = ()
    is_own: bool = False


def chosen_checks(configured: Iterable[dict[str, Any]], found: Callable[[], Iterable[Check]]) -> Chosen:
    """What the owner listed, [{"kind", "name", "command"}], stands for all that is found.

    A row {"name", "enabled": false} without a command leaves out what is found under that name.
    """
    rows = list(configured)
    if own := [row for row in rows if row.get("command")]:
        checks = [(row.get("enabled", True), _check(row)) for row in own]
        off = tuple(check for enabled, check in checks if not enabled)
        return Chosen(tuple(check for enabled, check in checks if enabled), off, is_own=True)
    unwanted = {row.get("name") for row in rows if not row.get("enabled", True)}
    checks_found = tuple(found())
    return Chosen(
        tuple(check for check in checks_found if check.name not in unwanted),
        tuple(check for check in checks_found if check.name in unwanted),
    )


def _check(row: dict[str, Any]) -> Check:
    return Check(kind=row.get("kind", "test"), name=row.get("name", row["command"]), command=row["command"])


def commit_choice(hub: Hub, commit: str, configured: Iterable[dict[str, Any]]) -> Chosen:
    return chosen_checks(
        configured, lambda: detect_checks(hub.files(commit), lambda path: hub.read(commit, path))
    )


def commit_checks(hub: Hub, commit: str, configured: Iterable[dict[str, Any]]) -> tuple[Check, ...]:
    return commit_choice(hub, commit, configured).runs


def worktree_checks(root: Path, configured: Iterable[dict[str, Any]]) -> tuple[Check, ...]:
    """The same for files that are being worked on."""

    def found() -> Iterable[Check]:
        return detect_checks(list(_files(root)), lambda path: resolve_inside(root, path).read_bytes())

    return chosen_checks(configured, found).runs


def checks_told(project: Project) -> dict[str, Any]:
    """What proves the project as its main branch stands, for people."""
    place = hub_path(project.pk)
    hub, commit = Hub(place), None
    if place.is_dir():
        commit = hub.head(project.branch)
    if commit is None:
        chosen = chosen_checks(project.checks, tuple)
    else:
        chosen = commit_choice(hub, commit, project.checks)
    rows = [(check, True) for check in chosen.runs] + [(check, False) for check in chosen.left_out]
    return {
        "source": "configured" if chosen.is_own else "detected",
        "commit": commit or "",
        "checks": [{**asdict(check), "enabled": enabled} for check, enabled in rows],
        "tools": list(sandbox_tools()),
    }


def _files(root: Path) -> Iterator[str]:
    found = 0
    for folder, folders, names in walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in sorted(names):
            found += 1
            if found > MAX_FILES:
                return
            yield (Path(folder) / name).relative_to(root).as_posix()

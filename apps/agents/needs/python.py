"""Packages of Python: those of a lock file, else those that requirements and pyproject.toml name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apps.agents.languages.base import part
from apps.agents.needs.base import Need, is_small, toml_of
from apps.agents.needs.poetry import poetry_locked, poetry_requirements
from apps.agents.needs.uv import uv_locked
from apps.agents.paths import resolve_inside
from apps.core.errors import LoomError

PIP = "/opt/pip"
PACKAGES = "loom-packages.txt"
GROUPS = ("dev", "test", "tests", "testing", "lint", "types", "typing")
_REQUIREMENTS = re.compile(
    r"(?:(?:dev|test|tests|ci)[-_.])?requirements(?:[-_.](?:dev|test|tests|ci|lint))?\.txt"
)
_FOLDER = ("dev", "test", "tests", "ci", "base", "main", "lint")


def python_need(root: Path) -> Need | None:
    for name, read in (("uv.lock", uv_locked), ("poetry.lock", poetry_locked)):
        if lines := list(read(root / name, GROUPS)):
            return _need([], tuple(lines), (root / name,), " --no-deps")
    asked = [file for file in _lists(root) if any(_entries(file))]
    packages = tuple(_of_pyproject(toml_of(root / "pyproject.toml")))
    if not asked and not packages:
        return None
    files = dict.fromkeys(found for file in asked for found in (file, *_referred(root, file)))
    own = () if asked else (root / "pyproject.toml",)
    return _need([str(file.relative_to(root)) for file in asked], packages, (*files, *own))


def _need(lists: list[str], packages: tuple[str, ...], files: tuple[Path, ...], options: str = "") -> Need:
    asked = "".join(f" -r {name}" for name in [*lists, *([PACKAGES] if packages else [])])
    install = (
        f"PYTHONPATH={PIP} python -m pip install --no-input --disable-pip-version-check --no-cache-dir"
        " --no-warn-script-location --progress-bar off --retries 1 --timeout 20 --target done/python"
        f"{options}{asked}"
    )
    return Need("python", files, install, ((PACKAGES, "\n".join(packages) + "\n"),) if packages else ())


def _lists(root: Path) -> list[Path]:
    found = [file for file in sorted(root.iterdir()) if _REQUIREMENTS.fullmatch(file.name) and is_small(file)]
    folder = [root / "requirements" / f"{name}.txt" for name in _FOLDER]
    return found + [file for file in folder if is_small(file) and not file.parent.is_symlink()]


def _entries(file: Path) -> Iterator[str]:
    for line in file.read_text("utf-8", "replace").splitlines():
        if (text := line.partition(" #")[0].strip()) and not text.startswith("#"):
            yield text


def _referred(root: Path, file: Path) -> Iterator[Path]:
    """Files of the repository that a list of requirements refers to: lists, packages, folders of them."""
    for entry in _entries(file):
        for word in re.split(r"[\s=]+|file:(?://)?", entry):
            if not word or word.startswith("-"):
                continue
            for place in dict.fromkeys((root, file.parent)):  # pip takes lists from the file's own folder
                yield from _files_at(root, place, word)


def _files_at(root: Path, place: Path, word: str) -> Iterator[Path]:
    try:
        found = resolve_inside(root, str((place / word).relative_to(root)))
    except (LoomError, ValueError):
        return
    if found != root and found.is_file():
        yield found
    elif found != root and found.is_dir():
        yield from (one for one in sorted(found.rglob("*")) if one.is_file() and not one.is_symlink())


def _of_pyproject(told: dict[str, Any]) -> Iterator[str]:
    about, groups = part(told, "project"), part(told, "dependency-groups")
    extras = part(about, "optional-dependencies")
    yield from _texts(about.get("dependencies"))
    for name in GROUPS:
        yield from _texts(extras.get(name))
        yield from _of_group(groups, name)
    yield from _texts(part(told, "tool", "uv").get("dev-dependencies"))
    yield from poetry_requirements(part(told, "tool", "poetry"), GROUPS)


def _of_group(groups: dict[str, Any], name: str, depth: int = 0) -> Iterator[str]:
    entries = groups.get(name)
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, dict) and depth < 8:
            yield from _of_group(groups, str(entry.get("include-group", "")), depth + 1)


def _texts(found: Any) -> Iterator[str]:
    yield from (one for one in (found if isinstance(found, list) else ()) if isinstance(one, str))

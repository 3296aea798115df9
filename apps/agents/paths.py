"""Paths that models name: kept inside the worktree, away from git's own files, and walked within bounds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from apps.core.errors import BadInput, Forbidden

# Directories that hold what tools made, not what people wrote.
GENERATED = frozenset(
    {
        ".cache", ".eggs", ".gradle", ".hypothesis", ".idea", ".mypy_cache", ".next", ".nox", ".pytest_cache",
        ".ruff_cache", ".terraform", ".tox", ".venv", ".vscode", "__pycache__", "bower_components",
        "htmlcov", "node_modules", "site-packages", "venv",
    }
)  # fmt: skip
MAX_PATH = 1024
MAX_NAME = 255


def resolve_inside(root: Path, path: str, *, follow: bool = True) -> Path:
    """The absolute path of `path` (relative to `root`, or absolute below it).

    Raises BadInput or Forbidden for anything outside `root` or below a `.git`, also by way of `..` or a
    symlink. With `follow=False` the last part may itself be a symlink and is not resolved: to delete it.
    """
    shown = path if len(path) <= 200 else path[:200] + "..."
    too_long = len(path) > MAX_PATH or any(
        len(part.encode("utf-8", "replace")) > MAX_NAME for part in Path(path).parts
    )
    if "\0" in path or too_long or any("\ud800" <= char <= "\udfff" for char in path):
        raise BadInput(f"{shown!r} is not a path.", hint="Name a file relative to the repository's root.")
    base = root.resolve()
    joined = Path(os.path.normpath(base / path)) if not follow else base / path
    try:
        real = joined.resolve() if follow else joined.parent.resolve() / joined.name
    except (OSError, RuntimeError, ValueError) as error:
        raise BadInput(f"The path {shown} cannot be resolved.", hint=str(error)) from error
    if real != base and base not in real.parents:
        raise Forbidden(
            f"The path {shown} leads outside the repository.",
            hint="Only files of the repository can be read or changed; use a path relative to its root.",
        )
    if any(part.casefold() == ".git" for part in real.relative_to(base).parts):
        raise Forbidden(f"The path {shown} belongs to git itself.", hint="The platform keeps the history.")
    return real


def relative(root: Path, path: Path) -> str:
    """`path` as the model should name it: relative to the root, with forward slashes."""
    return path.relative_to(root.resolve()).as_posix() or "."


def walk_files(start: Path) -> Iterator[Path]:
    """Regular files below `start` (or itself) in a stable order, without links, git's and generated files."""
    if start.is_file():
        yield start
        return
    waiting = [str(start)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            continue  # gone meanwhile, or not for us to read
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
        waiting.extend(
            entry.path
            for entry in reversed(entries)
            if entry.is_dir(follow_symlinks=False) and entry.name != ".git" and entry.name not in GENERATED
        )

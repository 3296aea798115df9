"""Paths that models name: kept inside the worktree, away from git's own files, and walked within bounds."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from functools import lru_cache
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
    if not _is_path(path):
        raise BadInput(f"{shown!r} is not a path.", hint="Name a file relative to the repository's root.")
    base = _base(os.fspath(root))  # texts: agents read files all the time, and Path takes thrice as long
    joined = path if path.startswith("/") else f"{base}/{path}"
    try:
        if (plain := _plain(base, path)) is not None:
            real = plain
        else:
            real = _resolved(joined) if follow else _resolved_but_its_end(joined)
    except (OSError, ValueError) as error:
        raise BadInput(f"The path {shown} cannot be resolved.", hint=str(error)) from error
    if real != base and not real.startswith(base.rstrip("/") + "/"):
        raise Forbidden(
            f"The path {shown} leads outside the repository.",
            hint="Only files of the repository can be read or changed; use a path relative to its root.",
        )
    if ".git" in real[len(base) :].casefold().split("/"):
        raise Forbidden(f"The path {shown} belongs to git itself.", hint="The platform keeps the history.")
    return Path(real)


def _is_path(path: str) -> bool:
    try:
        names = path.encode().split(b"/")
    except UnicodeEncodeError:
        return False
    return b"\0" not in path.encode() and len(path) <= MAX_PATH and max(map(len, names)) <= MAX_NAME


@lru_cache(maxsize=1000)
def _base(root: str) -> str:
    """Where a worktree is: what leads to it is Loom's own and stays as it is."""
    return os.path.realpath(root)


def _plain(base: str, path: str) -> str | None:
    """The place of a path that names what is there, without a link; None if it has to be resolved."""
    names = path.split("/")
    if not {"", ".", ".."}.isdisjoint(names):
        return None
    place = base
    for name in names:
        place = f"{place}/{name}"
        try:
            if stat.S_ISLNK(os.lstat(place).st_mode):
                return None
        except OSError:
            return None
    return place


def _resolved(path: str) -> str:
    """Without links; raises OSError for links that lead in a circle."""
    real = os.path.realpath(path)
    try:
        Path(real).stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise
    return real


def _resolved_but_its_end(path: str) -> str:
    folder, name = os.path.split(os.path.normpath(path))
    return f"{_resolved(folder)}/{name}"


def relative(root: Path, path: Path) -> str:
    """`path` as the model should name it: relative to the root, with forward slashes."""
    base, inside = os.fspath(root), os.fspath(path)
    if not f"{inside}/".startswith(f"{base}/"):
        base = os.path.realpath(root)
        if not f"{inside}/".startswith(f"{base}/"):
            raise ValueError(f"{inside} is not below {base}")
    return inside[len(base) + 1 :] or "."


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

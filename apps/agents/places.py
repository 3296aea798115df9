"""Where the files of projects and sessions live below LOOM_DATA_DIR."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from django.conf import settings


def hub_path(project_id: int) -> Path:
    """The bare repository of a project: the one place every worktree hangs off."""
    return Path(settings.LOOM_DATA_DIR) / "hubs" / f"{project_id}.git"


def worktree_path(session_id: int, number: int | None = None) -> Path:
    """Where a session's worktree is, or its place of that number; it moves when a turn was interrupted."""
    folder = Path(settings.LOOM_DATA_DIR) / "worktrees" / str(session_id)
    return folder / str(_newest(folder) if number is None else number)


def worktree_move(session_id: int, number: int) -> Path:
    """Move a session's worktree, and what the platform knows of it, to the place of another number.

    A worker that is thought dead may only be frozen. When it wakes, the place that it writes to is gone.
    """
    root = worktree_path(session_id)
    for file in (root.with_name(f"{root.name}.state"), root):
        with suppress(FileNotFoundError):  # not laid out yet, or killed between the two
            file.rename(file.with_name(file.name.replace(root.name, str(number), 1)))
    return root.with_name(str(number))


def _newest(folder: Path) -> int:
    names = {file.name.removesuffix(".state") for file in folder.iterdir()} if folder.is_dir() else set()
    return max((int(name) for name in names if name.isdigit()), default=0)


def checkout_path(name: str) -> Path:
    """A clean checkout for one verification; removed afterwards."""
    return Path(settings.LOOM_DATA_DIR) / "checkouts" / name


def session_ref(session_id: int) -> str:
    return f"refs/loom/sessions/{session_id}"

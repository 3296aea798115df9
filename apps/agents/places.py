"""Where the files of projects and sessions live below LOOM_DATA_DIR."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings


def hub_path(project_id: int) -> Path:
    """The bare repository of a project: the one place every worktree hangs off."""
    return Path(settings.LOOM_DATA_DIR) / "hubs" / f"{project_id}.git"


def worktree_path(session_id: int) -> Path:
    return Path(settings.LOOM_DATA_DIR) / "worktrees" / str(session_id)


def checkout_path(name: str) -> Path:
    """A clean checkout for one verification; removed afterwards."""
    return Path(settings.LOOM_DATA_DIR) / "checkouts" / name


def session_ref(session_id: int) -> str:
    return f"refs/loom/sessions/{session_id}"

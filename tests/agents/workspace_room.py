"""A hub with a few files, and a session's worktree of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.agents.hub import Hub
from apps.agents.workspace import Workspace

AUTHOR = "Ada <ada@example.org>"
REF = "refs/loom/sessions/1"
FILES: dict[str, bytes | None] = {
    "README.md": b"# Start\n",
    "src/app.py": b"print('a')\n",
    ".gitignore": b"/build/\n*.log\n",
}


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    hub = Hub(tmp_path / "hubs" / "1.git")
    hub.create()
    hub.commit_files("main", FILES, "Start")
    return hub


@pytest.fixture
def work(hub: Hub, tmp_path: Path) -> Workspace:
    return Workspace.open(hub, tmp_path / "trees" / "1", head_of(hub))


def head_of(hub: Hub) -> str:
    head = hub.head()
    assert head is not None
    return head

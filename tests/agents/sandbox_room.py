"""A worktree below a private directory, and what is asked of the sandbox there."""

from __future__ import annotations

import os
import textwrap
import time
from pathlib import Path

import pytest

from apps.agents.results import CommandResult
from apps.agents.sandbox import Sandbox, sandbox_status

needs_sandbox = pytest.mark.skipif(
    not sandbox_status().available, reason=f"no sandbox here: {sandbox_status().reason}"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "private" / "tree"
    place.mkdir(parents=True)
    place.parent.chmod(0o700)  # as below somebody's home directory
    return place


def python(root: Path, program: str, sandbox: Sandbox | None = None, timeout: float = 30) -> CommandResult:
    return (sandbox or Sandbox()).run(["python", "-c", textwrap.dedent(program)], root=root, timeout=timeout)


def processes(marker: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def gone(marker: str, seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while processes(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not processes(marker)


# What a command is given.

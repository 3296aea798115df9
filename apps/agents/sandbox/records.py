"""Which commands run on this machine: recorded before they start, and ended if their worker is gone.

A record is a file named by the launcher, holding who started it. In bubblewrap the kernel ends a command
with its launcher, and that ends with its worker. Without it a command may have processes left whose launcher
was killed with the worker; these are found by the mark in their environment.
"""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from contextlib import suppress
from pathlib import Path

from django.conf import settings

ROUNDS = 100
SECONDS = 10.0  # between two looks of one process at what others left
MARK = "LOOM_COMMAND"  # the variable that marks processes of commands without a sandbox


def new_mark() -> str:
    return uuid.uuid4().hex


def record(launcher: int, mark: str) -> Path:
    """Write down that this process starts a command; to be removed when the command is gone."""
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = folder / f"{launcher}.json"
    owner = os.getpid()
    told = {
        "launcher": launcher, "started": started(launcher), "owner": owner, "owner_started": started(owner),
        "mark": mark,
    }  # fmt: skip
    draft = place.with_suffix(f".{owner}")
    draft.write_text(json.dumps(told))
    draft.replace(place)
    return place


def reap_now_and_then() -> None:
    global _next  # noqa: PLW0603 - a moment of this process
    if time.monotonic() >= _next:
        _next = time.monotonic() + SECONDS
        reap()


_next = 0.0


def reap() -> int:
    """Kill what commands of dead workers left behind; how many commands that were."""
    ended = 0
    for place in _folder().glob("*.json"):
        try:
            told = json.loads(place.read_text())
            if is_alive(told["owner"], told["owner_started"]):
                continue
        except (OSError, ValueError, KeyError):
            continue  # somebody else is at it
        if is_alive(told["launcher"], told["started"]):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(told["launcher"], signal.SIGKILL)
        _end_marked(told["mark"])
        place.unlink(missing_ok=True)
        ended += 1
    return ended


def _end_marked(mark: str) -> None:
    for _ in range(ROUNDS):  # what they start between a look and its end is found by the next
        if not (mark and (marked := processes_with(mark))):
            return
        for pid in marked:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def is_alive(pid: int, since: int) -> bool:
    """Whether the process runs, and is the one that began at that moment."""
    return since > 0 and started(pid) == since


def started(pid: int) -> int:
    """When a process began, in clock ticks since the machine did; 0 if it runs no more."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if state in "ZX" else int(fields[18])


def processes_with(mark: str) -> list[int]:
    """Processes whose environment holds the mark."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (entry / "environ").read_bytes() and started(int(entry.name)):
                found.append(int(entry.name))
    return found


def _folder() -> Path:
    return Path(settings.LOOM_DATA_DIR) / "commands"

"""Which commands run on this machine: recorded before they start, and ended if their worker is gone.

A record is a file that tells who started a command, and where. In bubblewrap the kernel ends a command with
its launcher, and that ends with its worker: soon, not at once. Without it a command may have processes left
whose launcher was killed with the worker, and bubblewrap itself one, if it is killed while it begins; these
are found by the mark in their environment. The commands of other containers or machines that share the
directory are theirs to look after.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.core.errors import Unavailable
from apps.core.process import place

ROUNDS = 100
SECONDS = 10.0  # between two looks of one process at what others left
TICK = 0.02  # seconds between two looks at a command that is being ended
PATIENCE = 30.0  # seconds until a command has to be gone
FOREIGN_SECONDS = 86_400.0  # after which what another machine left is forgotten: no command runs as long
UNTOLD = 2.0  # after which a launcher that started nothing has nothing to do
_FIELDS = {"launcher", "started", "owner", "owner_started", "mark", "root", "place"}
MARK = "LOOM_COMMAND"  # the variable that marks processes of commands; in bubblewrap, its own


def new_mark() -> str:
    return uuid.uuid4().hex


def record(launcher: int, mark: str, root: Path | None) -> Path:
    """Write down that this process starts a command that may write below `root`.

    To be removed when the command is gone.
    """
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / f"{uuid.uuid4().hex}.json"
    owner = os.getpid()
    told = {
        "launcher": launcher, "started": started(launcher), "owner": owner, "owner_started": started(owner),
        "mark": mark, "root": str(root or ""), "place": place(),
    }  # fmt: skip
    draft = file.with_suffix(f".{owner}")
    draft.write_text(json.dumps(told))
    draft.replace(file)
    return file


def reap_now_and_then() -> None:
    global _next  # noqa: PLW0603 - a moment of this process
    if time.monotonic() >= _next:
        _next = time.monotonic() + SECONDS
        reap()


_next = 0.0


def reap(patience: float = 1.0) -> int:
    """End what commands of dead workers left behind; how many commands that were.

    What is not gone after `patience` seconds is tried again at the next look.
    """
    ended = 0
    for file, told in _records():
        if not is_alive(told["owner"], told["owner_started"]):
            with suppress(Unavailable):
                _end(told, patience)
                file.unlink(missing_ok=True)
                ended += 1
    return ended


def commands_end(folder: Path, confirm: Callable[[], object] = bool) -> None:
    """End all commands that may write in a directory, whoever started them; they are gone on return.

    Their worker may be dead and its commands not yet, or it only sleeps. `confirm` is asked before each and
    raises if the directory is somebody else's by now. Unavailable if one does not end.
    """
    for file, told in _records():
        if Path(told["root"]).is_relative_to(folder.absolute()):
            confirm()
            _end(told, PATIENCE)
            file.unlink(missing_ok=True)


def _records() -> Iterator[tuple[Path, dict[str, Any]]]:
    """The commands of this machine, or container."""
    for file in _folder().glob("*.json"):
        with suppress(OSError, ValueError):  # somebody else is at it
            told = json.loads(file.read_text())
            if isinstance(told, dict) and told.keys() >= _FIELDS and told["place"] == place():
                yield file, told
            elif file.stat().st_mtime < time.time() - FOREIGN_SECONDS:
                file.unlink(missing_ok=True)


def _end(told: dict[str, Any], patience: float) -> None:
    """Kill what a launcher started: then it ends by itself, after the last of them. Without it, the marked.

    Killed first, it would leave them to the kernel, which takes its time.
    """
    launcher, began, has_begun = told["launcher"], time.monotonic(), False
    while is_alive(launcher, told["started"]):
        found, passed = list(below(launcher)), time.monotonic() - began
        if passed > patience:
            raise Unavailable(f"A command that was interrupted does not end (process {launcher}).")
        has_begun = has_begun or bool(found)
        for pid in found if has_begun or passed < UNTOLD else [launcher]:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        _wait_for(launcher, TICK)
    end_marked(told["mark"])


def _wait_for(pid: int, seconds: float) -> None:
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            poll.poll(seconds * 1000)
        finally:
            os.close(handle)


def below(pid: int) -> Iterator[int]:
    """All living descendants of a process."""
    pending = [pid]
    while pending:
        parent = pending.pop()
        try:
            for task in os.listdir(f"/proc/{parent}/task"):  # noqa: PTH208 - a few µs, and there may be many
                listing = Path(f"/proc/{parent}/task/{task}/children").read_text()
                found = [int(child) for child in listing.split()]
                yield from found
                pending += found
        except OSError:
            continue  # it ended meanwhile


def end_marked(mark: str) -> None:
    """Kill what carries the mark of a command whose launcher is gone."""
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

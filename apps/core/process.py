"""What the operating system offers to keep a tree of processes together and to end all of it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

IS_LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
# Resolved once, in the parent: between fork and exec nothing may be imported or looked up.
LIBC = ctypes.CDLL(None, use_errno=True) if IS_LINUX else None


@cache
def place() -> str:
    """Where pids mean what they mean here: containers may share a host's name but not its processes."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
        namespace = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:  # no procfs on this system: the host's name must do
        return socket.gethostname()[:60]
    return f"{socket.gethostname()[:60]}/{boot}/{namespace}"


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that forked it ends; `parent` is its process."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before the call
        os._exit(1)


def name_process(name: str) -> None:
    """Show this process under a name of its own in ps and top; 15 characters are kept."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, instead of init."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def parents() -> dict[int, int]:
    """pid -> parent's pid of every process that can be seen; empty where there is no /proc."""
    found: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            state, parent = entry.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(entry.parent.name)] = int(parent)
    return found


def descendants(root: int, known: dict[int, int] | None = None) -> set[int]:
    """All living processes below `root`, without itself; as `known` has it, what `parents` said before."""
    children: dict[int, list[int]] = {}
    for pid, parent in (parents() if known is None else known).items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    todo = [root]
    while todo:
        fresh = [pid for pid in children.get(todo.pop(), []) if pid not in found]
        found.update(fresh)
        todo.extend(fresh)
    return found


def kill_descendants(root: int, *, spare: Iterable[int] = (), seconds: float = 5.0) -> bool:
    """SIGKILL everything below `root` but the trees of `spare`, until none is left; True when none is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        # One look for both: what a spared process starts between two looks would not be spared.
        known, kept = parents(), set(spare)
        for pid in tuple(kept):
            kept |= descendants(pid, known)
        doomed = descendants(root, known) - kept
        if not doomed:
            return True
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    return False


def reap() -> list[tuple[int, int]]:
    """Collect every child that has ended: (pid, exit code), the code negative for a signal."""
    ended: list[tuple[int, int]] = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended.append((pid, os.waitstatus_to_exitcode(status)))
    return ended

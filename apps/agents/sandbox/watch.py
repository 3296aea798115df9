"""What the kernel does not limit for all processes of a command together: memory held and disk taken.

Looked at a few times a second; a command is stopped soon after it passed a limit, not in the moment.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from apps.agents.sandbox.plan import HOME, MIB, Limits
from apps.agents.sandbox.records import below

SCRATCH = ("/tmp", HOME, "/dev/shm")  # noqa: S108 - the sandbox's own
TICK = 0.25  # seconds between two looks at memory
PAGE = os.sysconf("SC_PAGE_SIZE")
SHARE = 20.0  # a walk through the files may take one part in so many of the time
QUICK = 5_000  # entries that are walked through in a few milliseconds
FILES_LEFT = 10_000  # inodes of the disk that are never used up


class Watch:
    """Looks after one command, started by the process `pid`, that may write below `root`."""

    def __init__(self, pid: int, root: Path | None, limits: Limits) -> None:
        self._pid, self._root, self._limits = pid, root, limits
        self._before: tuple[int, int] | None = None
        self._disk_was_free = root is not None and _left(root, limits)
        self._next_walk = 0.0
        if root is not None:
            self._count_before(root)

    def _count_before(self, root: Path) -> None:
        """What lies there before the command runs; in a large tree, at the first look: no start waits."""
        size, count = _tree(root, QUICK)
        if count < QUICK:
            self._before = size, count

    def passed(self) -> str:
        """Which limit was passed; "" if none."""
        running = list(below(self._pid))
        if sum(map(_resident, running)) > self._limits.resident:
            return f"holding more than {self._limits.resident // MIB} MiB of memory"
        if running and _scratch_files(running[-1]) > self._limits.files:
            return f"making more than {self._limits.files} files"
        return self._disk() if self._root is not None else ""

    def _disk(self) -> str:
        assert self._root is not None  # noqa: S101 - asked by the caller
        if self._disk_was_free and not _left(self._root, self._limits):
            return "leaving hardly any space on the disk"
        began = time.monotonic()
        if began < self._next_walk:
            return ""
        size, count = _tree(self._root)
        ended = time.monotonic()
        self._next_walk = ended + SHARE * (ended - began)
        self._before = self._before or (size, count)
        if size - self._before[0] > self._limits.disk:
            return f"writing more than {self._limits.disk // MIB} MiB into the worktree"
        if count - self._before[1] > self._limits.files:
            return f"making more than {self._limits.files} files"
        return ""


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def _scratch_files(pid: int) -> int:
    """How many files lie in the places in memory that a process in a sandbox sees."""
    most = 0
    for place in SCRATCH:
        with contextlib.suppress(OSError):
            inside = f"/proc/{pid}/root{place}"
            if os.stat(inside).st_dev != os.stat("/tmp").st_dev:  # noqa: PTH116, S108 - that of the machine
                space = os.statvfs(inside)
                most = max(most, space.f_files - space.f_ffree)
    return most


def _tree(root: Path, most: int = 2_000_000) -> tuple[int, int]:
    """(bytes on disk, number of entries) below a directory; what cannot be read is not counted."""
    size = count = 0
    pending = [str(root)]
    while pending and count < most:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    count += 1
                    if count >= most:
                        break
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except OSError:
            continue
    return size, count


def _left(root: Path, limits: Limits) -> bool:
    try:
        disk = os.statvfs(root)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize > limits.spare_disk and (
        not disk.f_files or disk.f_favail > FILES_LEFT
    )

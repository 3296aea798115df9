"""The watch: how soon the work of a dead worker goes on, and which of its processes outlive it."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

from apps.agents.sandbox.records import MARK
from apps.core.process import descendants
from apps.engine.models import Run
from apps.events.models import Event

ORPHAN_AFTER = 5.0  # seconds that a process may outlive the worker it belongs to
SCAN_EVERY = 0.5

T = TypeVar("T")


def patiently(work: Callable[[], T], seconds: float = 60.0) -> T:
    """Do it again while the database is down."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except (OperationalError, InterfaceError):
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@dataclass(frozen=True)
class Hold:
    """A run as the last look found it."""

    status: str
    fence: int
    owner: int  # pid


@dataclass(frozen=True)
class Halted:
    fence: int
    since: float  # wall clock


@dataclass(frozen=True)
class Relative:
    """A process below a worker."""

    started: str
    worker: int  # pid
    seen: float  # wall clock, when it was first seen


@dataclass
class Watch:
    resumed: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    orphans: list[str] = field(default_factory=list)
    _runs: dict[int, Hold] = field(default_factory=dict)
    _halted: dict[tuple[int, str], Halted] = field(default_factory=dict)
    _silent: dict[str, tuple[float, int]] = field(default_factory=dict)  # attack -> since, newest event then
    _family: dict[int, Relative] = field(default_factory=dict)  # by pid
    _died: dict[int, float] = field(default_factory=dict)
    _scan_at: float = 0.0

    def struck(self, pid: int, kind: str, at: float) -> None:
        """A worker was killed or frozen: its runs must go on elsewhere."""
        for run_id, hold in self._runs.items():
            if hold.owner == pid and hold.status == Run.Status.RUNNING:
                self._halted[run_id, kind] = Halted(hold.fence, at)

    def shaken(self, kind: str, at: float) -> None:
        """Something that all depend on was broken: anything at all must happen again."""
        newest = patiently(lambda: Event.objects.order_by("-id").values_list("pk", flat=True).first() or 0)
        self._silent[kind] = (at, newest)

    def died(self, pid: int, at: float) -> None:
        self._died[pid] = at

    def look(self) -> None:
        """Read how the runs stand."""
        rows = patiently(
            lambda: list(Run.objects.unfinished().values_list("pk", "status", "fence", "lease_owner"))
        )
        now = time.time()
        self._runs = {pk: Hold(status, fence, _pid(owner)) for pk, status, fence, owner in rows}
        for (run_id, kind), halted in list(self._halted.items()):
            hold = self._runs.get(run_id)
            if hold is None or hold.fence > halted.fence:
                self.resumed[kind].append(max(0.0, now - halted.since))
            elif hold.status != Run.Status.WAITING or hold.owner:
                continue
            del self._halted[run_id, kind]
        if self._silent:
            self._listen(now)

    def _listen(self, now: float) -> None:
        newest = patiently(lambda: Event.objects.order_by("-id").values_list("pk", flat=True).first() or 0)
        for kind, (since, before) in list(self._silent.items()):
            if newest > before or not self._runs:
                self.resumed[kind].append(now - since)
                del self._silent[kind]

    @property
    def at_work(self) -> set[int]:
        """Workers that hold a run."""
        return {hold.owner for hold in self._runs.values() if hold.status == Run.Status.RUNNING}

    def overdue(self) -> list[float]:
        """How long runs have been halted that still are."""
        return [time.time() - halted.since for halted in self._halted.values()]

    def scan(self, workers: Iterable[int]) -> None:
        """Note the processes below each worker, and those that have outlived theirs."""
        now = time.monotonic()
        if now < self._scan_at:
            return
        self._scan_at = now + SCAN_EVERY
        for worker in workers:
            for pid in descendants(worker):
                self._family.setdefault(pid, Relative(_started(pid), worker, time.time()))
        for pid, relative in list(self._family.items()):
            if not relative.started or _started(pid) != relative.started:
                del self._family[pid]
            elif self._has_outlived(relative):
                self.orphans.append(_command(pid))
                del self._family[pid]

    def _has_outlived(self, relative: Relative) -> bool:
        """A worker may have the pid of one that died before: its processes are seen after that death."""
        died = self._died.get(relative.worker, math.inf)
        return relative.seen <= died < time.time() - ORPHAN_AFTER


def _pid(owner: str) -> int:
    """`host/boot/namespace:pid:started` -> pid"""
    parts = owner.split(":")
    return int(parts[1]) if len(parts) == 3 else 0


def _started(pid: int) -> str:
    """When a living process started; empty if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    except OSError:
        return str(pid)


def belonging_to(data: Path, *, spare: Iterable[int]) -> list[str]:
    """Command lines of living processes that have the data directory in their environment or arguments."""
    found, spared, mark = [], set(spare), str(data).encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            known = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if int(entry.name) not in spared and mark in known and _started(int(entry.name)):
            found.append(_command(int(entry.name)))
    return found


def boxes_left(seconds: float = ORPHAN_AFTER) -> list[str]:
    """Command lines of bubblewrap's processes that still have no launcher after so many seconds.

    Nothing about them tells the data directory. Those of others, such as tests beside, are soon gone.
    """
    left = _without_launcher()
    if left:
        time.sleep(seconds)
    return [_command(pid) for pid, started in left.items() if _started(pid) == started]


def _without_launcher() -> dict[int, str]:
    """Marked processes, and when each started; but for those below a launcher."""
    found, by = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        try:
            is_marked = f"{MARK}=".encode() in (entry / "environ").read_bytes()
            parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
        except OSError:
            continue
        if is_marked and (started := _started(pid)):
            found[pid], by[pid] = started, int(parent)
    return {pid: started for pid, started in found.items() if not _has_launcher(pid, by)}


def _has_launcher(pid: int, by: dict[int, int]) -> bool:
    while pid in by:
        pid = by[pid]
    try:
        return b"launcher.run()" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False

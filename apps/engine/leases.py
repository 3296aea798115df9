"""Leases: this process says that it still works on its runs; one thread renews them all."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path

from django.conf import settings
from django.db import Error, connection, transaction
from django.utils import timezone

from apps.core.process import place
from apps.engine.errors import LeaseLost
from apps.engine.models import Run

LEASE = timedelta(seconds=settings.LOOM_LEASE_SECONDS)
RENEW_EVERY_S = settings.LOOM_LEASE_SECONDS / 4

log = logging.getLogger(__name__)
_held: set[tuple[int, int]] = set()
_lock = threading.Lock()
_thread: threading.Thread | None = None
_stopping = threading.Event()


@cache
def owner() -> str:
    """This process: place, pid and start time, so that a reused pid is not taken for a living owner."""
    return f"{place()}:{os.getpid()}:{_started(os.getpid())}"


def owner_is_dead(name: str) -> bool:
    """True only if the owner ran here and is certainly gone."""
    where, _, rest = name.partition(":")
    pid, _, started = rest.partition(":")
    return where == place() and pid.isdigit() and _started(int(pid)) != started


def _started(pid: int) -> str:
    """When a process started, in ticks since boot; empty if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        if not Path("/proc/self/stat").exists():
            return "?" if _is_alive(pid) else ""
        return ""
    fields = stat.rpartition(")")[2].split()
    # The first thread may be gone while others still are going: what they started ends only with them.
    is_gone = fields[0] in "ZX" and int(fields[17]) < 2
    return "" if is_gone else fields[19]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is there, and somebody else's
        return True
    return True


def stop() -> None:
    """Ask every flow of this process to hand its run over after the step in hand."""
    _stopping.set()


def resume() -> None:
    _stopping.clear()


def is_stopping() -> bool:
    return _stopping.is_set()


def keep(run_id: int, fence: int) -> None:
    """Keep the lease of a claimed run alive until a block in which it is `held` ends."""
    with _lock:
        _held.add((run_id, fence))
        _ensure_thread()


@contextmanager
def held(run_id: int, fence: int) -> Iterator[None]:
    """Keep the lease of a claimed run alive for as long as the block runs."""
    keep(run_id, fence)
    try:
        yield
    finally:
        with _lock:
            _held.discard((run_id, fence))


def _ensure_thread() -> None:
    global _thread  # noqa: PLW0603 - one per process
    if _thread is None or not _thread.is_alive():
        _thread = threading.Thread(target=_renew_for_ever, name="lease-heartbeat", daemon=True)
        _thread.start()


def _renew_for_ever() -> None:
    pause = threading.Event()
    while not pause.wait(RENEW_EVERY_S):
        with _lock:
            leases = sorted(_held)
        if leases:
            renew(leases)


def confirm(run: Run) -> None:
    """LeaseLost if another worker has taken the run over; asked before what no database can take back."""
    if not Run.objects.filter(pk=run.pk, fence=run.fence, status=Run.Status.RUNNING).exists():
        raise LeaseLost


def renew(leases: list[tuple[int, int]]) -> int:
    """Prolong the leases that are still ours, given as run and fence; how many."""
    fences = dict(leases)  # a run that was lost and taken again has two: the newer is behind
    try:
        with transaction.atomic():
            # Never wait for a row: its step may wait for another that we have locked. It is ours next time.
            rows = Run.objects.filter(pk__in=list(fences), status=Run.Status.RUNNING)
            free = rows.select_for_update(skip_locked=True, no_key=True).values_list("pk", "fence")
            ours = [run_id for run_id, fence in free if fences[run_id] == fence]
            return Run.objects.filter(pk__in=ours).update(lease_until=timezone.now() + LEASE)
    except Error as error:  # the fence protects the rows if a lease runs out meanwhile
        log.warning("could not renew leases: %s", error)
        return 0
    finally:
        connection.close()


def _forget_parent() -> None:
    """A forked child holds nothing, and has no thread that renews."""
    global _lock, _thread, _stopping
    _lock, _thread, _stopping = threading.Lock(), None, threading.Event()
    _held.clear()
    owner.cache_clear()


os.register_at_fork(after_in_child=_forget_parent)

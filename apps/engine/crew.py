"""The crew: a worker's threads that advance runs, in the order in which they were rung for.

Celery's messages only tell it which runs to look at. Of many that come together a few are worked on at once,
until each talks to the outside world: the first is on its way long before the last has begun, and the last
waits no longer than if all of them had fought for the processor. They are claimed together, as far as there
are threads that take them up.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress

from django.db import Error, close_old_connections, connection, connections

from apps.engine import doorbell, leases, runner
from apps.engine.execution import Execution
from apps.engine.lending import borrow_here, close_idle, lend
from apps.engine.pacing import Lanes, paced
from apps.engine.rows import CLAIMED_AT_ONCE

log = logging.getLogger(__name__)


class Crew:
    """`size` threads, so as many runs at once. They are daemons: who ends the process says `stop` first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._pid = os.getpid()
        self._waiting: deque[int] = deque()
        self._claimed: deque[Execution] = deque()
        self._busy = 0  # runs that are claimed or being claimed; for each there is a thread
        self._is_stopping = False
        self._changed = threading.Condition()
        self._lanes = Lanes()
        self._threads = [
            threading.Thread(target=self._work, name=f"crew-{number}", daemon=True) for number in range(size)
        ]
        for thread in self._threads:
            thread.start()

    def is_here(self) -> bool:
        """Whether the threads live in this process: a fork has the object, but not the threads."""
        return self._pid == os.getpid() and not self._is_stopping

    def room(self) -> int:
        """How many more runs would be taken up at once."""
        with self._changed:
            return max(0, self._size - self._busy - len(self._waiting))

    def take(self, run_ids: Iterable[int]) -> None:
        """Look at these runs as soon as threads are free."""
        with self._changed:
            self._waiting.extend(run_id for run_id in run_ids if run_id not in self._waiting)
            self._changed.notify(len(self._waiting))

    def ring(self, run_ids: Sequence[int]) -> None:
        """The doorbell of this process: what finds no free thread here is told to all workers."""
        with self._changed:
            here = run_ids[: self.room()] if self.is_here() and not leases.is_stopping() else []
            self.take(here)
        if others := run_ids[len(here) :]:
            doorbell.ring_celery(others)

    def stop(self) -> None:
        """Take up nothing more; returns when every run in hand was finished or handed over."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        close_idle()

    def _work(self) -> None:
        borrow_here()
        with suppress(Error):  # whoever comes first finds the database open
            connection.ensure_connection()
        lend()
        while self._wait():
            with paced(self._lanes):
                execution = self._take_one()
                if execution is not None:
                    self._advance(execution)
            close_old_connections()
            lend()
        connections.close_all()

    def _wait(self) -> bool:
        """Until there is something to do; False if there never will be again."""
        with self._changed:
            while not self._claimed and not (self._waiting and self._busy < self._size):
                if self._is_stopping:
                    return False
                self._changed.wait()
            return bool(self._claimed) or not self._is_stopping

    def _take_one(self) -> Execution | None:
        """A run that is claimed; None if others were faster."""
        with self._changed:
            if self._claimed:
                return self._claimed.popleft()
            room = 0 if self._is_stopping else self._size - self._busy
            some = [self._waiting.popleft() for _ in range(min(room, len(self._waiting), CLAIMED_AT_ONCE))]
            self._busy += len(some)
        claimed: list[Execution] = []
        try:
            claimed = runner.claim_all(some)
        except BaseException:
            log.exception("runs %s could not be taken up", some)
        with self._changed:
            self._busy -= len(some) - len(claimed)
            if claimed:  # the others may have been locked just then
                self._waiting.extend({*some} - {one.run.pk for one in claimed})
            self._claimed.extend(claimed[1:])
            self._changed.notify(len(self._claimed) + len(self._waiting))
        return claimed[0] if claimed else None

    def _advance(self, execution: Execution) -> None:
        try:
            runner.go_on(execution)
        except Error as error:
            log.warning("run %s goes on when its lease has run out: %s", execution.run.key, error)
        except BaseException:
            log.exception("run %s could not be advanced", execution.run.key)
        finally:
            with self._changed:
                self._busy -= 1

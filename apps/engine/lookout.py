"""The lookout: a worker with free hands looks for due runs itself, whatever became of broker and beat.

A ring dies with the worker that heard it, or with the broker; ringing again costs time, and is done the less
the longer a run waits. Nobody but a worker with room knows that the run waits in vain.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from django.db import Error, connections
from django.db.models import Q
from django.utils import timezone

from apps.engine import leases, runner
from apps.engine.crew import Crew
from apps.engine.models import Run

# Work goes on within two seconds of a lease's end (docs/crash.md) although a sweep put it back within its
# own second, and whoever heard its ring was killed: so both of these together are less than one second.
LOOK_EVERY_S = 0.4
FORGOTTEN_AFTER = timedelta(seconds=0.5)  # a ring that was not lost has been heard by then

log = logging.getLogger(__name__)


class Lookout:
    """A thread that gives its crew what nobody else took up."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lookout", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            room = 0 if leases.is_stopping() else self._crew.room()
            if room:
                try:
                    runner.sweep_dead()
                    self._crew.take(forgotten(room))
                except Error as error:
                    log.warning("could not look for forgotten runs: %s", error)
                    connections.close_all()
        connections.close_all()


def forgotten(limit: int) -> list[int]:
    """Due runs that nobody took up although there was time enough, oldest first."""
    now = timezone.now()
    runs = Run.objects.due(now).exclude(Q(status=Run.Status.READY) & Q(updated_at__gte=now - FORGOTTEN_AFTER))
    return list(runs.order_by("pk").values_list("pk", flat=True)[:limit])

"""Keeps lines of the log in the database, for people who have no access to the machine.

Lines wait in memory for a moment and are written together, by a thread of their own; a process that is killed
loses its last second of them. The standard error of the processes has them all.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.db import connections
from django.utils import timezone

from apps.core.logs import log_subject
from apps.core.masking import MaskingFormatter, masker
from apps.core.pubsub import publish
from apps.core.storable import NotJSON, storable, storable_text

CHANNEL: Final = "logs"
MAX_WAITING = 5000  # lines; when more come than can be written, the oldest go
MAX_BATCH = 500
REST_SECONDS = 0.5
MESSAGE_CHARS, SOURCE_CHARS = 8000, 80
SWEEP_ROWS = 5000
# What every record has, and what need not be told.
USUAL = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "request",
    "status_code",
}


_plain = MaskingFormatter("%(message)s")


class LogKeeper(logging.Handler):
    """A handler of Python's logging."""

    def __init__(self, level: int | str = logging.INFO) -> None:
        super().__init__(level)
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """A fork has no thread, and its parent's lines are its parent's."""
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MAX_WAITING)
        self._bell, self._idle = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if not is_kept(record) or threading.current_thread() is self._thread:
            return
        try:
            self._waiting.append(entry_of(record))
        except Exception:  # noqa: BLE001 - as logging itself does: a line that cannot be told hurts nobody
            self.handleError(record)
            return
        self._idle.clear()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="loom-logs", daemon=True)
            self._thread.start()
            atexit.register(self.flush)
        self._bell.set()

    def flush(self) -> None:
        """Wait a moment for what waits to be written."""
        if self._thread is not None and self._thread.is_alive():
            self._idle.wait(2 * REST_SECONDS)

    def _run(self) -> None:
        while True:
            self._bell.wait()
            self._bell.clear()
            while batch := [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]:
                self._write(batch)
            self._idle.set()
            time.sleep(REST_SECONDS)

    def _write(self, batch: list[dict[str, Any]]) -> None:
        from apps.activity.models import LogEntry  # noqa: PLC0415 - logging begins before there are models

        try:
            LogEntry.objects.bulk_create(LogEntry(**entry) for entry in batch)
        except Exception as error:  # noqa: BLE001 - one odd line must not end the thread that keeps the others
            sys.stderr.write(f"{len(batch)} lines of the log could not be kept: {error}\n")
        finally:
            connections.close_all()
        publish(CHANNEL)


def is_kept(record: logging.LogRecord) -> bool:
    """Loom's own lines, and errors of everybody, once the database can be used."""
    is_ours = record.name.startswith("apps.")
    return apps.ready and settings.LOOM_LOG_KEPT and (is_ours or record.levelno >= logging.ERROR)


def entry_of(record: logging.LogRecord) -> dict[str, Any]:
    subject = log_subject()
    told = {key: value for key, value in vars(record).items() if key not in USUAL}
    ids = {
        name: told.pop(name, getattr(subject, name))
        for name in ("organization_id", "project_id", "bead_id", "agent_id")
    }
    return {
        "timestamp": datetime.fromtimestamp(record.created, UTC),
        "level": level_of(record.levelno),
        "source": record.name.removeprefix("apps.")[:SOURCE_CHARS],
        "message": storable_text(_plain.format(record))[:MESSAGE_CHARS],  # with the traceback, if any
        "metadata": _kept(told),
        **ids,
    }


def level_of(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warn"
    return "info" if number >= logging.INFO else "debug"


def _kept(told: dict[str, Any]) -> Any:
    try:
        kept = storable(told)
    except NotJSON:
        kept = storable({key: str(value)[:500] for key, value in told.items()})
    return masker().value(kept)


def log_trim() -> int:
    """Delete what is older than LOOM_LOG_DAYS, and the oldest beyond LOOM_LOG_ROWS; how many."""
    from apps.activity.models import LogEntry  # noqa: PLC0415

    rows = LogEntry.objects.order_by("id")
    old = rows.filter(timestamp__lt=timezone.now() - timedelta(days=settings.LOOM_LOG_DAYS))
    last = rows.values_list("pk", flat=True).last() or 0
    doomed = [*old.values_list("pk", flat=True)[:SWEEP_ROWS]]
    beyond = rows.filter(pk__lte=last - settings.LOOM_LOG_ROWS)
    doomed += beyond.values_list("pk", flat=True)[:SWEEP_ROWS]
    return LogEntry.objects.filter(pk__in=doomed).delete()[0]

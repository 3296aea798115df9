"""Django's SQLite with short waits for the write lock.

SQLite sleeps longer each time it finds the database locked, up to a tenth of a second. Where each writer
holds the lock for a millisecond, one among several may so wait a hundred times longer than it has to.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from django.db.backends.sqlite3 import base

BUSY_MS = 4  # SQLite sleeps 1 and 2 ms and once more, and then lets us begin anew
PATIENCE_S = 20.0


class PatientCursor(base.SQLiteCursorWrapper):
    def execute(self, query: str, params: Any = None) -> Any:
        if self.connection.in_transaction:  # begun IMMEDIATE: the lock is ours
            return super().execute(query, params)
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return super().execute(query, params)
            except sqlite3.OperationalError as error:
                is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or time.monotonic() > until:
                    raise


class DatabaseWrapper(base.DatabaseWrapper):
    def create_cursor(self, name: Any = None) -> Any:
        return self.connection.cursor(factory=PatientCursor)

"""A crew's connections to PostgreSQL: threads that wait for the outside world lend theirs to the others.

So hundreds of sessions that wait for their models need no more connections than a few that work.
"""

from __future__ import annotations

import select
import threading
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.postgresql.base import DatabaseWrapper
from psycopg.pq import TransactionStatus

AT_ONCE = 24  # connections that threads of this process have at the same time
PATIENCE_S = 5.0  # after so long a thread gets one more: what others do with theirs may take long

_changed = threading.Condition()
_idle: list[Any] = []
_lent = 0


class Borrower(DatabaseWrapper):
    """Django's connection of one thread, which takes and leaves the driver's connection as it needs it."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        global _lent  # noqa: PLW0603 - one count per process
        with _changed:
            _changed.wait_for(lambda: _lent < AT_ONCE, timeout=PATIENCE_S)
            _lent += 1
            found = _pop_open()
        if found is not None:
            return found
        try:
            return super().get_new_connection(conn_params)
        except BaseException:
            _give_back(None)
            raise

    def _close(self) -> None:
        wire = self.connection
        if wire is None:
            return
        is_good = not wire.closed and wire.info.transaction_status == TransactionStatus.IDLE
        if not is_good:
            wire.close()
        _give_back(wire if is_good else None)


def borrow_here() -> None:
    """From now on this thread borrows; for threads of a crew, before their first query."""
    own = connections[DEFAULT_DB_ALIAS]
    if own.vendor == "postgresql" and not isinstance(own, Borrower):
        own.close()
        connections[DEFAULT_DB_ALIAS] = Borrower(own.settings_dict, DEFAULT_DB_ALIAS)


def lend() -> None:
    """Others may have this thread's connection until its next query."""
    own = connections[DEFAULT_DB_ALIAS]
    if isinstance(own, Borrower) and not own.in_atomic_block:
        own.close()


def close_idle() -> None:
    """Close what nobody has borrowed; others go on."""
    with _changed:
        while _idle:
            _idle.pop().close()


def _pop_open() -> Any:
    while _idle:
        wire = _idle.pop()
        if not _was_cut(wire):
            return wire
        wire.close()
    return None


def _was_cut(wire: Any) -> bool:
    """A connection on which the server says something unasked was ended by it."""
    if wire.closed:
        return True
    poller = select.poll()
    poller.register(wire.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poller.poll(0))


def _give_back(wire: Any) -> None:
    global _lent  # noqa: PLW0603 - as above
    with _changed:
        _lent -= 1
        if wire is not None:
            _idle.append(wire)
        _changed.notify()

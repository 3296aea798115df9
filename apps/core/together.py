"""Statements that travel together: on PostgreSQL those of a block go to the server in one message.

Most of what a short statement costs is the way there and back. SQLite has no such way, and whoever listens to
queries (a step, a test, DEBUG) hears each by itself: there every statement runs when it is sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

Then = Callable[["Sent"], None]

_here = threading.local()


class Sent:
    """A statement; to read what came of it makes it run now, with those that were sent before it."""

    def __init__(self, statement: str, values: Sequence[Any], then: Then | None) -> None:
        self.statement, self.values, self.then = statement, values, then
        self._count: int | None = None
        self._rows: list[tuple[Any, ...]] = []

    @property
    def count(self) -> int:
        """How many rows it touched or returned."""
        if self._count is None:
            flush()
        if self._count is None:
            raise RuntimeError("A statement that was dropped with its transaction has no result.")
        return self._count

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """What it returned."""
        if self._count is None:
            flush()
        return self._rows

    def came(self, count: int, rows: list[tuple[Any, ...]]) -> None:
        self._count, self._rows = count, rows


def send(statement: str, values: Sequence[Any], *, then: Then | None = None) -> Sent:
    """Run a statement, in a block of `together` at its end at the latest; `then` is called once it ran."""
    sent = Sent(statement, values, then)
    if (waiting := _waiting()) is not None:
        waiting.append(sent)
        return sent
    _run([sent])
    if then is not None:
        then(sent)
    return sent


@contextmanager
def together() -> Iterator[None]:
    """In the block, which is in a transaction, statements that are sent wait until one of them is read.

    Any other query of the thread runs after those that wait: the order is always that of the code.
    """
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if _waiting() is not None or not takes_part(connection):
        yield
        return
    _here.waiting = []
    try:
        with connection.execute_wrapper(_after_those_that_wait):
            yield
            flush()
    finally:
        _here.waiting = None


def flush() -> None:
    """Run what waits in this thread, and what those who are told of it send."""
    waiting = _waiting()
    while waiting:
        sent, waiting[:] = list(waiting), []
        _run(sent)
        for one in sent:
            if one.then is not None:
                one.then(one)


def _run(sent: Sequence[Sent]) -> None:
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if takes_part(connection):
        _open(connection)
        with connection.wrap_database_errors:
            came = _pgwire().exchange(connection.connection, [(one.statement, one.values) for one in sent])
        for one, (count, rows) in zip(sent, came, strict=True):
            one.came(count, rows)
        return
    for one in sent:
        with connection.cursor() as cursor:
            cursor.execute(one.statement, one.values)
            rows = cursor.fetchall() if cursor.description is not None else []
            one.came(int(cursor.rowcount), rows)  # SQLite counts while it returns


def takes_part(connection: Any) -> bool:
    """Whether statements of this connection may pass by Django's cursors: nobody listens to them."""
    listeners = [one for one in connection.execute_wrappers if one is not _after_those_that_wait]
    return connection.vendor == "postgresql" and not listeners and not connection.queries_logged


@contextmanager
def driver_cursor(connection: Any) -> Iterator[Any]:
    """The cursor of PostgreSQL's driver, with Django's errors."""
    _open(connection)
    with connection.wrap_database_errors:
        yield _driver().Cursor(connection.connection)


def _open(connection: Any) -> None:
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    connection.validate_no_broken_transaction()


def _waiting() -> list[Sent] | None:
    return getattr(_here, "waiting", None)


def _after_those_that_wait(execute: Callable[..., Any], *arguments: Any) -> Any:
    flush()
    return execute(*arguments)


@cache
def _pgwire() -> Any:
    from apps.core import pgwire  # noqa: PLC0415 - not where SQLite is used

    return pgwire


@cache
def _driver() -> Any:
    import psycopg  # noqa: PLC0415 - not where SQLite is used

    return psycopg

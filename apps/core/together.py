"""Statements that travel together: on PostgreSQL those of a block go to the server in one message.

Most of what a short statement costs is the way there and back. SQLite has no such way, and whoever listens to
queries (a step, a test, DEBUG) hears each by itself: there every statement runs when it is sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DataError, connections, transaction

Then = Callable[["Sent"], None]

ONE, NONE = "count(*) = 1", "count(*) = 0"  # of the rows that a statement touched or returned
NOT_SO = "22012"  # how the server says that something is not as it should be: it divided by zero

_here = threading.local()


class Sent:
    """A statement; to read what came of it makes it run now, with those that were sent before it."""

    def __init__(
        self, statement: str, values: Sequence[Any], then: Then | None, note: Then | None, sure: str
    ) -> None:
        self.statement, self.values = statement, values
        self.then, self.note, self.sure = then, note, sure
        self.is_judged = False  # the server refuses everything if it is not as is `sure`
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


def send(
    statement: str,
    values: Sequence[Any],
    *,
    then: Then | None = None,
    note: Then | None = None,
    sure: str = "",
) -> Sent:
    """Run a statement, in a block of `together` at its end at the latest; `then` is called once it ran.

    `then` may send more, so it runs in the transaction; `note` only remembers what came, maybe after it.
    `sure` is a condition on the rows of the statement under which nothing needs to be looked at: in
    `at_once` the server judges it.
    """
    sent = Sent(statement, values, then, note, sure)
    if (waiting := _waiting()) is not None:
        waiting.append(sent)
        return sent
    _run([sent])
    _tell(sent)
    return sent


@contextmanager
def together(*, commits: bool = False) -> Iterator[None]:
    """In the block, which is in a transaction, statements that are sent wait until one of them is read.

    Any other query of the thread runs after those that wait: the order is always that of the code. With
    `commits` the block is all of its transaction, and what waits at its end travels with the commit.
    """
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if _waiting() is not None or not takes_part(connection):
        yield
        return
    with _gathering(connection):
        yield
        if commits and len(connection.atomic_blocks) == 1:
            _commit()
        else:
            flush()


def gathers() -> bool:
    """Whether statements of this thread wait for others that travel with them."""
    return _waiting() is not None


def expect(name: Any, asked: Any) -> None:
    """Keep what was asked ahead until it is called for by name, or the block of `together` ends."""
    _here.ahead[name] = asked


def expected(name: Any) -> Any:
    """What was asked ahead, once; None if nothing was."""
    ahead: dict[Any, Any] = getattr(_here, "ahead", {})
    return ahead.pop(name, None)


def at_once(work: Callable[[], object]) -> bool:
    """Do the work in a transaction whose statements travel in one message with its commit.

    So no lock is held while this thread waits for its turn. False if nothing was done: where statements do
    not travel together, or where one of them was not `sure`. Then the work has to be done step by step, and
    each step looked at; it may be called a second time for that.
    """
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if connection.in_atomic_block or not takes_part(connection):
        return False
    try:
        with transaction.atomic(durable=True), _gathering(connection):
            _here.judged = True
            work()
            _commit()
    except DataError as error:
        if getattr(error.__cause__, "sqlstate", "") != NOT_SO:
            raise
        return False
    return True


@contextmanager
def _gathering(connection: Any) -> Iterator[None]:
    _here.waiting, _here.ahead, _here.judged = [], {}, False
    try:
        with connection.execute_wrapper(_after_those_that_wait):
            yield
    finally:
        _here.waiting, _here.ahead, _here.judged = None, {}, False


def flush() -> None:
    """Run what waits in this thread, and what those who are told of it send."""
    waiting = _waiting()
    while waiting:
        sent, waiting[:] = list(waiting), []
        _run(sent)
        for one in sent:
            _tell(one)


def _commit() -> None:
    """Run what waits with the commit behind it; the transaction that Django ends afterwards is over then."""
    waiting = _waiting() or []
    if any(one.then is not None and not one.sure for one in waiting):
        flush()
        return
    sent, waiting[:] = list(waiting), []
    _run(sent, commits=True)
    for one in sent:
        _tell(one)


def _tell(sent: Sent) -> None:
    if sent.note is not None:
        sent.note(sent)
    if sent.then is not None and not sent.is_judged:
        sent.then(sent)


def _run(sent: Sequence[Sent], *, commits: bool = False) -> None:
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if takes_part(connection):
        _open(connection)
        ready = [(_text_of(one), one.values) for one in sent]
        with connection.wrap_database_errors:
            came = _pgwire().exchange(connection.connection, ready, commits=commits)
        for one, (count, rows) in zip(sent, came, strict=True):
            one.came(count, rows)
        return
    for one in sent:
        with connection.cursor() as cursor:
            cursor.execute(one.statement, one.values)
            rows = cursor.fetchall() if cursor.description is not None else []
            one.came(int(cursor.rowcount), rows)  # SQLite counts while it returns


def _text_of(sent: Sent) -> str:
    sent.is_judged = bool(sent.sure) and getattr(_here, "judged", False)
    return _judging(sent.statement, sent.sure) if sent.is_judged else sent.statement


@lru_cache(maxsize=100)
def _judging(statement: str, sure: str) -> str:
    """The statement, refused with all others of its transaction unless the condition holds."""
    has_rows = statement.lstrip().startswith("SELECT") or "RETURNING" in statement
    rows = statement if has_rows else f"{statement} RETURNING 1"
    return f"WITH it AS ({rows}) SELECT 1 / ({sure})::int FROM it"  # noqa: S608 - put together from constants


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

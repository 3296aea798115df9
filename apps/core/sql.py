"""Writing rows on hot paths, where the ORM takes several times longer to build a statement than it runs.

Models stay the one place that says what a row is. Not involved: signals, `save`, defaults of the database,
and conversions other than those of moments and JSON: values have the type of their field already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

MAX_VALUES = 20_000  # of one statement; SQLite takes 32,766, PostgreSQL 65,535

Adapt = Callable[[Any], Any]


@dataclass(frozen=True)
class _Insertion:
    fields: tuple[models.Field[Any, Any], ...]
    head: str
    group: str  # the placeholders of one row
    tail: str


@contextmanager
def direct() -> Iterator[Any]:
    """A cursor for statements written by hand; on PostgreSQL the driver's own.

    It leaves the values to the server and saves half of what a statement costs the client. Where somebody
    listens to the queries of this thread (a step, a test, DEBUG) it is Django's.
    """
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "postgresql" or connection.execute_wrappers or connection.queries_logged:
        with connection.cursor() as cursor:
            yield cursor
        return
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    with connection.wrap_database_errors:
        yield _driver().Cursor(connection.connection)


@cache
def _driver() -> Any:
    import psycopg  # noqa: PLC0415 - not where SQLite is used

    return psycopg


def insert(row: models.Model) -> None:
    """Insert a new row and set its primary key."""
    insert_all([row])


def insert_all(rows: Sequence[models.Model]) -> None:
    """Insert new rows of one model and set their primary keys."""
    if not rows:
        return
    how = _insertion(type(rows[0]))
    at_once = max(1, MAX_VALUES // len(how.fields))
    for start in range(0, len(rows), at_once):
        _insert(how, rows[start : start + at_once])


def _insert(how: _Insertion, rows: Sequence[models.Model]) -> None:
    connection = connections[DEFAULT_DB_ALIAS]
    columns = [_adapter(field, connection) for field in how.fields]
    values = [
        value if adapt is None or value is None else adapt(value)
        for row in rows
        for field, adapt in zip(how.fields, columns, strict=True)
        for value in (field.pre_save(row, True),)
    ]
    with direct() as cursor:
        cursor.execute(how.head + ", ".join([how.group] * len(rows)) + how.tail, values)
        keys = cursor.fetchall()
    for row, (key,) in zip(rows, keys, strict=True):
        row.pk = key
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


@cache
def _insertion(model: type[models.Model]) -> _Insertion:
    own = model._meta
    fields = tuple(field for field in own.concrete_fields if not field.primary_key)
    columns = ", ".join(f'"{field.column}"' for field in fields)
    return _Insertion(
        fields=fields,
        head=f'INSERT INTO "{own.db_table}" ({columns}) VALUES ',  # noqa: S608 - names of the model
        group=f"({', '.join(['%s'] * len(fields))})",
        tail=f' RETURNING "{own.pk.column}"',
    )


def _adapter(field: models.Field[Any, Any], connection: BaseDatabaseWrapper) -> Adapt | None:
    if isinstance(field, models.DateTimeField):
        return connection.ops.adapt_datetimefield_value
    if isinstance(field, models.JSONField):
        return lambda value: connection.ops.adapt_json_value(value, field.encoder)
    return None


def execute(statement: str, values: Iterable[Any]) -> int:
    """Run a writing statement; how many rows it touched. Moments are given as they are."""
    connection = connections[DEFAULT_DB_ALIAS]
    with direct() as cursor:
        cursor.execute(statement, _adapted(values, connection))
        return _count(cursor)


def execute_all(statement: str, rows: Iterable[Iterable[Any]]) -> int:
    """The same for many sets of values; how many rows were touched in all."""
    connection = connections[DEFAULT_DB_ALIAS]
    with direct() as cursor:
        cursor.executemany(statement, [_adapted(values, connection) for values in rows])
        return _count(cursor)


def _adapted(values: Iterable[Any], connection: BaseDatabaseWrapper) -> list[Any]:
    adapt = connection.ops.adapt_datetimefield_value
    return [adapt(value) if isinstance(value, datetime) else value for value in values]


def _count(cursor: Any) -> int:
    return int(cursor.rowcount)

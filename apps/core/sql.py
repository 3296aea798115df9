"""Writing rows on hot paths, where the ORM takes several times longer to build a statement than it runs.

Models stay the one place that says what a row is. Not involved: signals, `save`, defaults of the database,
and conversions other than those of moments and JSON: values have the type of their field already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

from apps.core.together import Sent, Then, driver_cursor, expect, expected, flush, gathers, send, takes_part

MAX_VALUES = 20_000  # of one statement; SQLite takes 32,766, PostgreSQL 65,535
_KEYS = "SELECT nextval(its::regclass) FROM pg_get_serial_sequence(%s, %s) AS its, generate_series(1, %s)"

Adapt = Callable[[Any], Any]
Row = TypeVar("Row", bound=models.Model)


@dataclass(frozen=True)
class _Insertion:
    fields: tuple[models.Field[Any, Any], ...]
    head: str
    group: str  # the placeholders of one row
    key: str  # the column of the primary key


@contextmanager
def direct() -> Iterator[Any]:
    """A cursor for statements written by hand; on PostgreSQL the driver's own.

    It leaves the values to the server and saves half of what a statement costs the client. Where somebody
    listens to the queries of this thread (a step, a test, DEBUG) it is Django's.
    """
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if not takes_part(connection):
        with connection.cursor() as cursor:
            yield cursor
        return
    flush()
    with driver_cursor(connection) as cursor:
        yield cursor


def insert_new(row: models.Model) -> Sent:
    """Insert a row, unless its unique values are taken: then it gets no primary key."""
    note = partial(_note_keys, [row])
    return _insert(_insertion(type(row)), [row], unless="ON CONFLICT DO NOTHING", note=note)


def insert_those_new(rows: Sequence[Row], *, by: str) -> list[Row]:
    """Insert rows of one model but for those whose unique `by` is taken, and set their primary keys.

    Those that are new. One that somebody else inserts just then is waited for.
    """
    if not rows:
        return []
    how, field = _insertion(type(rows[0])), next(one for one in rows[0]._meta.fields if one.name == by)
    keys: dict[Any, Any] = {}
    for some in _portions(how, rows):
        sent = _insert(how, some, unless="ON CONFLICT DO NOTHING", returning=f'"{field.column}", {how.key}')
        keys |= dict(sent.rows)
    new = [row for row in rows if getattr(row, field.attname) in keys]
    for row in new:
        _note_key(row, keys[getattr(row, field.attname)])
    return new


def keys_ahead(model: type[models.Model], count: int) -> None:
    """Ask for primary keys with what travels next, so that `insert_all` need not wait for those it gets.

    Those that are not used are lost, as those of a transaction that fails. Where nothing travels together
    this does nothing.
    """
    own = model._meta
    if gathers():
        expect((keys_ahead, model), send(_KEYS, [f'"{own.db_table}"', own.pk.column, count]))


def insert_all(rows: Sequence[models.Model]) -> None:
    """Insert new rows of one model and set their primary keys."""
    asked = expected((keys_ahead, type(rows[0]))) if rows else None
    if asked is None or asked.count < len(rows):
        insert_soon(rows)
        flush()
        return
    for row, (key,) in zip(rows, asked.rows, strict=False):
        _note_key(row, key)
    how = _insertion(type(rows[0]), with_key=True)
    for some in _portions(how, rows):
        _insert(how, some)


def insert_soon(rows: Sequence[models.Model]) -> None:
    """The same; in a block of `together` rows and keys may come only at its end."""
    if not rows:
        return
    how = _insertion(type(rows[0]))
    for some in _portions(how, rows):
        _insert(how, some, note=partial(_note_keys, some))


def _portions(how: _Insertion, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Rows as many as one statement takes."""
    at_once = max(1, MAX_VALUES // len(how.fields))
    for start in range(0, len(rows), at_once):
        yield rows[start : start + at_once]


def _insert(
    how: _Insertion,
    rows: Sequence[models.Model],
    *,
    unless: str = "",
    returning: str = "",
    note: Callable[[Sent], None] | None = None,
) -> Sent:
    connection = connections[DEFAULT_DB_ALIAS]
    columns = [_adapter(field, connection) for field in how.fields]
    values = [
        value if adapt is None or value is None else adapt(value)
        for row in rows
        for field, adapt in zip(how.fields, columns, strict=True)
        for value in (field.pre_save(row, True),)
    ]
    groups = ", ".join([how.group] * len(rows))
    return send(f"{how.head}{groups} {unless} RETURNING {returning or how.key}", values, note=note)


def _note_keys(rows: Sequence[models.Model], inserted: Sent) -> None:
    for row, (key,) in zip(rows if inserted.rows else (), inserted.rows, strict=True):
        _note_key(row, key)


def _note_key(row: models.Model, key: Any) -> None:
    row.pk = key
    row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


@cache
def _insertion(model: type[models.Model], *, with_key: bool = False) -> _Insertion:
    own = model._meta
    fields = tuple(field for field in own.concrete_fields if with_key or not field.primary_key)
    columns = ", ".join(f'"{field.column}"' for field in fields)
    return _Insertion(
        fields=fields,
        head=f'INSERT INTO "{own.db_table}" ({columns}) VALUES ',  # noqa: S608 - names of the model
        group=f"({', '.join(['%s'] * len(fields))})",
        key=f'"{own.pk.column}"',
    )


def _adapter(field: models.Field[Any, Any], connection: BaseDatabaseWrapper) -> Adapt | None:
    if isinstance(field, models.DateTimeField):
        return connection.ops.adapt_datetimefield_value
    if isinstance(field, models.JSONField):
        return lambda value: connection.ops.adapt_json_value(value, field.encoder)
    return None


def execute(statement: str, values: Iterable[Any], *, then: Then | None = None) -> Sent:
    """Run a writing statement, maybe together with others. Moments are given as they are."""
    return send(statement, _adapted(values, connections[DEFAULT_DB_ALIAS]), then=then)


def execute_rows(
    statement: str, values: Iterable[Any], rows: Sequence[Sequence[Any]], *, then: Then | None = None
) -> Sent:
    """The same for a statement about many rows at once: `{rows}` in it stands for VALUES, after `values`.

    Their columns are called column1, column2 and so on.
    """
    group = f"({', '.join(['%s'] * len(rows[0]))})"
    places = f"(VALUES {', '.join([group] * len(rows))})"
    given = [*values, *(value for row in rows for value in row)]
    return execute(statement.format(rows=places), given, then=then)


def _adapted(values: Iterable[Any], connection: BaseDatabaseWrapper) -> list[Any]:
    adapt = connection.ops.adapt_datetimefield_value
    return [adapt(value) if isinstance(value, datetime) else value for value in values]


class Rfc3339(models.Func):
    """A moment as the text that APIs send, made by the database: reading one into Python takes longer."""

    output_field = models.TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="REPLACE(%(expressions)s, ' ', 'T') || 'Z'", **context
        )

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        form = """TO_CHAR(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
        return self.as_sql(compiler, connection, template=form, **context)


class JsonObject(models.Func):
    """An object of these expressions as JSON text, made by the database."""

    output_field = models.TextField()

    def __init__(self, **members: Any) -> None:
        self._names = tuple(members)
        super().__init__(*members.values())

    def as_sql(  # type: ignore[override]
        self, compiler: Any, connection: Any, **_: Any
    ) -> Any:
        is_postgresql = connection.vendor == "postgresql"
        parts, parameters = [], list[Any]()
        for name, expression in zip(self._names, self.get_source_expressions(), strict=True):
            sql, values = compiler.compile(expression)
            if isinstance(expression.output_field, models.JSONField) and not is_postgresql:
                sql = f"JSON({sql})"
            parts.append(f"'{name}', {sql}")
            parameters += values
        made = ", ".join(parts)
        return f"JSON_BUILD_OBJECT({made})::text" if is_postgresql else f"JSON_OBJECT({made})", parameters

"""Queries of the ORM whose statements are built once for each shape of their values.

For hot paths: the ORM takes several times longer to build a statement than a database to run it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, Generic, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import QuerySet
from django.db.models import query as orm

from apps.core.together import Sent, expect, expected, gathers, send

R = TypeVar("R")
Shape = tuple[Any, ...]
MOST_SHAPES = 100  # of one query; beyond that they are built anew


@dataclass(frozen=True)
class _Built:
    """`places` are constants of the statement, and for what changes the number of the value."""

    sql: str
    constants: tuple[Any, ...]
    places: tuple[int | None, ...]
    compiler: Any
    converters: dict[int, Any]
    own: slice  # the row's own columns
    names: list[str]
    related: list[Any]


class Prepared(Generic[R]):
    """`build` makes the query of its values: numbers, texts, moments, and tuples of those.

    Only what is compared may depend on a value, never which conditions there are. Rows come as the query
    gives them: models, or what `values_list` names, by which `flat` is known.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, R]]) -> None:
        self._build = build
        self._shapes: dict[Shape, _Built | None] = {}
        self._lock = Lock()

    def __call__(self, *values: Any, limit: int | None = None) -> list[R]:
        asked = expected((self, values, limit)) or self._ask(values, limit)
        if asked is None:
            return []
        built, sent = asked
        rows = built.compiler.apply_converters(sent.rows, built.converters)
        return [self._row(built, row) for row in rows]

    def ahead(self, *values: Any, limit: int | None = None) -> None:
        """Ask with what travels next; the same call later in this block of `together` finds the answer.

        For statements that depend on none between: a transaction asks in one message what it would else ask
        one after the other. Where nothing travels together this does nothing.
        """
        if gathers() and (asked := self._ask(values, limit)) is not None:
            expect((self, values, limit), asked)

    def _ask(self, values: tuple[Any, ...], limit: int | None) -> tuple[_Built, Sent] | None:
        built = self._built(values)
        if built is None:
            return None
        adapt = connections[DEFAULT_DB_ALIAS].ops.adapt_datetimefield_value
        now = [adapt(one) if isinstance(one, datetime) else one for one in _flat(values)]
        given = [
            constant if place is None else now[place]
            for constant, place in zip(built.constants, built.places, strict=True)
        ]
        sql, given = (built.sql, given) if limit is None else (f"{built.sql} LIMIT %s", [*given, limit])
        return built, send(sql, given)

    def _row(self, built: _Built, values: Sequence[Any]) -> R:
        query = built.compiler.query
        if query.values_select:
            row: Any = values[0] if len(query.values_select) == 1 else tuple(values)
            return row  # type: ignore[no-any-return]
        row = query.model.from_db(DEFAULT_DB_ALIAS, built.names, values[built.own])
        for populator in built.related:
            populator.populate(values, row)
        return row  # type: ignore[no-any-return]

    def _built(self, values: tuple[Any, ...]) -> _Built | None:
        shape = tuple((type(one), len(one)) if isinstance(one, tuple) else type(one) for one in values)
        with self._lock:
            if shape not in self._shapes:
                if len(self._shapes) >= MOST_SHAPES:
                    self._shapes.clear()
                self._shapes[shape] = _statement(self._build, values)
            return self._shapes[shape]


def _statement(build: Callable[..., QuerySet[Any, Any]], values: tuple[Any, ...]) -> _Built | None:
    """None if no row can match."""
    flat = _flat(values)
    marks = [_mark(number, one) for number, one in enumerate(flat)]
    unused = iter(marks)
    standing = [
        tuple(next(unused) for _ in one) if isinstance(one, tuple) else next(unused) for one in values
    ]
    compiler: Any = build(*standing).query.get_compiler(DEFAULT_DB_ALIAS)
    try:
        sql, parameters = compiler.as_sql()
    except EmptyResultSet:
        if () not in values:
            raise
        return None
    adapt = connections[DEFAULT_DB_ALIAS].ops.adapt_datetimefield_value
    told = [adapt(one) if isinstance(one, datetime) else one for one in marks]
    places = [told.index(one) if one in told else None for one in parameters]
    if set(range(len(told))) - set(places):
        raise ValueError(f"Not every value is a parameter of the statement: {sql}")
    select = compiler.klass_info["select_fields"] if compiler.klass_info else []
    own = slice(select[0], select[-1] + 1) if select else slice(0, 0)
    populators: Any = orm.get_related_populators
    return _Built(
        sql=sql,
        constants=tuple(parameters),
        places=tuple(places),
        compiler=compiler,
        converters=compiler.get_converters([column[0] for column in compiler.select]),
        own=own,
        names=[column[0].target.attname for column in compiler.select[own]],
        related=populators(compiler.klass_info, compiler.select, DEFAULT_DB_ALIAS) if select else [],
    )


def _flat(values: tuple[Any, ...]) -> list[Any]:
    return [one for value in values for one in (value if isinstance(value, tuple) else (value,))]


def _mark(number: int, value: Any) -> Any:
    """What stands for a value while the statement is built; "is null" is another statement than "equals"."""
    if value is None:
        raise TypeError("A statement that is built once cannot be given None: say isnull in the query.")
    if isinstance(value, datetime):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=919_191 + number)
    if isinstance(value, str):
        return f"\x01place {number}"
    return -919_191_000 - number

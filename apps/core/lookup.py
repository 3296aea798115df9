"""Reading one row by its key, with what hangs off it, by a statement that is built once per process.

For hot paths: with a few joins the ORM takes several times longer to build a statement than it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model, QuerySet
from django.db.models import query as orm

from apps.core.sql import direct

M = TypeVar("M", bound=Model)
PLACE = -919_191  # stands for the key while the statement is built


@dataclass(frozen=True)
class _Built:
    sql: str
    parameters: tuple[Any, ...]
    compiler: Any
    converters: dict[int, Any]
    own: slice  # the row's own columns
    names: list[str]
    related: list[Any]


class Lookup(Generic[M]):
    """`rows` says which columns and relations are read (`select_related`, `defer`), and of which rows."""

    def __init__(self, rows: QuerySet[M]) -> None:
        self._rows = rows
        self._built: _Built | None = None
        self._lock = Lock()

    def get(self, key: int) -> M:
        """The row; raises the model's DoesNotExist."""
        built = self._build()
        with direct() as cursor:
            cursor.execute(built.sql, [key if value == PLACE else value for value in built.parameters])
            found = cursor.fetchone()
        for values in built.compiler.apply_converters([found] if found else [], built.converters):
            row: M = self._rows.model.from_db(DEFAULT_DB_ALIAS, built.names, values[built.own])
            for populator in built.related:
                populator.populate(values, row)
            return row
        model: Any = self._rows.model
        raise model.DoesNotExist(f"There is no {model.__name__} {key}.")

    def _build(self) -> _Built:
        with self._lock:
            if self._built is None:
                compiler: Any = self._rows.filter(pk=PLACE).query.get_compiler(DEFAULT_DB_ALIAS)
                sql, parameters = compiler.as_sql()
                populators: Any = orm.get_related_populators
                own = compiler.klass_info["select_fields"]
                self._built = _Built(
                    sql=sql,
                    parameters=tuple(parameters),
                    compiler=compiler,
                    converters=compiler.get_converters([column[0] for column in compiler.select]),
                    own=slice(own[0], own[-1] + 1),
                    names=[column[0].target.attname for column in compiler.select[own[0] : own[-1] + 1]],
                    related=populators(compiler.klass_info, compiler.select, DEFAULT_DB_ALIAS),
                )
            return self._built

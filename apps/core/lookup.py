"""Reading rows by statements that are built once per process.

For hot paths: with a few joins the ORM takes several times longer to build a statement than it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model, QuerySet

from apps.core.prepared import Prepared
from apps.core.sql import direct

M = TypeVar("M", bound=Model)
PLACE = -919_191  # stands for the key while the statement is built


@dataclass(frozen=True)
class Statement:
    """A query whose rows come as the database has them: nothing is converted."""

    sql: str
    parameters: tuple[Any, ...]  # PLACE where `fetch` puts in what changes

    @classmethod
    def of(cls, rows: QuerySet[Any, Any]) -> Statement | None:
        """None if no row can match."""
        try:
            sql, parameters = rows.query.get_compiler(DEFAULT_DB_ALIAS).as_sql()
        except EmptyResultSet:
            return None
        return cls(sql, tuple(parameters))

    def fetch(self, place: int = PLACE) -> list[tuple[Any, ...]]:
        values = [place if value == PLACE else value for value in self.parameters]
        # PostgreSQL cannot tell the type of a value that is first given to UPPER.
        with connections[DEFAULT_DB_ALIAS].cursor() if "UPPER(%s)" in self.sql else direct() as cursor:
            cursor.execute(self.sql, values)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found


class Range:
    """The count and pages of a query, as a paginator asks for them; a row is its key and other columns.

    Which rows are a page is found first, over the keys alone: the database makes the columns of these only.
    """

    def __init__(self, rows: QuerySet[Any, Any], columns: Columns) -> None:
        self._keys = Statement.of(rows.values("pk"))
        self._unordered = Statement.of(rows.order_by().values("pk"))
        self._around = columns.around(rows.query.order_by)

    def count(self) -> int:
        if self._unordered is None:
            return 0
        sql = f"SELECT COUNT(*) FROM ({self._unordered.sql}) AS counted"  # noqa: S608 - of the ORM
        count: int = Statement(sql, self._unordered.parameters).fetch()[0][0]
        return count

    def __getitem__(self, part: slice) -> list[tuple[Any, ...]]:
        if self._keys is None:
            return []
        before, after = self._around
        sql = f"{before}{self._keys.sql} LIMIT %s OFFSET %s{after}"
        return Statement(sql, (*self._keys.parameters, part.stop - part.start, part.start)).fetch()


class Lookup(Generic[M]):
    """`rows` says which columns and relations are read (`select_related`, `defer`), and of which rows."""

    def __init__(self, rows: QuerySet[M]) -> None:
        self._rows = rows
        self._of: Prepared[M] = Prepared(lambda keys: rows.filter(pk__in=keys))

    def get(self, key: int) -> M:
        """The row; raises the model's DoesNotExist."""
        for row in self.all([key]):
            return row
        model: Any = self._rows.model
        raise model.DoesNotExist(f"There is no {model.__name__} {key}.")

    def all(self, keys: Sequence[int]) -> list[M]:
        """The rows that there are, by one statement."""
        return self._of(tuple(keys))


class Columns:
    """Columns of some rows by their keys, as the database has them; the key is the first of them."""

    def __init__(self, rows: QuerySet[Any, tuple[Any, ...]]) -> None:
        self._rows = rows  # a `values_list`
        self._parts: tuple[str, str] | None = None

    def of(self, keys: Sequence[int]) -> dict[int, tuple[Any, ...]]:
        """By key."""
        if not keys:
            return {}
        self._parts = self._parts or self.around(())
        before, after = self._parts
        found = Statement(f"{before}{', '.join(['%s'] * len(keys))}{after}", tuple(keys)).fetch()
        return {row[0]: row for row in found}

    def around(self, ordering: Sequence[Any]) -> tuple[str, str]:
        """The statement before and after the keys."""
        built = Statement.of(self._rows.filter(pk__in=[PLACE]).order_by(*ordering))
        before, placeholder, after = built.sql.rpartition("%s") if built else ("", "", "")
        if built is None or built.parameters != (PLACE,) or not placeholder:
            raise ValueError("Only the keys may be parameters of this statement.")
        return before, after

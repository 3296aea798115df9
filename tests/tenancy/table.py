"""What a row of the table says about a route, and the table itself: all rows of `tests/tenancy/rows/`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.tenancy import rows


@dataclass(frozen=True)
class Row:
    """How one route is called, and what it shows to whom.

    `args` and values of `body` that begin with @ name things of the world (`world.ids`); of `args` those that
    begin with = are words as they are.
    """

    kind: str
    args: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    query: str = ""
    permission: str = ""  # where the view does not tell which it asks for
    expect: Mapping[str, int | tuple[int, ...]] = field(default_factory=dict)  # persona -> what is unusual
    common: bool = False  # shows things that belong to nobody too, so that an empty list is not empty
    is_stream: bool = False  # never ends: only its beginning is read


def many(args: dict[str, str] | None = None, **more: Any) -> Row:
    """Shows what there is: strangers get a list without anything of ours, and a count that agrees."""
    return Row("many", args=args or {}, **more)


def one(args: dict[str, str] | None = None, **more: Any) -> Row:
    """About one thing of the shared project, or of the organization: strangers get 404."""
    return Row("one", args=args or {}, **more)


def organization(args: dict[str, str] | None = None, **more: Any) -> Row:
    """About something of the organization that is in no project: the shared project does not help."""
    return Row("organization", args=args or {}, **more)


def own(args: dict[str, str] | None = None, **more: Any) -> Row:
    """One's own: everybody who is logged in has some."""
    return Row("own", args=args or {}, **more)


def everybody(args: dict[str, str] | None = None, **more: Any) -> Row:
    """Open to all, and therefore without anything of ours."""
    return Row("everybody", args=args or {}, **more)


TABLE: dict[str, Row] = {}
GROWERS: list[Callable[[Any], None]] = []

for module in pkgutil.iter_modules(rows.__path__):
    found = importlib.import_module(f"tests.tenancy.rows.{module.name}")
    if twice := TABLE.keys() & found.ROWS.keys():
        raise ValueError(f"These routes have two rows: {sorted(twice)}")
    TABLE |= found.ROWS
    if grow := getattr(found, "grow", None):
        GROWERS.append(grow)

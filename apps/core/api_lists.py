"""Lists of the API: bare arrays cut into pages, narrowed by declared parameters, searched and ordered.

A view says what its list understands, and the schema tells it:

    filters = {"status": words("status", choices=Bead.Status.values), "project_id": numbers("project_id")}
    orderings = {"created_at": "created_at", "priority": "priority"}
    search_fields = ("title", "description")

What a list of a part of an object understands, such as the members of an organization, stands in `listings`:

    listings = {"members": Listing({"role": words("role")}, {"role": "role"}, ("user__username",))}

With `filters` declared, a parameter that is none of these is refused, so that a slip of the pen never lists
everything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request

from apps.core.api import MAX_NUMBER
from apps.core.errors import BadInput

PAGING = ("limit", "offset", "cursor")
ALWAYS = frozenset({*PAGING, "format"})  # `format` chooses the renderer
MOST_WORDS, MOST_CHARS = 100, 400
TRUE, FALSE = {"true", "1", "yes"}, {"false", "0", "no"}


@dataclass(frozen=True)
class Filter:
    """One parameter: `read` turns its text into a value, `lookup` (a field lookup or a function) narrows."""

    lookup: str | Callable[[QuerySet[Any], Any], QuerySet[Any]]
    read: Callable[[str, str], Any]
    schema: Mapping[str, Any]
    help: str = ""

    def narrow(self, rows: QuerySet[Any], name: str, text: str) -> QuerySet[Any]:
        value = self.read(name, text)
        return self.lookup(rows, value) if callable(self.lookup) else rows.filter(**{self.lookup: value})


Lookup = str | Callable[[QuerySet[Any], Any], QuerySet[Any]]


@dataclass(frozen=True)
class Listing:
    """What one list understands: filters, what it can be ordered by and searched in, and the view's own."""

    filters: Mapping[str, Filter] = field(default_factory=dict)
    orderings: Mapping[str, str] = field(default_factory=dict)  # parameter -> field, that is never null
    search_fields: Collection[str] = ()
    extra_parameters: Collection[str] = ()


def listing_of(view: Any) -> Listing | None:
    """What the list that is asked for understands; None: this is not said."""
    action = getattr(view, "action", None)
    if (found := getattr(view, "listings", {}).get(action)) is not None:
        told: Listing = found
        return told
    if action not in lists_of(view) or getattr(view, "filters", None) is None:
        return None
    return Listing(view.filters, view.orderings, view.search_fields, view.extra_parameters)


def lists_of(view: Any) -> set[str]:
    """The actions of a view that answer a list."""
    return {*getattr(view, "list_actions", {"list"}), *getattr(view, "listings", {})}


def as_asked(rows: QuerySet[Any], _: Any) -> QuerySet[Any]:
    """For filters that the view applies itself."""
    return rows


def words(lookup: Lookup, *, choices: Collection[str] = (), help: str = "") -> Filter:  # noqa: A002
    """Any of a comma-separated list of words; with `choices`, of these."""
    allowed = {str(choice).lower(): str(choice) for choice in choices}

    def read(name: str, text: str) -> list[str]:
        given = _split(name, text)
        if not allowed:
            return given
        if unknown := [word for word in given if word.lower() not in allowed]:
            known = ", ".join(allowed.values())
            raise bad(name, f"{name} is never {unknown[0][:40]!r}; it is one of: {known}.")
        return [allowed[word.lower()] for word in given]

    item = {"type": "string", **({"enum": list(allowed.values())} if allowed else {})}
    return Filter(_any_of(lookup), read, {"type": "array", "items": item}, help)


def numbers(lookup: Lookup, *, least: int = 0, most: int = MAX_NUMBER, help: str = "") -> Filter:  # noqa: A002
    """Any of a comma-separated list of whole numbers."""

    def read(name: str, text: str) -> list[int]:
        given = _split(name, text)
        if not all(word.isascii() and word.isdigit() and len(word) < 20 for word in given):
            raise bad(name, f"{name} must be a whole number, or several with commas between them.")
        if not all(least <= int(word) <= most for word in given):
            raise bad(name, f"{name} goes from {least} to {most}.")
        return [int(word) for word in given]

    item = {"type": "integer", "minimum": least, "maximum": most}
    return Filter(_any_of(lookup), read, {"type": "array", "items": item}, help)


def flag(lookup: Lookup, *, help: str = "") -> Filter:  # noqa: A002
    def read(name: str, text: str) -> bool:
        if text.lower() not in TRUE | FALSE:
            raise bad(name, f"{name} must be true or false.")
        return text.lower() in TRUE

    return Filter(lookup, read, {"type": "boolean"}, help)


def moment(lookup: Lookup, *, help: str = "") -> Filter:  # noqa: A002
    """A time as RFC 3339 writes it; without an offset, UTC."""
    return Filter(lookup, read_moment, {"type": "string", "format": "date-time"}, help)


def read_moment(name: str, text: str) -> datetime:
    try:
        found = parse_datetime(text.replace(" ", "+"))  # a plus sign that nobody encoded
        found = found and (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise bad(name, f"{name} must be a time such as 2026-01-31T12:00:00Z.")
    return found


def param_text(params: Any, name: str) -> str:
    """The text of a parameter; some clients repeat it where others put commas."""
    return ",".join(params.getlist(name))


def _any_of(lookup: Lookup) -> Lookup:
    return lookup if callable(lookup) else f"{lookup}__in"


def _split(name: str, text: str) -> list[str]:
    given = [word.strip() for word in text.split(",") if word.strip()]
    if len(given) > MOST_WORDS or any(len(word) > MOST_CHARS or "\0" in word for word in given):
        raise bad(name, f"{name} takes up to {MOST_WORDS} words of up to {MOST_CHARS} characters.")
    return given


def bad(name: str, message: str) -> BadInput:
    return BadInput(message, details={"field": name})


# -- narrowing, searching, ordering -------------------------------------------------------------------


def rows_narrow(
    request: Request, rows: QuerySet[Any], filters: Mapping[str, Filter], *, known: Collection[str] = ()
) -> QuerySet[Any]:
    """The rows that the query string asks for; refuses parameters that are neither filters nor `known`."""
    params = request.query_params
    understood = {*filters, *known} | ALWAYS
    if unknown := [name for name in params if name not in understood]:
        raise BadInput(
            f"This list knows no parameter {unknown[0][:40]!r}.",
            hint=f"It knows: {', '.join(sorted(understood))}.",
            details={"field": unknown[0][:40]},
        )
    for name, narrowing in filters.items():
        if text := param_text(params, name).strip():
            rows = narrowing.narrow(rows, name, text)
    return rows


def ordering_of(request: Request, view: Any, rows: QuerySet[Any]) -> list[str]:
    """The fields to order by, as Django writes them, ending with the primary key."""
    listing = listing_of(view)
    orderings: Mapping[str, str] = listing.orderings if listing else {}
    asked = _split("ordering", param_text(request.query_params, "ordering"))
    if unknown := [word for word in asked if word.removeprefix("-") not in orderings]:
        known = ", ".join(orderings) or "nothing"
        raise bad("ordering", f"This list cannot be ordered by {unknown[0][:40]!r}; it can by: {known}.")
    fields = ["-" * word.startswith("-") + orderings[word.removeprefix("-")] for word in asked]
    fields = fields or [_column(rows, str(name)) for name in rows.query.order_by or rows.model._meta.ordering]
    names = [field.removeprefix("-") for field in fields]
    if not {"pk", "id"} & set(names):
        fields.append("-pk" if fields and fields[0].startswith("-") else "pk")
    return ["-" * field.startswith("-") + field.removeprefix("-").replace("pk", "id") for field in fields]


def _column(rows: QuerySet[Any], name: str) -> str:
    """Of a relation its column: to order by it needs no join, and a cursor can hold it."""
    plain = name.removeprefix("-")
    known: dict[str, str] = {one.name: one.attname for one in rows.model._meta.concrete_fields}
    return "-" * name.startswith("-") + known.get(plain, plain)


def search(rows: QuerySet[Any], text: str, fields: Collection[str]) -> QuerySet[Any]:
    """Rows in which each word stands in one of the fields, in any case."""
    for word in text[:MOST_CHARS].replace("\0", "").split()[:10]:
        rows = rows.filter(reduce(or_, (Q(**{f"{field}__icontains": word}) for field in fields)))
    return rows


def rows_asked(request: Request, rows: QuerySet[Any], view: Any) -> QuerySet[Any]:
    """The rows of a list that the query string asks for, in the order it asks for."""
    if (listing := listing_of(view)) is None:
        return rows
    rows = rows_narrow(
        request, rows, listing.filters, known={"ordering", "search", *listing.extra_parameters}
    )
    if text := request.query_params.get("search", "").strip():
        if not listing.search_fields:
            raise bad("search", "This list cannot be searched.")
        rows = search(rows, text, listing.search_fields)
    return rows.order_by(*ordering_of(request, view, rows))


class ListFilters(BaseFilterBackend):
    """Applies what the view declares to its list."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        # Of other actions these may be rows that one object is looked for in.
        return rows_asked(request, queryset, view) if getattr(view, "action", None) == "list" else queryset

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        if (listing := listing_of(view)) is None:
            return []
        told = [filter_parameter(name, each) for name, each in listing.filters.items()]
        if listing.search_fields:
            told.append(parameter("search", {"type": "string", "maxLength": MOST_CHARS}, "Words to find."))
        if listing.orderings:
            signed = [f"{sign}{name}" for name in listing.orderings for sign in ("", "-")]
            spoken = [f"{name}{end}".upper() for name in listing.orderings for end in ("", "_descending")]
            item = {"type": "string", "enum": signed, "x-enum-varnames": spoken}
            told.append(parameter("ordering", {"type": "array", "items": item}, "A minus: descending."))
        return told


def filter_parameter(name: str, each: Filter) -> dict[str, Any]:
    return parameter(name, dict(each.schema), each.help)


def parameter(name: str, schema: dict[str, Any], help: str) -> dict[str, Any]:  # noqa: A002
    told: dict[str, Any] = {"name": name, "in": "query", "required": False, "schema": schema}
    if schema.get("type") == "array":
        told |= {"style": "form", "explode": False}
    return {**told, "description": help} if help else told

"""Every list there is, found in the URL conf: its pages, filters, order, search and queries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.urls import get_resolver
from drf_spectacular.generators import SchemaGenerator

from apps.core.api_lists import Filter
from tests.api.list_house import (
    API,
    COMPUTED,
    ENVELOPES,
    FILES,
    MANY,
    NO_LISTS,
    NO_PARTS,
    Found,
    House,
    house,
    is_list,
    lists,
    names_of,
    rows_of,
    total_of,
)
from tests.tenancy.table import TABLE

__all__ = ["house", "lists"]

pytestmark = pytest.mark.django_db


def test_every_answer_that_is_a_list_is_known_as_one(house: House) -> None:
    """A route that answers rows has pages, or stands above with a reason."""
    faults = []
    reasons = [prefix for prefixes in NO_LISTS.values() for prefix in prefixes]
    for found in house.lists:
        path = found.path.removeprefix(API)
        if TABLE[f"GET {found.path}"].is_stream or path.endswith(("/stream", ".yaml")) or found.path in FILES:
            continue
        answer = house.client.get(found.address)
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        if not is_json or getattr(answer, "streaming", False):
            continue
        body = answer.json()
        if isinstance(body, list) and not is_list(found):
            faults.append(f"{path} answers a list without pages")
        if (
            isinstance(body, dict)
            and answer.status_code == 200
            and is_list(found) != (found.path in ENVELOPES)
        ):
            faults.append(f"{path} answers a list in an object, which ENVELOPES does not tell of")
        holds = isinstance(body, dict) and any(
            isinstance(value, list) and value and isinstance(value[0], dict) for value in body.values()
        )
        excused = any(path == one or (one.endswith(("/", "s")) and path.startswith(one)) for one in reasons)
        if holds and not is_list(found) and not excused:
            faults.append(f"{path} answers rows in an object, without pages and without a reason")
    assert not faults, "\n".join(faults)


def test_no_list_asks_the_database_more_often_when_there_is_more(lists: list[Found]) -> None:
    """At three rows and at thirty."""
    faults = [
        f"{found.path} shows {found.totals[MANY]} rows"
        for found in lists
        if found.path not in COMPUTED and found.totals[MANY] < MANY
    ]
    faults += [
        f"{found.path}: {found.queries[3]} queries for 3 rows, {found.queries[MANY]} for {MANY}"
        for found in lists
        if found.queries[MANY] > found.queries[3]
    ]
    assert not faults, "\n".join(faults)


def test_lists_come_in_pages(house: House, lists: list[Found]) -> None:
    faults = []
    for found in lists:
        try:
            _pages_check(house, found)
        except (AssertionError, KeyError) as error:
            faults.append(f"{found.path}: {str(error).splitlines()[0]}")
    assert not faults, "\n".join(faults)


def _pages_check(house: House, found: Found) -> None:
    whole = house.ask(found, limit=5)
    total, expected = total_of(whole), names_of(found, whole)
    assert total >= 2, f"shows {total} rows, which makes no pages"
    first = house.ask(found, limit=1)
    assert (total_of(first), names_of(found, first)) == (total, expected[:1]), "limit=1 is no first row"
    assert 'rel="next"' in first["Link"], "Link names no next page"
    second = house.ask(found, limit=1, offset=1)
    assert names_of(found, second) == expected[1:2], "offset=1 is no second row"
    assert 'rel="prev"' in second["Link"], "Link names no page before"
    assert rows_of(found, house.ask(found, offset=10**6)) == [], "there is something after the end"
    many = house.ask(found, limit=10**9)
    assert many.status_code == 400 or len(rows_of(found, many)) <= 1000, "limit has no bound"
    if found.path not in COMPUTED and found.path != f"{API}/workflows":
        after, got = house.ask(found, limit=2, cursor=""), []
        for _ in range(2):
            got += names_of(found, after)
            links = re.search(r'<([^>]*)>; rel="next"', after.headers.get("Link", ""))
            assert links or total <= len(got), "a cursor leads nowhere"
            after = house.ask(found, **dict(parse_qsl(urlsplit(links[1]).query))) if links else after
        assert got[:4] == expected[:4], "by cursor there are other rows"
        assert house.ask(found, cursor="x").status_code == 400, "any text is a cursor"
    for wrong in ("limit=0", "limit=x", "offset=-1"):
        name, value = wrong.split("=")
        assert house.ask(found, **{name: value}).status_code == 400, f"{wrong} is taken"


def test_lists_are_ordered_by_what_they_say(house: House, lists: list[Found]) -> None:
    faults = []
    for found in lists:
        if found.path in COMPUTED:
            continue
        if not found.listing.orderings:
            faults.append(f"{found.path} cannot be ordered")
        for name in found.listing.orderings:
            up = house.ask(found, ordering=name, limit=4)
            down = house.ask(found, ordering=f"-{name}", limit=4, offset=max(0, total_of(up) - 4))
            if (up.status_code, down.status_code) != (200, 200):
                faults.append(f"{found.path}?ordering={name}: {up.status_code}, {down.status_code}")
            elif names_of(found, up) != names_of(found, down)[::-1]:
                faults.append(f"{found.path}?ordering={name} is not the other way round with a minus")
        if house.ask(found, ordering="colour").status_code != 400:
            faults.append(f"{found.path} is ordered by anything")
    assert not faults, "\n".join(faults)


def test_lists_are_searched_and_narrowed_by_what_they_say(house: House, lists: list[Found]) -> None:
    faults = []
    for found in lists:
        if found.path in COMPUTED:
            continue
        total, listing = total_of(house.ask(found, limit=1)), found.listing
        if not listing.filters:
            faults.append(f"{found.path} has no filters")
        if house.ask(found, colour="red").status_code != 400:
            faults.append(f"{found.path} takes any parameter")
        if listing.search_fields:
            if total_of(house.ask(found, search="zqnothing", limit=1)) != 0:
                faults.append(f"{found.path}?search= does not narrow")
        elif house.ask(found, search="x").status_code != 400:
            faults.append(f"{found.path} ignores search")
        for name, one in listing.filters.items():
            if f"{name}=" not in found.address:
                faults += [
                    f"{found.path}?{name}= {fault}"
                    for fault in _filter_faults(house, found, name, one, total)
                ]
    assert not faults, "\n".join(faults)


def _filter_faults(house: House, found: Found, name: str, one: Filter, total: int) -> Iterator[str]:
    """Values that must find nothing, or be refused; and of choices, that one of them leaves something out."""
    schema: Any = one.schema.get("items", one.schema)

    def count(value: Any) -> int:
        answer = house.ask(found, **{name: value}, limit=1)
        return total_of(answer) if answer.status_code == 200 else -answer.status_code

    kind = "choice" if "enum" in schema else schema.get("format", schema["type"])
    nothing = count("zqnothing")
    if nothing not in ({0, -400, -404} if kind == "string" else {-400}):
        yield f"finds {nothing} of a word that is none"
    if name in NO_PARTS:
        return
    if kind in {"choice", "boolean"}:
        counts = [count(choice) for choice in schema.get("enum", ["true", "false"])[:3]]
        if min(counts) < 0 or (total and all(number == total for number in counts)):
            yield f"narrows nothing, of {total}: {counts}"
    elif kind == "date-time":
        ends = [count(f"{year}-01-01T00:00:00Z") for year in (1999, 2999)]
        if min(ends) != 0:
            yield f"finds {ends} at the ends of time"
    elif kind == "integer" and (got := count(schema.get("maximum", 2**62))) not in {0, total, -404}:
        yield f"finds {got} of a number that is none"


def test_the_schema_tells_of_every_parameter(house: House, lists: list[Found]) -> None:
    patterns = [
        pattern for pattern in get_resolver().url_patterns if str(pattern.pattern).startswith("api/v1/")
    ]
    schema: Any = SchemaGenerator(patterns=patterns).get_schema(None, True)  # type: ignore[no-untyped-call]
    told = {
        re.sub(r"{\w+}", "{}", path): {
            parameter["name"] for parameter in item.get("get", {}).get("parameters", ())
        }
        for path, item in schema["paths"].items()
    }
    faults = []
    for found in lists:
        listing, known = found.listing, told[re.sub(r"{\w+}", "{}", found.path)]
        needed = {"limit", "offset", *listing.filters}
        needed |= {"ordering"} if listing.orderings else set()
        needed |= {"search"} if listing.search_fields else set()
        if missing := sorted(needed - known):
            faults.append(f"{found.path}: {missing}")
    assert not faults, "\n".join(faults)

"""Every route, asked by everybody: the right status, and not a byte of what is not theirs.

The routes are read from the URL conf; what each needs to be called stands in the table (`rows/`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.urls import URLPattern, URLResolver, get_resolver

from apps.accounts.permissions import roles_with
from tests.tenancy.routes import Route, all_routes, readable
from tests.tenancy.table import TABLE, Row
from tests.tenancy.world import HIDDEN, MEMBERS, PERSONAS, SHARED, STRANGERS, Tenancy, tenancy_build

pytestmark = [pytest.mark.django_db, pytest.mark.once]
ROUTES = {route.name: route for route in all_routes()}
FINE = {400, 409, 412, 415, 422, 428, 501}  # let in, though what was sent makes no sense to the view
STREAM_CHUNKS = 2


@pytest.fixture(autouse=True)
def nobody_is_throttled(settings: Any) -> None:
    """Everybody comes from one address here, some of them with wrong passwords."""
    settings.LOOM_LOGINS_PER_ACCOUNT = settings.LOOM_LOGINS_PER_ADDRESS = 100_000


@pytest.fixture(scope="module")
def tenancy(django_db_setup: None, django_db_blocker: Any) -> Iterator[Tenancy]:
    """One world for all routes; what a request changes is undone after it."""
    with django_db_blocker.unblock(), transaction.atomic():
        asked = {
            TABLE[name].permission or route.permission for name, route in ROUTES.items() if name in TABLE
        }
        yield tenancy_build(
            permission for permission in asked if not permission.startswith(("account:", ":")) and permission
        )
        transaction.set_rollback(True)


def test_every_route_has_a_row() -> None:
    missing = sorted(ROUTES.keys() - TABLE.keys())
    lines = [f'    "{name}": {_suggestion(ROUTES[name])},' for name in missing]
    assert not missing, "\n".join(
        [
            "These routes have no row that says who may see what. Add one for each to tests/tenancy/rows/",
            "(how: docs/architecture.md, Tenants), such as:",
            *lines,
        ]
    )


def test_every_row_has_a_route() -> None:
    assert sorted(TABLE.keys() - ROUTES.keys()) == [], "These rows are of routes that are gone."


def _suggestion(route: Route) -> str:
    if "{" in route.path:
        names = route.path.split("{")[1:]
        return "one({" + ", ".join(f'"{name.partition("}")[0]}": "bead"' for name in names) + "})"
    return "many()" if route.method == "get" else 'one(body={"project_id": "@project"})'


@pytest.mark.parametrize("name", sorted(TABLE.keys() & ROUTES.keys()))
def test_everybody_sees_what_is_theirs(tenancy: Tenancy, name: str) -> None:
    route, row = ROUTES[name], TABLE[name]
    permission = row.permission or route.permission
    faults = []
    for persona in PERSONAS:
        wanted = expected(route, row, permission, persona)
        faults += _faults(tenancy, route, row, persona, permission, wanted)
    if row.kind == "one" and _has_hidden_twin(tenancy, row):
        wanted = {404} | (expected(route, row, permission, "shared") & {403})
        faults += _faults(tenancy, route, row, "shared", permission, wanted, tenancy.hidden_ids)
    assert not faults, "\n".join([name, *faults])


def expected(route: Route, row: Row, permission: str, persona: str) -> set[int]:
    """The statuses that are right; 200 stands for all that mean: let in."""
    if (given := row.expect.get(persona, row.expect.get("all"))) is not None:
        return {given} if isinstance(given, int) else set(given)
    if row.kind == "everybody":
        return {200}
    if persona == "anonymous":
        return {401} if route.is_api else {302}
    if row.kind == "own":
        is_key = "key" in persona
        if is_key and not route.is_api:
            return {302}
        return {403} if is_key and not permission.endswith(":read") else {200}
    if not route.is_api:
        return _expected_of_page(row, permission, persona)
    if persona in {"key", "other key"}:
        return {200} if persona == "key" else {403}
    if not _role_allows(persona, permission):
        return {403} if row.kind == "many" or persona in MEMBERS else {403, 404}
    return {404} if _is_strange(row, persona) else {200}


def _role_allows(persona: str, permission: str) -> bool:
    role = {**MEMBERS, "stranger": "admin", "removed": "user", "shared": "user"}[persona]
    return role in roles_with(permission)


def _expected_of_page(row: Row, permission: str, persona: str) -> set[int]:
    if "key" in persona:
        return {302}  # pages know sessions only
    if permission and not _role_allows(persona, permission):
        return {403, 404}
    return {404} if _is_strange(row, persona) else {200}


def _is_strange(row: Row, persona: str) -> bool:
    """What the row is about is nothing that this persona knows of."""
    if row.kind == "organization":
        return persona in {*STRANGERS, "shared"}
    return row.kind == "one" and persona in STRANGERS


def _has_hidden_twin(tenancy: Tenancy, row: Row) -> bool:
    names = [*row.args.values(), *[value[1:] for value in _references(row.body)]]
    return any(tenancy.hidden_ids.get(name) != tenancy.ids.get(name) for name in names)


def _references(body: Any) -> list[str]:
    values = body.values() if isinstance(body, dict) else []
    return [value for value in values if isinstance(value, str) and value.startswith("@")]


def _faults(
    tenancy: Tenancy,
    route: Route,
    row: Row,
    persona: str,
    permission: str,
    wanted: set[int],
    ids: dict[str, Any] | None = None,
) -> list[str]:
    """What is wrong with the answer to one request of one persona."""
    ids = ids or tenancy.ids
    values = {
        key: name[1:] if name.startswith("=") else ids.get(name, name) for key, name in row.args.items()
    }
    address = route.path.format(**values) + (f"?{row.query.format(**ids)}" if row.query else "")
    body = {
        key: ids[value[1:]] if value in _references(row.body) else value
        for key, value in (row.body or {}).items()
    }
    more = {"content_type": "application/json"} if route.is_api and route.method != "get" else {}
    client = tenancy.client(persona, permission)
    with transaction.atomic():
        answer = getattr(client, route.method)(address, body if route.method != "get" else None, **more)
        text = _text(answer, row)
        transaction.set_rollback(True)
    who = f"{persona}{' (hidden project)' if ids is tenancy.hidden_ids else ''}"
    faults = []
    if not _is_right(answer.status_code, wanted, route):
        faults.append(f"  {who}: {answer.status_code} instead of {sorted(wanted)}: {text[:300]}")
    for value in [address, *map(str, values.values()), *map(str, body.values())]:
        text = text.replace(value, "")  # what one said oneself
    markers = [SHARED, HIDDEN] if persona in STRANGERS else [HIDDEN] if persona == "shared" else []
    faults += [
        f"  {who}: reads {text[max(0, text.index(word) - 100) :][:200]!r}" for word in markers if word in text
    ]
    total = answer.headers.get("X-Total-Count", "0")
    if persona in STRANGERS and row.kind == "many" and not row.common and total != "0":
        faults.append(f"  {who}: is told of {total} rows")
    return faults


def _is_right(status: int, wanted: set[int], route: Route) -> bool:
    if status in wanted:
        return True
    let_in = status < 300 or (status == 302 and not route.is_api)
    return 200 in wanted and (let_in or (route.method != "get" and status in FINE))


def _text(answer: Any, row: Row) -> str:
    headers = " ".join(f"{name}: {value}" for name, value in answer.headers.items())
    if not getattr(answer, "streaming", False):
        return f"{answer.content.decode(errors='replace')}\n{headers}"
    if row.is_stream:
        answer.close()
        return headers
    return f"{answer.getvalue().decode(errors='replace')}\n{headers}"


# -- pages for staff ---------------------------------------------------------------------------------


def _staff_pages(patterns: list[Any], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        text = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _staff_pages(pattern.url_patterns, text)
        elif isinstance(pattern, URLPattern) and text.startswith(("admin/", "queues/")):
            yield text


@pytest.mark.parametrize("persona", [persona for persona in PERSONAS if "key" not in persona])
def test_pages_for_staff_are_closed_to_others(tenancy: Tenancy, persona: str) -> None:
    client = tenancy.client(persona, "")
    for pattern in _staff_pages(get_resolver().url_patterns):
        path = readable(pattern)
        if path.endswith(("login/", "logout/", "autocomplete/", "jsi18n/")) or "(" in path:
            continue
        address = path.replace("{", "").replace("}", "")
        answer = client.get(address.replace("content_type_id", "1").replace("object_id", "1"))
        assert answer.status_code in {302, 401, 403, 404}, (address, answer.status_code)
        assert SHARED not in answer.headers.get("Location", ""), address

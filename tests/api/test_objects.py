"""Every single object there is, found in the URL conf: its ETag, If-Match, and POSTs that are sent twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.core.models import IdempotentRequest
from apps.providers.models import Budget
from apps.providers.services import budget_set
from tests.api.list_house import API, ENVELOPES
from tests.tenancy.routes import Route, all_routes
from tests.tenancy.table import TABLE
from tests.tenancy.world import Tenancy, tenancy_build

pytestmark = pytest.mark.django_db
ROUTES = {route.name: route for route in all_routes() if route.path.startswith(f"{API}/")}
NO_TAG = {
    "/health": "open to all, and of now",
    "/system/status": "of now",
    "/events/stats": "of now",
}
NO_MATCH = {
    "/projects/{pk}/shares/{whom}": "has nothing to read but the list",
    "/file-locks/{pk}/{path}": "has nothing to read but the list",
    "/organizations/{pk}/groups/{group_id}/members/{user_id}": "a link of two, which has no state",
}


@pytest.fixture(scope="module")
def tenancy(django_db_setup: None, django_db_blocker: Any) -> Iterator[Tenancy]:
    with django_db_blocker.unblock(), transaction.atomic():
        tenancy = tenancy_build(())
        project = tenancy.shared.project
        budget_set(scope="project", scope_id=project.pk, limit_usd=1, organization_id=tenancy.organization.pk)
        yield tenancy
        transaction.set_rollback(True)


def ask(tenancy: Tenancy, route: Route, headers: dict[str, str] | None = None, *, other: bool = False) -> Any:
    """As an administrator; whoever calls undoes it."""
    row = TABLE[route.name]
    values = {name: tenancy.ids.get(given, given) for name, given in row.args.items()}
    address = route.path.format(**values) + (f"?{row.query.format(**tenancy.ids)}" if row.query else "")
    body = {
        name: tenancy.ids[value[1:]] if isinstance(value, str) and value.startswith("@") else value
        for name, value in (row.body or {}).items()
    }
    raw = json.dumps({**body, **({"zq": "other"} if other else {})}) if route.method != "get" else ""
    client = tenancy.client("admin", "")
    return client.generic(route.method.upper(), address, raw, "application/json", headers=headers)


def test_every_object_has_an_etag_and_is_not_sent_again(tenancy: Tenancy) -> None:
    faults, seen = [], 0
    for route in ROUTES.values():
        path = route.path.removeprefix(API)
        if route.method != "get" or path in NO_TAG or route.path in ENVELOPES or TABLE[route.name].is_stream:
            continue
        answer = ask(tenancy, route)
        is_json = answer.headers.get("Content-Type", "") == "application/json"
        if answer.status_code != 200 or not is_json or getattr(answer, "streaming", False):
            continue  # a list, a file, a stream, or nothing of the kind in this world
        if isinstance(answer.json(), list):
            continue
        if "ETag" not in answer:
            faults.append(f"{path} has no ETag")
            continue
        seen += 1
        again = ask(tenancy, route, {"if-none-match": answer["ETag"]})
        # Reports tell when they were made: those are never the same.
        if again.status_code != 304 and again.headers.get("ETag") == answer["ETag"]:
            faults.append(f"{path} answers {again.status_code} to its own ETag")
    assert not faults, "\n".join(faults)
    assert seen >= 60


def test_every_write_to_an_object_honours_if_match(tenancy: Tenancy) -> None:
    faults, seen = [], 0
    for route in ROUTES.values():
        path = route.path.removeprefix(API)
        if route.method not in {"put", "patch", "delete"} or path in NO_MATCH:
            continue
        with transaction.atomic():
            answer = ask(tenancy, route, {"if-match": '"stale"'})
            transaction.set_rollback(True)
        seen += answer.status_code == 412
        if answer.status_code not in {412, 403, 404}:
            faults.append(f"{route.name}: {answer.status_code} {answer.content[:100]!r}")
    assert not faults, "\n".join(faults)
    assert seen >= 43


def test_every_post_that_is_sent_twice_is_done_once(tenancy: Tenancy) -> None:
    """The second answer is the first, or 409 where that was a secret or a stream; and nothing is written."""
    faults, seen = [], 0
    for number, route in enumerate(ROUTES.values()):
        if route.method != "post" or not _creates(tenancy, route):
            continue
        with transaction.atomic():
            key = {"idempotency-key": f"k-{number}"}
            first = ask(tenancy, route, key)
            if first.status_code in {201, 202} and not getattr(first, "streaming", False):
                seen += 1
                with CaptureQueriesContext(connection) as told:
                    second = ask(tenancy, route, key)
                written = [
                    one["sql"] for one in told
                    if one["sql"].startswith("INSERT") and IdempotentRequest._meta.db_table not in one["sql"]
                ]  # fmt: skip
                is_same = second.status_code == first.status_code and second.content == first.content
                if written or not (is_same or second.status_code == 409):
                    faults.append(
                        f"{route.name}: {first.status_code}, then {second.status_code} {written[:1]}"
                    )
                if ask(tenancy, route, key, other=True).status_code != 422:
                    faults.append(f"{route.name}: another body with the same key is no 422")
            transaction.set_rollback(True)
    assert not faults, "\n".join(faults)
    assert seen >= 31


def _creates(tenancy: Tenancy, route: Route) -> bool:
    """Without a key, it is done by this request."""
    if TABLE[route.name].kind == "everybody" or route.path.endswith("/stream-token"):
        return False  # nobody is known whose key it could be; a token for a minute leaves no row
    with transaction.atomic():
        status = ask(tenancy, route).status_code
        transaction.set_rollback(True)
    return status in {201, 202}


def test_a_budget_is_set_read_and_not_overwritten_by_who_read_an_older_one(tenancy: Tenancy) -> None:
    project, client = tenancy.shared.project, tenancy.client("admin", "")
    at = f"{API}/analytics/budgets/project/{project.pk}"
    with transaction.atomic():
        read = client.get(at)
        assert read.json()["limit_usd"] == 1
        Budget.objects.filter(scope="project", scope_id=project.pk).update(spent_microusd=500_000)

        def put(limit: Any, tag: str) -> Any:
            body = json.dumps({"limit_usd": limit})
            return client.put(at, body, content_type="application/json", headers={"if-match": tag})

        done = put(2.5, read["ETag"])  # what was spent meanwhile stands in no write's way
        assert (done.status_code, done.json()["left_usd"]) == (200, 2.0)
        assert put(3, read["ETag"]).status_code == 412
        assert [put(wrong, "*").status_code for wrong in (-1, "x", 1e20)] == [400, 400, 400]
        assert put(None, "*").json()["limit_usd"] is None
        assert client.get(at, headers={"if-none-match": read["ETag"]}).status_code == 200
        for wrong in ("run/1", "moon/1"):
            answer = client.put(
                at.replace(f"project/{project.pk}", wrong), json.dumps({"limit_usd": 1}), "application/json"
            )
            assert answer.status_code == 400
        viewer = tenancy.client("user", "").put(at, json.dumps({"limit_usd": 9}), "application/json")
        assert viewer.status_code == 403
        transaction.set_rollback(True)

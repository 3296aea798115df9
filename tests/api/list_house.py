"""A house with every list of the API, and as many rows in each as a test wants."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection, models, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver
from django.utils import timezone
from rest_framework.test import APIRequestFactory, force_authenticate

from apps.accounts.api import TenantViewSet
from apps.accounts.models import Membership, Organization, Role, User
from apps.activity.models import Delivery, Notification
from apps.activity.pages import OwnViewSet
from apps.agents.merge_models import PullRequest
from apps.agents.models import Claim
from apps.beads.models import Bead
from apps.core.api_lists import Listing, listing_of, lists_of
from apps.projects.services import project_comment
from apps.providers.services import budget_set
from apps.workflows.models import WorkflowDefinition
from tests.tenancy.routes import all_routes
from tests.tenancy.table import TABLE
from tests.tenancy.world import Tenancy, tenancy_build

API = "/api/v1"
FACTORY = APIRequestFactory()
MANY = 30

# Lists that stand in an object: the contract of the original has them so.
ENVELOPES = {
    f"{API}/activity-feed": "activities",
    f"{API}/conversations": "conversations",
    f"{API}/events": "events",
    f"{API}/logs/recent": "logs",
    f"{API}/motivations": "motivations",
    f"{API}/motivations/history": "history",
    f"{API}/notifications": "notifications",
    f"{API}/workflows": "workflows",
}
# Answers with a `count` or a list of objects in them that are no lists of rows.
NO_LISTS = {
    "reports over the ledger, computed whole": ("/analytics/", "/cache/", "/patterns/", "/optimizations"),
    "one thing with all of its parts": (
        "/beads/workflow", "/beads/{key}/conversation", "/beads/{key}/proof", "/conversations/{pk}",
        "/config", "/decisions/{pk}", "/lessons/{pk}", "/org-charts/{pk}",
        "/projects/{pk}", "/projects/{pk}/checks", "/sessions/{pk}/recording",
        "/workflows/{pk}", "/work/{key}", "/personas/{name}", "/work-graph",
    ),
    "a tree of replies, which no page can cut": ("/beads/{key}/comments",),
    "pages of its own, by step": ("/runs/{pk}/timeline",),
    "figures of now": ("/motivations/idle", "/motivations/roles", "/webhooks/status", "/workflows/analytics"),
    "a catalog of the installation": ("/models/recommended",),
}  # fmt: skip
# Python lists, of which there are few; they have pages and nothing to be narrowed by.
COMPUTED = {
    f"{API}/command-rules/defaults": "rules that come with Loom",
    f"{API}/routing/policies": "four words",
    f"{API}/projects/{{pk}}/shares": "people and groups together, of two tables",
}
NO_REPOSITORY = {
    f"{API}/projects/git/log",
    f"{API}/projects/git/branches",
}  # see tests/workflows/test_git_api.py
FILES = {f"{API}/{name}" for name in ("logs/export", "analytics/export", "analytics/export-stats")}
# Filters that are no part of all rows each.
NO_PARTS = {
    "mine": "what waits for one, and everything",
    "aggregated": "tells the same in other words",
    "period": "all is young here",
}
QUERIES = {
    f"{API}/conversations": "project_id={project}",
    f"{API}/beads/blocked": "",
    f"{API}/beads/ready": "",
}


@dataclass
class Found:
    """A list, as the URL conf and its view tell of it."""

    path: str
    address: str
    callback: Any
    kwargs: dict[str, Any]
    view: Any
    listing: Listing
    model: Any = None
    sample: Any = None
    queries: dict[int, int] = field(default_factory=dict)  # by how many rows there are
    totals: dict[int, int] = field(default_factory=dict)


@dataclass
class House:
    tenancy: Tenancy
    client: Client
    lists: list[Found]

    def ask(self, found: Found, **query: Any) -> Any:
        """The view alone: what stands around every view would take longer than most lists."""
        path, _, given = found.address.partition("?")
        more = urlencode(query)
        request = FACTORY.get(f"{path}?{'&'.join(part for part in (given, more) if part)}")
        force_authenticate(request, user=self.tenancy.people["admin"])
        answer = found.callback(request, **found.kwargs)
        return answer.render() if hasattr(answer, "render") else answer


def rows_of(found: Found, answer: Any) -> list[Any]:
    body = json.loads(answer.content)
    rows: list[Any] = body[ENVELOPES[found.path]] if found.path in ENVELOPES else body
    return rows


def names_of(found: Found, answer: Any) -> list[Any]:
    """What its rows are known by; all of them, where they have no id."""
    return [row.get("id", row) for row in rows_of(found, answer)]


def total_of(answer: Any) -> int:
    """-1: it does not say."""
    return int(answer.headers.get("X-Total-Count", -1))


# -- a world in which each list has many rows ---------------------------------------------------------------


@pytest.fixture(scope="module")
def house(django_db_setup: None, django_db_blocker: Any) -> Iterator[House]:
    with django_db_blocker.unblock(), transaction.atomic():
        tenancy = tenancy_build(())
        _add_what_it_lacks(tenancy)
        client = tenancy.client("admin", "")
        house = House(tenancy, client, [_found(tenancy, *view) for view in _views()])
        lists = [found for found in house.lists if is_list(found)]
        note_samples(house, lists)
        for count in (3, MANY):
            grow_to(house, lists, count)
            measure(house, lists, count)
        yield house
        transaction.set_rollback(True)


def _add_what_it_lacks(tenancy: Tenancy) -> None:
    admin, project, now = tenancy.people["admin"], tenancy.shared.project, timezone.now()
    project_comment(project=project, author=admin, comment="About links.")
    budget_set(scope="project", scope_id=project.pk, limit_usd=1, organization_id=tenancy.organization.pk)
    claim = Claim.objects.filter(bead__project=project).latest("pk")
    PullRequest.objects.create(
        project=project, bead=claim.bead, claim=claim, branch="b", target="main", commit="0" * 40
    )
    told = Notification.objects.create(
        user=admin, organization_id=tenancy.organization.pk, event_id=1, event_type="bead.created",
        rule=Notification.Rule.CRITICAL, title="About links", created_at=now,
    )  # fmt: skip
    Delivery.objects.create(
        user=admin, channel=Delivery.Channel.EMAIL, due_at=told.created_at, created_at=now
    )
    raw = json.dumps({"title": "New", "project_id": project.pk})
    tenancy.client("admin", "").post(f"{API}/beads", raw, content_type="application/json")
    Bead.objects.filter(title="New").update(status=Bead.Status.BLOCKED)


def _views() -> Iterator[tuple[str, Any]]:
    """(path, view class with its action) of every GET."""
    for route in all_routes():
        if route.method == "get" and route.path.startswith(API):
            yield route.path, route


def _found(tenancy: Tenancy, path: str, route: Any) -> Found:
    row = TABLE[route.name]
    values = {name: tenancy.ids.get(given, given) for name, given in row.args.items()}
    query = QUERIES.get(path, "").format(**tenancy.ids)
    address = path.format(**values) + (f"?{query}" if query else "")
    match = get_resolver().resolve(address.partition("?")[0])
    callback: Any = match.func
    view = None
    if getattr(callback, "actions", None):
        view = callback.cls(**callback.initkwargs)
        view.action = callback.actions["get"]
    listing = (listing_of(view) if view is not None else None) or Listing()
    return Found(path, address, callback, match.kwargs, view, listing)


def is_list(found: Found) -> bool:
    if found.view is None or found.path in FILES | NO_REPOSITORY:
        return False
    return found.view.action in lists_of(found.view)


@pytest.fixture
def lists(house: House) -> list[Found]:
    return [found for found in house.lists if is_list(found)]


def multiply(sample: models.Model, count: int) -> None:
    """Rows like this one, with other words where a constraint asks for it."""
    model: Any = type(sample)
    sample = model._base_manager.get(pk=sample.pk)  # with what the list leaves out
    columns = {column.name: column for column in model._meta.concrete_fields}
    unique = {min(names, key=lambda name: _cost(columns[name])) for names in _constraints(model)}
    made = []
    for number in range(count):
        row = copy.copy(sample)
        row.pk, row._state = None, copy.copy(sample._state)
        row._state.adding = True
        for column in model._meta.concrete_fields:
            if column.name in unique and not column.primary_key:
                setattr(row, column.attname, _another(column, getattr(sample, column.attname), number))
        if isinstance(model._meta.pk, models.UUIDField):
            row.pk = uuid.uuid4()
        made.append(row)
    model._base_manager.bulk_create(made)


def _constraints(model: Any) -> Iterator[list[str]]:
    yield from ([column.name] for column in model._meta.concrete_fields if column.unique)
    for constraint in model._meta.constraints:
        if isinstance(constraint, models.UniqueConstraint) and constraint.fields:
            yield list(constraint.fields)


def _cost(column: Any) -> int:
    """Which column of a constraint changes: one of words first, another person only where nothing else is."""
    if column.choices or isinstance(column, models.ForeignKey):
        return 3 if column.related_model is not User else 2
    return 0 if isinstance(column, models.CharField | models.TextField) else 1


def _another(column: Any, value: Any, number: int) -> Any:
    if isinstance(column, models.OneToOneField) and column.null:
        return None
    if column.choices:
        return value
    if isinstance(column, models.ForeignKey):
        if column.related_model is User or isinstance(column, models.OneToOneField):
            return _parent(column.related_model, number).pk
        return value
    if isinstance(column, models.CharField | models.TextField):
        text = f"{uuid.uuid4().hex[:8]}{number}"
        return f"{str(value)[: (column.max_length or 200) - len(text)]}{text}"
    if isinstance(column, models.IntegerField):
        return 1000 + number + uuid.uuid4().int % 2**20
    return uuid.uuid4() if isinstance(column, models.UUIDField) else value


def _parent(model: Any, number: int) -> Any:
    """A row that belongs to the copy alone."""
    if model is User:
        return User.objects.create(username=f"copy-{uuid.uuid4().hex}")
    sample = model._base_manager.first()
    multiply(sample, 1)
    return model._base_manager.latest("pk")


def grow_to(house: House, lists: list[Found], count: int) -> None:
    """At least so many rows in each list, but for those of people: members are people too."""
    for found in lists:
        if found.sample is None or found.model is User:
            continue
        missing = count - total_of(house.ask(found, limit=1))
        if missing <= 0:
            continue
        multiply(found.sample, missing)
        if found.model is Organization:
            admin = house.tenancy.people["admin"]
            others = Organization.objects.filter(memberships=None)
            Membership.objects.bulk_create(
                Membership(user=admin, organization=other, role=Role.ADMIN) for other in others
            )


def measure(house: House, lists: list[Found], count: int) -> None:
    for found in lists:
        house.ask(found)  # what is asked once per process
        with CaptureQueriesContext(connection) as told:
            answer = house.ask(found)
        found.queries[count], found.totals[count] = len(told), total_of(answer)


def note_samples(house: House, lists: list[Found]) -> None:
    """Which rows a list is made of, from what its view cuts into pages."""
    seen: list[Any] = []
    monkeypatch = pytest.MonkeyPatch()
    for kind in (TenantViewSet, OwnViewSet):
        whole = kind.paginate_queryset

        def noted(self: Any, queryset: Any, _whole: Any = whole) -> Any:
            page = _whole(self, queryset)
            seen[:] = [page[0]] if page and isinstance(page[0], models.Model) else []
            return page

        monkeypatch.setattr(kind, "paginate_queryset", noted)
    for found in lists:
        seen.clear()
        house.ask(found, limit=1)
        found.sample = seen[0] if seen else _sample(house, found)
        found.model = type(found.sample)
    monkeypatch.undo()


def _sample(house: House, found: Found) -> Any:
    """Of lists that are made of something else than rows."""
    if found.path == f"{API}/workflows":
        return WorkflowDefinition.objects.filter(project=house.tenancy.shared.project).first()
    if found.path == f"{API}/beads/blocked":
        return Bead.objects.filter(status=Bead.Status.BLOCKED).first()
    if found.path == f"{API}/projects":
        return house.tenancy.shared.project
    return house.tenancy.shared.beads[0] if "/beads" in found.path else None

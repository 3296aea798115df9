"""What the base of the API gives to every list, object and POST."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.urls import include, path
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api import TenantViewSet
from apps.accounts.models import Organization, Role, User
from apps.accounts.services import membership_set, organization_ensure
from apps.core.api_lists import flag, moment, numbers, words
from apps.core.errors import BadInput
from apps.core.models import IdempotentRequest
from apps.projects.models import Project
from apps.projects.services import project_create, project_update

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
AT = "/api/v1/things"


class Body(serializers.ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = ["id", "name", "max_sessions", "created_at"]


class Things(TenantViewSet):
    resource = "projects"
    organization_path = "organization_id"
    serializer_class = Body
    filters = {
        "status": words("status", choices=Project.Status.values),
        "sessions": numbers("max_sessions", most=9),
        "sticky": flag("is_sticky"),
        "since": moment("created_at__gte"),
    }
    orderings = {"name": "name", "sessions": "max_sessions"}
    search_fields = ("name", "slug")
    secret_actions = frozenset({"key"})

    def get_queryset(self) -> Any:
        return Project.objects.for_user(self.request.user)

    def create(self, request: Request) -> Response:
        project = project_create(organization=self.organization_get(), name=self.body["name"])
        if self.body.get("fail"):
            raise BadInput("No.")
        return Response({"id": project.pk}, status=201, headers={"Location": f"{AT}/{project.pk}"})

    def key(self, request: Request) -> Response:
        return Response({"key": "shown once"}, status=201)

    def update(self, request: Request, pk: str) -> Response:
        project_update(project=self.get_object(), **self.body)
        return Response(self.get_serializer(self.get_object()).data)

    def destroy(self, request: Request, pk: str) -> Response:
        self.get_object().delete()
        return Response(status=204)


router = SimpleRouter(trailing_slash=False)
router.register("things", Things, basename="thing")
urlpatterns = [
    path("api/v1/things/key", Things.as_view({"post": "key"})),
    path("api/v1/", include(router.urls)),
]


@pytest.fixture
def ours() -> Organization:
    return organization_ensure(name="ours")


@pytest.fixture
def client(ours: Organization) -> Client:
    return client_named("ann", ours)


def client_named(name: str, ours: Organization) -> Client:
    user = User.objects.create_user(username=name)
    membership_set(user=user, organization=ours, role=Role.ADMIN)
    client = Client()
    client.force_login(user)
    return client


def projects(ours: Organization) -> None:
    for number in range(7):
        project_create(organization=ours, name=f"Links {number}", max_sessions=1 + number % 2)


def names(client: Client, query: str) -> list[str]:
    answer = client.get(f"{AT}?{query}")
    assert answer.status_code == 200, answer.json()
    return [row["name"].removeprefix("Links ") for row in answer.json()]


# -- lists --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "6543210"),
        ("status=", "6543210"),
        ("status=open,closed", "6543210"),
        ("status=OPEN", "6543210"),
        ("status=closed", ""),
        ("sessions=2", "531"),
        ("sessions=1,2&limit=2", "65"),
        ("sticky=false", "6543210"),
        ("sticky=yes", ""),
        ("since=2020-01-01T00:00:00+02:00", "6543210"),
        ("since=2999-01-01T00:00:00", ""),
        ("search=links+4", "4"),
        ("search=nothing", ""),
        ("ordering=name", "0123456"),
        ("ordering=-sessions,name", "1350246"),
    ],
)
def test_a_list_is_narrowed_searched_and_ordered(
    client: Client, ours: Organization, query: str, found: str
) -> None:
    projects(ours)
    assert "".join(names(client, query)) == found


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("staus=open", "staus"),
        ("status=opne", "status"),
        ("status=" + ",".join(["open"] * 101), "status"),
        ("sessions=-1", "sessions"),
        ("sessions=10", "sessions"),
        ("sessions=1;drop", "sessions"),
        ("sessions=" + "9" * 30, "sessions"),
        ("sticky=maybe", "sticky"),
        ("since=yesterday", "since"),
        ("since=2026-13-40T00:00:00Z", "since"),
        ("since=0001-01-01T00:00:00%2B14:00", "since"),
        ("ordering=prd", "ordering"),
        ("cursor=made-up", "cursor"),
        ("cursor=%00", "cursor"),
    ],
)
def test_what_a_list_does_not_understand_is_refused_by_name(client: Client, query: str, field: str) -> None:
    answer = client.get(f"{AT}?{query}")
    assert (answer.status_code, answer.json()["details"]["field"]) == (400, field)


@pytest.mark.parametrize("ordering", ["", "name", "-name", "sessions", "-sessions,name"])
def test_a_cursor_walks_through_a_list_that_changes(
    client: Client, ours: Organization, ordering: str
) -> None:
    projects(ours)
    whole = names(client, f"ordering={ordering}")
    seen, address = [], f"{AT}?limit=2&ordering={ordering}&cursor="
    while address:
        answer = client.get(address)
        assert int(answer["X-Total-Count"]) >= 7
        seen += [row["name"].removeprefix("Links ") for row in answer.json()]
        links = {name: at for at, name in re.findall(r'<([^>]*)>; rel="(\w+)"', answer.get("Link", ""))}
        assert ("first" in links) == (len(seen) > 2)
        address = links.get("next", "").removeprefix("http://testserver")
        Project.objects.filter(name="Links 0").update(slug=f"x{len(seen)}")
        project_create(organization=ours, name="Links !")
    assert [name for name in seen if name != "!"] == whole


def test_a_cursor_belongs_to_its_order(client: Client, ours: Organization) -> None:
    projects(ours)
    cursor = re.search(r"cursor=([^&>]+)", client.get(f"{AT}?limit=2&cursor=")["Link"])
    assert cursor
    assert client.get(f"{AT}?cursor={cursor[1]}").status_code == 200
    assert client.get(f"{AT}?cursor={cursor[1]}&ordering=name").status_code == 400


# -- single objects -------------------------------------------------------------------------------------


def put(client: Client, pk: int, body: dict[str, Any], tag: str) -> Any:
    raw = json.dumps(body)
    return client.put(f"{AT}/{pk}", raw, content_type="application/json", headers={"if-match": tag})


def test_an_object_that_did_not_change_is_not_sent_again(client: Client, ours: Organization) -> None:
    project = project_create(organization=ours, name="Links")
    tag = client.get(f"{AT}/{project.pk}")["ETag"]
    for header in (tag, f'"other", W/{tag}', "*"):
        again = client.get(f"{AT}/{project.pk}", headers={"if-none-match": header})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", tag)
    project_update(project=project, name="Others")
    answer = client.get(f"{AT}/{project.pk}", headers={"if-none-match": tag})
    assert (answer.status_code, answer.json()["name"]) == (200, "Others")


def test_of_two_who_change_what_both_read_the_second_is_told(client: Client, ours: Organization) -> None:
    project = project_create(organization=ours, name="Links")
    tag = client.get(f"{AT}/{project.pk}")["ETag"]
    first = put(client, project.pk, {"max_sessions": 2}, tag)
    assert (first.status_code, first["ETag"]) == (200, client.get(f"{AT}/{project.pk}")["ETag"])
    second = put(client, project.pk, {"max_sessions": 3}, tag)
    assert (second.status_code, second.json()["code"]) == (412, "stale")
    assert client.delete(f"{AT}/{project.pk}", headers={"if-match": tag}).status_code == 412
    assert Project.objects.get().max_sessions == 2
    assert put(client, project.pk, {"max_sessions": 3}, f'"x", {first["ETag"]}').status_code == 200
    assert put(client, 999, {}, tag).status_code == 404
    assert client.delete(f"{AT}/{project.pk}", headers={"if-match": "*"}).status_code == 204


# -- POSTs that are sent twice --------------------------------------------------------------------------


def post(client: Client, body: dict[str, Any], key: str = "k-1", at: str = AT) -> Any:
    raw = json.dumps(body)
    return client.post(at, raw, content_type="application/json", headers={"idempotency-key": key})


def test_a_post_that_is_sent_twice_is_done_once(client: Client, ours: Organization) -> None:
    first, second = (post(client, {"name": "Links"}) for _ in range(2))
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert (second["Idempotency-Replayed"], second["Location"]) == ("true", first["Location"])
    assert post(client, {"name": "Others"}).status_code == 422
    assert post(client, {"name": "Links"}, at=f"{AT}/key").status_code == 422
    assert Project.objects.count() == 1
    assert post(client, {"name": "Links"}, key="k-2").json() != first.json()
    other = client_named("bob", ours)
    assert post(other, {"name": "Links"}).json() != first.json()
    for key in ("", " " * 0, "k" * 201, "ключ".encode().decode("latin-1"), "a\tb"):
        assert post(client, {"name": "Links"}, key=key).status_code == 400


def test_what_failed_may_be_sent_again(client: Client) -> None:
    assert post(client, {"name": "Links", "fail": True}).status_code == 400
    assert (Project.objects.count(), IdempotentRequest.objects.count()) == (0, 0)
    assert post(client, {"name": "Links"}).status_code == 201


def test_a_secret_is_neither_kept_nor_shown_again(client: Client) -> None:
    assert post(client, {}, at=f"{AT}/key").json() == {"key": "shown once"}
    assert IdempotentRequest.objects.get().body == ""
    again = post(client, {}, at=f"{AT}/key")
    assert (again.status_code, "shown once" in again.content.decode()) == (409, False)


def test_a_request_in_flight_is_not_done_beside_and_one_that_died_is_taken_over(client: Client) -> None:
    assert post(client, {"name": "Links"}).status_code == 201
    row = IdempotentRequest.objects.filter(key="k-1")
    row.update(status=None)
    assert (post(client, {"name": "Links"}).status_code, Project.objects.count()) == (409, 1)
    row.update(locked_until=timezone.now() - timedelta(seconds=1))
    assert (post(client, {"name": "Links"}).status_code, Project.objects.count()) == (201, 2)


def test_keys_expire(client: Client) -> None:
    first = post(client, {"name": "Links"}).json()
    post(client, {"name": "Old"}, key="old")
    IdempotentRequest.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert post(client, {"name": "Links"}).json() != first
    assert list(IdempotentRequest.objects.values_list("key", flat=True)) == ["k-1"]


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_is_done() -> None:
    client = client_named("ann", organization_ensure(name="ours"))
    answers: list[Any] = []

    def send() -> None:
        mine = Client()
        mine.cookies = client.cookies
        answers.append(post(mine, {"name": "Links"}))
        connections.close_all()

    threads = [Thread(target=send) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Project.objects.count() == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1

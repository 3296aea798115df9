"""What holds for every API route: who is let in, what a body may be, how lists are cut into pages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from inspect import isawaitable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser
from django.test import Client, override_settings
from django.urls import URLPattern, URLResolver, include, path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from apps.accounts.api import TenantViewSet
from apps.accounts.auth_api import LoginView, RefreshView
from apps.accounts.invitations_api import RegisterView
from apps.accounts.models import Organization, Role, User
from apps.accounts.permissions import (
    ACCOUNT,
    ACTIONS,
    RESOURCES,
    ResourcePermission,
    permission_holds,
    roles_with,
)
from apps.accounts.services import membership_set, organization_ensure
from apps.core.health import health
from apps.decisions.openclaw_api import OpenClawView
from apps.projects.models import Project
from apps.projects.services import project_create
from apps.workflows.webhooks_api import GithubView
from loom_site import api as site_api

pytestmark = pytest.mark.django_db
OPEN_TO_ALL: list[Callable[..., Any]] = [health]
# What comes to the last two is signed.
OPEN_VIEWS = {LoginView, RefreshView, RegisterView, GithubView, OpenClawView}
OWN = {ACCOUNT}  # what everybody has who is logged in


# -- a small API of projects, to try the base on ----------------------------------------------------


class ProjectSerializer(serializers.ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = ["id", "name"]


class Sample(TenantViewSet):
    resource = "projects"
    permission_actions = {"reset": "admin"}
    organization_path = "organization_id"
    serializer_class = ProjectSerializer

    def get_queryset(self) -> Any:
        return Project.objects.for_user(self.request.user)

    def create(self, request: Request) -> Response:
        organization = self.organization_get(self.body.get("organization"))
        return Response({"organization": organization.slug, "data": self.body}, status=201)

    def update(self, request: Request, pk: str) -> Response:
        return Response({"changed": self.get_object().name})

    def destroy(self, request: Request, pk: str) -> Response:
        return Response({"removed": self.get_object().name})

    def comment(self, request: Request) -> Response:
        rows = Project.objects.for_user(request.user)
        return Response({"on": self.parent_get(rows, self.body.get("project_id")).name})

    def reset(self, request: Request) -> Response:
        return Response({})

    def broken(self, request: Request) -> Response:
        raise ZeroDivisionError


class Unnamed(APIView):
    def get(self, request: Request) -> Response:
        return Response({})


router = SimpleRouter(trailing_slash=False)
router.register("sample", Sample, basename="sample")
urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/sample/comment", Sample.as_view({"post": "comment"})),
    path("api/v1/sample/reset", Sample.as_view({"post": "reset"})),
    path("api/v1/sample/broken", Sample.as_view({"get": "broken"})),
    path("api/v1/unnamed", Unnamed.as_view()),
    path("api/v1/", include(router.urls)),
]
handler404 = "apps.core.pages.not_found"
handler500 = "apps.core.pages.server_error"

here = pytest.mark.urls(__name__)


@pytest.fixture
def ours() -> Organization:
    return organization_ensure(name="ours")


@pytest.fixture
def theirs() -> Organization:
    return organization_ensure(name="theirs")


def person(name: str, **roles: str) -> User:
    """A person with a role in each organization named."""
    user = User.objects.create_user(username=name)
    for organization, role in roles.items():
        membership_set(user=user, organization=organization_ensure(name=organization), role=role)
    return user


def client_of(user: User, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(user)
    return client


def send(client: Client, method: str, address: str, body: Any = None, **more: Any) -> Any:
    if method == "get":
        return client.get(f"/api/v1/{address}")
    raw = body if isinstance(body, str | bytes) else json.dumps(body or {})
    kind = more.pop("content_type", "application/json")
    return getattr(client, method)(f"/api/v1/{address}", data=raw, content_type=kind, **more)


# -- the routes there are ---------------------------------------------------------------------------


def routes(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, prefix + str(pattern.pattern))
        elif pattern.callback not in OPEN_TO_ALL and view_of(pattern) not in OPEN_VIEWS:
            yield prefix + str(pattern.pattern), pattern


def view_of(pattern: URLPattern) -> Any:
    return getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None)


def faults(patterns: list[Any]) -> list[str]:
    """What is wrong with these routes; each must name a resource and be guarded by its permission."""
    found = []
    for name, pattern in routes(patterns):
        view = view_of(pattern)
        if view is None:
            found.append(f"{name} is no view of the API")
        elif getattr(view, "resource", "") not in RESOURCES:
            found.append(f"{name} names no resource")
        elif ResourcePermission not in view.permission_classes:
            found.append(f"{name} is not guarded")
        elif wrong := set(getattr(view, "permission_actions", {}).values()) - set(ACTIONS):
            found.append(f"{name} asks for unknown actions {wrong}")
    return found


def test_every_route_names_the_permission_it_needs() -> None:
    assert faults(site_api.urlpatterns) == []


def test_routes_that_name_none_are_found() -> None:
    assert faults(urlpatterns) == ["api/v1/unnamed names no resource"]


def test_no_route_lets_in_visitors_or_members_without_the_permission(ours: Organization) -> None:
    service = person("robot", ours=Role.SERVICE)
    for name, pattern in routes(site_api.urlpatterns):
        callback: Any = pattern.callback
        if view_of(pattern).resource in OWN:
            continue
        arguments = dict.fromkeys(re.findall(r"\?P<(\w+)>|<(?:\w+:)?(\w+)>", name), "1")
        kwargs = {first or second: value for (first, second), value in arguments.items()}
        for method in list(getattr(callback, "actions", None) or ["get", "post"]):
            for user, status in ((None, 401), (service, 403)):
                request = getattr(APIRequestFactory(), method)("/", {}, format="json")
                if user is not None:
                    force_authenticate(request, user)
                answer = callback(request, **kwargs)
                if isawaitable(answer):
                    answer = async_to_sync(_given)(answer)
                assert answer.status_code == status, f"{method} {name}"
                assert set(answer.data) == {"error", "code", "details"}


async def _given(answer: Any) -> Any:
    return await answer


# -- who is let in ----------------------------------------------------------------------------------


@here
def test_nobody_is_asked_to_log_in(client: Client, ours: Organization) -> None:
    answer = client.get("/api/v1/sample")
    assert (answer.status_code, answer["Content-Type"]) == (401, "application/json")
    assert answer.json()["code"] == "not_authenticated"
    assert answer["WWW-Authenticate"] == 'Bearer realm="loom"'
    gone = person("gone", ours=Role.ADMIN)
    client = client_of(gone)
    User.objects.filter(pk=gone.pk).update(is_active=False)
    assert client.get("/api/v1/sample").status_code == 401


@here
@pytest.mark.parametrize(
    ("role", "method", "address", "missing"),
    [
        (Role.VIEWER, "get", "sample", ""),
        (Role.VIEWER, "post", "sample", "projects:write"),
        (Role.USER, "post", "sample", ""),
        (Role.USER, "delete", "sample/1", "projects:delete"),
        (Role.USER, "post", "sample/reset", "projects:admin"),
        (Role.ADMIN, "post", "sample/reset", ""),
        (Role.SERVICE, "get", "sample", "projects:read"),
    ],
)
def test_a_role_may_do_what_the_matrix_says_and_hears_what_it_lacks(
    ours: Organization, role: str, method: str, address: str, missing: str
) -> None:
    answer = send(client_of(person("ann", ours=role)), method, address)
    if not missing:
        assert answer.status_code in {200, 201}
        return
    assert answer.status_code == 403
    assert answer.json()["details"]["permission"] == missing
    assert missing in answer.json()["error"]


@here
def test_a_route_that_names_no_permission_is_closed_even_to_superusers() -> None:
    answer = client_of(User.objects.create_superuser("root")).get("/api/v1/unnamed")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@here
def test_the_role_that_counts_is_the_one_in_the_organization_of_the_object(
    ours: Organization, theirs: Organization
) -> None:
    mine, looked_at = (project_create(organization=each, name="Links") for each in (ours, theirs))
    client = client_of(person("ann", ours=Role.ADMIN, theirs=Role.VIEWER))
    assert len(client.get("/api/v1/sample").json()) == 2
    assert send(client, "put", f"sample/{mine.pk}").status_code == 200
    assert send(client, "delete", f"sample/{mine.pk}").status_code == 200
    for method in ("put", "delete"):
        assert send(client, method, f"sample/{looked_at.pk}").status_code == 403
    assert send(client, "post", "sample/comment", {"project_id": mine.pk}).json() == {"on": "Links"}
    assert send(client, "post", "sample/comment", {"project_id": looked_at.pk}).status_code == 403
    assert send(client, "post", "sample", {"organization": "theirs"}).status_code == 403
    assert send(client, "post", "sample", {"organization": "ours"}).status_code == 201
    assert send(client, "post", "sample").json()["organization"] == "ours"


@here
def test_another_tenants_objects_are_not_there(ours: Organization, theirs: Organization) -> None:
    project = project_create(organization=theirs, name="Secret")
    client = client_of(person("ann", ours=Role.ADMIN))
    assert client.get("/api/v1/sample").json() == []
    for method in ("get", "put", "delete"):
        assert send(client, method, f"sample/{project.pk}").status_code == 404
    for given in (project.pk, "x", None, [1], {"a": 1}, 10**30, "1\0"):
        assert send(client, "post", "sample/comment", {"project_id": given}).status_code == 404
    for named in ("theirs", theirs.pk, 10**30, ["theirs"]):
        assert send(client, "post", "sample", {"organization": named}).status_code == 404


@here
def test_rows_of_organizations_one_may_not_read_are_left_out(
    ours: Organization, theirs: Organization
) -> None:
    project_create(organization=ours, name="Links")
    hidden = project_create(organization=theirs, name="Hidden")
    client = client_of(person("robot", ours=Role.VIEWER, theirs=Role.SERVICE))
    assert [row["name"] for row in client.get("/api/v1/sample").json()] == ["Links"]
    assert client.get(f"/api/v1/sample/{hidden.pk}").status_code == 404


@here
def test_who_may_write_in_several_organizations_says_which(ours: Organization, theirs: Organization) -> None:
    client = client_of(person("ann", ours=Role.USER, theirs=Role.USER))
    answer = send(client, "post", "sample")
    assert (answer.status_code, answer.json()["error"]) == (400, "Say which organization this is for.")


@here
def test_changes_need_the_token_of_the_session(ours: Organization) -> None:
    client = client_of(person("ann", ours=Role.USER), enforce_csrf_checks=True)
    answer = send(client, "post", "sample")
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert "CSRF" in answer.json()["error"]


def test_the_matrix_is_whole() -> None:
    assert roles_with("system:read") == [Role.ADMIN]
    assert roles_with("beads:write") == [Role.ADMIN, Role.USER]
    assert roles_with("beads:delete") == [Role.ADMIN]
    for wrong in ("beads", "beads:fly", "cars:read"):
        with pytest.raises(ValueError, match="is no permission"):
            roles_with(wrong)
    assert not permission_holds(AnonymousUser(), "beads:read")


# -- bodies and pages --------------------------------------------------------------------------------


@here
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ("[1, 2]", 400),
        ('"text"', 400),
        ("null", 400),
        ('{"a": NaN}', 400),
        ("[" * 100_000, 400),
        ('{"a":' * 50_000, 400),
        (b'{"a": "\xff"}', 400),
        ('{"a": %s}' % ("9" * 10_000), 400),
        ("", 201),
        ('{"a": "\\u0000b\\ud800"}', 201),
    ],
)
def test_a_body_is_a_json_object_or_refused(ours: Organization, body: str | bytes, status: int) -> None:
    client = client_of(person("ann", ours=Role.USER))
    answer = send(client, "post", "sample", body)
    assert answer.status_code == status
    assert "data" in answer.json() if status == 201 else answer.json()["error"]


@here
def test_clients_that_do_not_say_what_they_send_are_understood(ours: Organization) -> None:
    client = client_of(person("ann", ours=Role.USER))
    for kind in ("application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8"):
        answer = send(client, "post", "sample", {"a": 1}, content_type=kind)
        assert (answer.status_code, answer.json()["data"]) == (201, {"a": 1})
    checked = client_of(User.objects.create_superuser("root"), enforce_csrf_checks=True)
    checked.cookies["csrftoken"] = token = "t" * 32
    form = checked.post("/api/v1/sample", {"a": "b"}, headers={"x-csrftoken": token})
    assert (form.status_code, form.json()["code"]) == (415, "unsupported_media_type")


@here
def test_a_body_has_a_limit(ours: Organization) -> None:
    client = client_of(person("ann", ours=Role.USER))
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=100):
        answer = send(client, "post", "sample", {"a": "b" * 100})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert send(client, "post", "sample", {"a": "b" * 20}).status_code == 201


@here
def test_lists_are_bare_arrays_with_their_pages_in_headers(ours: Organization) -> None:
    for number in range(5):
        project_create(organization=ours, name=f"P{number}")
    client = client_of(person("ann", ours=Role.USER))
    whole = client.get("/api/v1/sample")
    assert [row["name"] for row in whole.json()] == ["P4", "P3", "P2", "P1", "P0"]
    assert (whole["X-Total-Count"], whole.has_header("Link")) == ("5", False)
    middle = client.get("/api/v1/sample?limit=2&offset=2")
    assert [row["name"] for row in middle.json()] == ["P2", "P1"]
    assert middle["X-Total-Count"] == "5"
    links = dict(re.findall(r'<[^>]*\?([^>]*)>; rel="(\w+)"', middle["Link"]))
    assert links == {"limit=2&offset=4": "next", "limit=2": "first"}  # both the first and the one before
    assert client.get("/api/v1/sample?offset=9").json() == []


@here
@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=x", "offset=-1", "offset=1.5", "offset=1" + "0" * 30]
)
def test_pages_that_make_no_sense_are_refused(ours: Organization, query: str) -> None:
    answer = client_of(person("ann", ours=Role.USER)).get(f"/api/v1/sample?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_input")


def test_unknown_addresses_answer_programs_in_json_and_people_with_a_page(client: Client) -> None:
    answer = client.get("/api/v1/nothing/here")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert client.get("/nothing/here")["Content-Type"].startswith("text/html")


@here
def test_what_nobody_expected_is_still_json(ours: Organization) -> None:
    client = client_of(person("ann", ours=Role.USER))
    client.raise_request_exception = False
    answer = client.get("/api/v1/sample/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")

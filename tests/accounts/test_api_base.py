"""What holds for every API route: what permission it names, and who is let in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from inspect import isawaitable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.urls import URLPattern, URLResolver
from rest_framework.test import APIRequestFactory, force_authenticate

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
from apps.core.health import health
from apps.decisions.openclaw_api import OpenClawView
from apps.projects.services import project_create
from apps.workflows.webhooks_api import GithubView
from loom_site import api as site_api
from tests.accounts.sample_api import client_of, here, ours, person, send, theirs, urlpatterns

__all__ = ["ours", "theirs"]

pytestmark = pytest.mark.django_db
OPEN_TO_ALL: list[Callable[..., Any]] = [health]
# What comes to the last two is signed.
OPEN_VIEWS = {LoginView, RefreshView, RegisterView, GithubView, OpenClawView}
OWN = {ACCOUNT}  # what everybody has who is logged in


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

"""A small API of projects, to try the base of all APIs on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, include, path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

from apps.accounts.api import TenantViewSet
from apps.accounts.models import Organization, User
from apps.accounts.services import membership_set, organization_ensure
from apps.projects.models import Project


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

"""`/projects/{id}/shares`: people and groups with whom one project is shared."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.accounts.models import PeopleGroup, User
from apps.accounts.permissions import role_give_require
from apps.core.errors import BadInput, NotFound
from apps.projects.models import Project
from apps.projects.sharing import share_remove, share_set, shares_of


class ShareBody(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="user-<id> or group-<id>")
    kind = serializers.CharField()
    name = serializers.CharField()
    role = serializers.CharField(help_text="user or viewer")


class ShareInput(serializers.Serializer[Any]):
    username = serializers.CharField(required=False, max_length=150)
    group_id = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    role = serializers.ChoiceField(choices=["user", "viewer"], default="viewer")


@extend_schema(tags=["projects"])
class ShareViewSet(TenantViewSet):
    resource = "projects"
    organization_path = "organization_id"
    serializer_class = ShareBody
    list_actions = frozenset({"shared"})
    retrieve: Any = None  # a share has no more to read than the list tells
    permission_actions = {"shared": "admin", "share": "admin", "unshare": "admin"}

    def get_queryset(self) -> QuerySet[Project]:
        return Project.objects.for_user(self.request.user).defer("prd")

    @extend_schema(responses=ShareBody(many=True))
    def shared(self, request: Request, pk: str) -> Response:
        shares = shares_of(self.get_object())
        return self.listed(shares, lambda page: [asdict(share) for share in page])

    @extend_schema(request=ShareInput, responses={201: ShareBody})
    def share(self, request: Request, pk: str) -> Response:
        """Share with `username` (of any organization) or `group_id`, as `viewer` or `user`."""
        project, given = self.get_object(), ShareInput(data=self.body)
        given.is_valid(raise_exception=True)
        read = given.validated_data
        role_give_require(request.user, read["role"])
        to = self._whom(read.get("username"), read.get("group_id"))
        share = share_set(project=project, to=to, role=read["role"], actor=str(request.user))
        return Response(asdict(share), status=201)

    @extend_schema(responses={204: None})
    def unshare(self, request: Request, pk: str, whom: str) -> Response:
        project = self.get_object()
        kind, _, number = whom.partition("-")
        if kind not in {"user", "group"} or not number.isdigit() or len(number) > 18:
            raise NotFound(f"This project is not shared with {whom[:40]!r}.")
        to: User | PeopleGroup | None
        if kind == "user":
            to = User.objects.filter(pk=number, project_shares__content_object=project).first()
        else:
            shared = {"group__project_shares__content_object": project}
            to = PeopleGroup.objects.filter(pk=number, **shared).first()
        if to is None:
            raise NotFound(f"This project is not shared with {whom!r}.")
        share_remove(project=project, to=to, actor=str(request.user))
        return Response(status=204)

    def _whom(self, username: str | None, group_id: int | None) -> User | PeopleGroup:
        if (username is None) == (group_id is None):
            raise BadInput("Say with whom: username or group_id.", details={"field": "username"})
        if username is not None:
            found = User.objects.filter(username=username, is_active=True).first()
            if found is None:
                raise NotFound(f"There is no user {username!r}.")
            return found
        group: PeopleGroup | None = (
            PeopleGroup.objects.for_user(self.request.user).filter(pk=group_id).first()
        )
        if group is None:
            raise NotFound(f"There is no group {group_id}.")
        return group


urlpatterns = [
    path("projects/<int:pk>/shares", ShareViewSet.as_view({"get": "shared", "post": "share"})),
    path("projects/<int:pk>/shares/<str:whom>", ShareViewSet.as_view({"delete": "unshare"})),
]

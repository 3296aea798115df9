"""`/auth/api-keys`: one's own keys, and for administrators those of service accounts and colleagues."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.accounts.auth_api import given
from apps.accounts.key_services import MOST_SECONDS, key_create, key_revoke
from apps.accounts.models import ApiKey, User
from apps.accounts.permissions import ACCOUNT, organizations_with, permission_require
from apps.core.api_lists import ListFilters, flag, numbers, words
from apps.core.errors import NotFound
from apps.core.tenancy import access_of, within_reach


class KeyBody(serializers.ModelSerializer[ApiKey]):
    """A key without its text."""

    id = serializers.CharField()
    user_id = serializers.CharField()
    username = serializers.CharField(source="user.username")
    organization = serializers.CharField(source="organization.slug")
    permissions = serializers.ListField(child=serializers.CharField(), source="scopes")

    class Meta:
        model = ApiKey
        fields = [
            "id", "name", "prefix", "user_id", "username", "organization", "project_id", "permissions",
            "created_at", "expires_at", "revoked_at", "last_used_at", "last_address",
        ]  # fmt: skip


class KeyInput(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=120)
    permissions = serializers.ListField(child=serializers.CharField(max_length=80), max_length=200)
    expires_in = serializers.IntegerField(
        default=0, min_value=0, max_value=MOST_SECONDS, help_text="seconds; 0: never"
    )
    organization = serializers.CharField(required=False, allow_blank=True, default="", max_length=60)
    project_id = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    user_id = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=2**63 - 1,
        help_text="Of a service account; for administrators.",
    )


class NewKeyBody(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    key = serializers.CharField(help_text="Shown once.")
    expires_at = serializers.DateTimeField(allow_null=True)


def _valid(rows: QuerySet[ApiKey], is_so: bool) -> QuerySet[ApiKey]:
    valid = ApiKey.objects.valid().values("pk")
    return rows.filter(pk__in=valid) if is_so else rows.exclude(pk__in=valid)


@extend_schema(tags=["auth"])
class KeyViewSet(TenantViewSet):
    resource = ACCOUNT
    organization_path = "organization_id"
    serializer_class = KeyBody
    secret_actions = frozenset({"create"})
    filters = {
        "user_id": numbers("user_id"),
        "organization": words("organization__slug"),
        "project_id": numbers("project_id"),
        "prefix": words("prefix"),
        "valid": flag(_valid, help="Neither revoked nor expired."),
    }
    orderings = {"name": "name", "created_at": "created_at"}
    search_fields = ("name", "prefix", "user__username")

    def get_queryset(self) -> QuerySet[ApiKey]:
        """One's own, and those of the organizations whose users one may administer."""
        user: Any = self.request.user
        rows: QuerySet[ApiKey] = ApiKey.objects.select_related("user", "organization")
        rows = within_reach(access_of(user), rows, "organization_id")
        if user.is_superuser:
            return rows
        return rows.filter(Q(user=user) | Q(organization__in=organizations_with(user, "users:read")))

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return ListFilters().filter_queryset(self.request, queryset, self)

    @extend_schema(request=KeyInput, responses={201: NewKeyBody})
    def create(self, request: Request) -> Response:
        """The key's text is in this answer and nowhere else."""
        read, maker = given(KeyInput, request), request.user
        organization = self.organization_get(read["organization"])
        owner: Any = maker
        if (user_id := read.get("user_id")) not in (None, maker.pk):
            permission_require(maker, "users:write", organization.pk)
            owner = User.objects.filter(pk=user_id, memberships__organization=organization).first()
            if owner is None:
                raise NotFound(f"There is no user {user_id}.")
            if owner.memberships.get(organization=organization).role != "service":
                raise NotFound(f"{owner} is no service account; people make their own keys.")
        key, text = key_create(
            user=owner,
            organization=organization,
            name=read["name"],
            scopes=read["permissions"],
            project_id=read.get("project_id"),
            expires_in=read["expires_in"],
            maker=maker if isinstance(maker, User) else None,
        )
        body = {"id": str(key.pk), "name": key.name, "key": text, "expires_at": key.expires_at}
        return Response(body, status=201)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Revoke it; it stays in the list."""
        key = self.get_object()
        if key.user_id != request.user.pk:
            permission_require(request.user, "users:write", key.organization_id)
        key_revoke(key=key, actor=str(request.user))
        return Response(status=204)


urlpatterns = [
    path("auth/api-keys", KeyViewSet.as_view({"get": "list", "post": "create"})),
    path("auth/api-keys/<int:pk>", KeyViewSet.as_view({"get": "retrieve", "delete": "destroy"})),
]

"""`/auth/users`: the people of the organizations one administers."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.accounts.auth_api import UserBody, given
from apps.accounts.email_services import email_change
from apps.accounts.models import Membership, Role, User
from apps.accounts.permissions import READ, permission_of, role_give_require, rows_with
from apps.accounts.services import membership_set
from apps.accounts.user_services import (
    account_manage_require,
    password_reset,
    user_activate,
    user_create,
    user_deactivate,
    user_update,
)
from apps.core.api_lists import flag, words
from apps.core.errors import BadInput, Conflict, Forbidden
from apps.core.tenancy import access_of


class UserInput(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150)
    email = serializers.CharField(required=False, allow_blank=True, default="", max_length=254)
    role = serializers.ChoiceField(choices=Role.choices, default=Role.USER)
    password = serializers.CharField(
        max_length=1000, required=False, trim_whitespace=False, help_text="Of a service account: none needed."
    )
    organization = serializers.CharField(required=False, allow_blank=True, default="", max_length=60)


class UserChange(serializers.Serializer[Any]):
    email = serializers.CharField(required=False, allow_blank=True, max_length=254)
    role = serializers.ChoiceField(choices=Role.choices, required=False)
    is_active = serializers.BooleanField(required=False)


class ResetInput(serializers.Serializer[Any]):
    new_password = serializers.CharField(max_length=1000, required=False, trim_whitespace=False)


class ResetBody(serializers.Serializer[Any]):
    username = serializers.CharField()
    password = serializers.CharField(help_text="Shown once.")


@extend_schema(tags=["auth"])
class UserViewSet(TenantViewSet):
    resource = "users"
    serializer_class = UserBody
    permission_actions = {"reset": "write"}
    secret_actions = frozenset({"reset"})
    filters = {
        "is_active": flag("is_active"),
        "username": words("username"),
        "role": words("role", choices=Role.values),
    }
    orderings = {"username": "username", "created_at": "date_joined"}
    search_fields = ("username", "email")

    def get_queryset(self) -> QuerySet[User]:
        user: Any = self.request.user
        memberships = rows_with(user, "users:read", Membership.objects.for_user(user), "organization_id")
        here = memberships.filter(user=OuterRef("pk")).order_by("pk")
        people = User.objects.annotate(role=Subquery(here.values("role")[:1])).order_by("username")
        if user.is_superuser and access_of(user).organization_id is None:
            return people
        return people.filter(pk__in=memberships.values("user_id"))

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows = queryset
        for backend in self.filter_backends:
            rows = backend().filter_queryset(self.request, rows, self)
        return rows

    def organization_of(self, obj: User) -> Any:
        """One that both are in, and that the person may read the users of."""
        user: Any = self.request.user
        mine = rows_with(user, f"users:{READ}", Membership.objects.filter(user=obj), "organization_id")
        return mine.values_list("organization_id", flat=True).first()

    def project_of(self, obj: User) -> Any:
        return None

    @extend_schema(request=UserInput, responses={201: UserBody})
    def create(self, request: Request) -> Response:
        read = given(UserInput, request)
        organization = self.organization_get(read.pop("organization"))
        self.permission_check(organization.pk)
        role_give_require(request.user, read["role"])
        password = read.pop("password", None)
        if password is None and read["role"] != Role.SERVICE:
            raise BadInput("password is required.", details={"field": "password"})
        user = user_create(password=password, organization=organization, actor=str(request.user), **read)
        return Response(UserBody(user, context={"organization": organization}).data, status=201)

    @extend_schema(request=UserChange, responses=UserBody)
    @transaction.atomic
    def partial_update(self, request: Request, pk: str) -> Response:
        """Role in the organization, address (one's own waits to be confirmed), and whether it is open."""
        user, read, actor = self.get_object(), given(UserChange, request), str(request.user)
        if "email" in read or "is_active" in read:
            self._manage(user)
        if "role" in read:
            role_give_require(request.user, read["role"])
            rows = user.memberships.select_related("organization")
            membership = rows.filter(organization_id=self.organization_of(user)).first()
            if membership is None:
                raise Conflict(f"{user} is in no organization.", details={"field": "role"})
            membership_set(user=user, organization=membership.organization, role=read["role"], actor=actor)
        if "email" in read:
            if user.pk == request.user.pk:
                email_change(user=user, email=read["email"])
            else:
                user_update(user=user, email=read["email"], actor=actor)
        if "is_active" in read:
            (user_activate if read["is_active"] else user_deactivate)(user=user, actor=actor)
        return Response(UserBody(self.get_queryset().get(pk=user.pk)).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Close the account; what it did stays. To take somebody out of an organization, see members."""
        user = self.get_object()
        self._manage(user)
        user_deactivate(user=user, actor=str(request.user))
        return Response(status=204)

    @extend_schema(request=ResetInput, responses=ResetBody)
    def reset(self, request: Request, pk: str) -> Response:
        """Set a new password, made up if none is sent; all sessions and tokens of the person end."""
        user, read = self.get_object(), given(ResetInput, request)
        self._manage(user)
        if access_of(request.user).is_key and user.pk == request.user.pk:
            raise Forbidden("No API key changes the password of its owner.")
        if (user.is_superuser or user.is_staff) and access_of(request.user).is_key:
            raise Forbidden("No API key resets the password of an operator, who reaches further than it.")
        for role in set(user.memberships.values_list("role", flat=True)):
            role_give_require(request.user, role)  # who knows the password has it too
        password = password_reset(user=user, new=read.get("new_password"), actor=str(request.user))
        return Response({"username": user.username, "password": password})

    def _manage(self, user: User) -> None:
        manager: Any = self.request.user
        permission = permission_of(self, self.request.method)
        account_manage_require(manager=manager, user=user, permission=permission)


urlpatterns = [
    path("auth/users", UserViewSet.as_view({"get": "list", "post": "create"})),
    path(
        "auth/users/<int:pk>",
        UserViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path("auth/users/<int:pk>/reset-password", UserViewSet.as_view({"post": "reset"})),
]

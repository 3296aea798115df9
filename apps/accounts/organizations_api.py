"""`/organizations`: those one is in, their members, groups and invitations, and which one is looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib.auth.models import Group
from django.db.models import OuterRef, QuerySet, Subquery
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.accounts.auth_api import OwnView, TokenBody, given, token_body
from apps.accounts.authentication import LOGIN
from apps.accounts.login_services import login_switch, organization_named
from apps.accounts.middleware import CHOSEN
from apps.accounts.models import Membership, Organization, PeopleGroup, Role, User
from apps.accounts.permissions import ACCOUNT, SHARED_AS, role_give_require
from apps.accounts.services import (
    group_create,
    group_delete,
    group_member_add,
    group_member_remove,
    membership_remove,
    membership_set,
    organization_create,
    organization_rename,
)
from apps.core.api_lists import Listing, flag, words
from apps.core.errors import Forbidden, NotFound
from apps.core.tenancy import access_of


class OrganizationBody(serializers.Serializer[Organization]):
    id = serializers.CharField()
    name = serializers.CharField()
    slug = serializers.CharField()
    role = serializers.CharField(
        allow_null=True, help_text="One's own; null for operators who are no members."
    )
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class OrganizationInput(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200)


class MemberBody(serializers.Serializer[Membership]):
    user_id = serializers.CharField()
    username = serializers.CharField(source="user.username")
    email = serializers.CharField(source="user.email")
    is_active = serializers.BooleanField(source="user.is_active")
    role = serializers.CharField()
    created_at = serializers.DateTimeField()


class RoleInput(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=Role.choices)


class GroupBody(serializers.Serializer[PeopleGroup]):
    id = serializers.CharField()
    name = serializers.CharField()
    members = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    def get_members(self, people: PeopleGroup) -> list[str]:
        return [user.username for user in people.group.user_set.all()]


class GroupInput(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=80)


class GroupMemberInput(serializers.Serializer[Any]):
    user_id = serializers.IntegerField(min_value=1, max_value=2**63 - 1)


class SwitchInput(serializers.Serializer[Any]):
    organization = serializers.CharField(
        allow_blank=True, max_length=60, help_text="id or slug; empty: all one is in"
    )


def _with_member(rows: QuerySet[Any], names: list[str]) -> QuerySet[Any]:
    return rows.filter(group__in=Group.objects.filter(user__username__in=names))


@extend_schema(tags=["organizations"])
class OrganizationViewSet(TenantViewSet):
    resource = "organizations"
    organization_path = "pk"
    serializer_class = OrganizationBody
    permission_actions = {"members": "read", "groups": "read", "member": "read", "group": "read"}
    orderings = {"name": "name", "created_at": "created_at"}
    search_fields = ("name", "slug")
    filters = {"slug": words("slug")}
    reads = {"member_change": "member", "member_remove": "member", "group_remove": "group"}
    listings = {
        "members": Listing(
            {
                "role": words("role", choices=Role.values),
                "username": words("user__username"),
                "is_active": flag("user__is_active"),
            },
            {"username": "user__username", "role": "role", "created_at": "created_at"},
            ("user__username", "user__email"),
        ),
        "groups": Listing(
            {"name": words("name"), "member": words(_with_member, help="Names of people in them.")},
            {"name": "name", "created_at": "created_at"},
            ("name",),
        ),
    }

    def get_queryset(self) -> QuerySet[Organization]:
        user: Any = self.request.user
        own = Membership.objects.filter(user=user, organization=OuterRef("pk")).values("role")[:1]
        return Organization.objects.for_user(user).annotate(role=Subquery(own))

    @extend_schema(request=OrganizationInput, responses={201: OrganizationBody})
    def create(self, request: Request) -> Response:
        """For operators of the installation: a new tenant, which they administer."""
        user: Any = request.user
        if not user.is_superuser:
            raise Forbidden("Only operators of this installation make organizations.")
        made = organization_create(name=given(OrganizationInput, request)["name"], owner=user)
        return Response(OrganizationBody(self.get_queryset().get(pk=made.pk)).data, status=201)

    @extend_schema(request=OrganizationInput, responses=OrganizationBody)
    def partial_update(self, request: Request, pk: str) -> Response:
        found = self.get_object()
        organization_rename(
            organization=found, name=given(OrganizationInput, request)["name"], actor=str(request.user)
        )
        return Response(OrganizationBody(self.get_queryset().get(pk=found.pk)).data)

    @extend_schema(responses=MemberBody(many=True))
    def members(self, request: Request, pk: str) -> Response:
        rows = Membership.objects.filter(organization=self.get_object()).select_related("user")
        return self.listed(rows.order_by("user__username"), lambda page: MemberBody(page, many=True).data)

    @extend_schema(responses=MemberBody)
    def member(self, request: Request, pk: str, user_id: int) -> Response:
        return Response(MemberBody(self._member(user_id)[1]).data)

    @extend_schema(request=RoleInput, responses=MemberBody)
    def member_change(self, request: Request, pk: str, user_id: int) -> Response:
        found, membership = self._member(user_id)
        role = given(RoleInput, request)["role"]
        role_give_require(request.user, role)
        changed = membership_set(user=membership.user, organization=found, role=role, actor=str(request.user))
        return Response(MemberBody(changed).data)

    @extend_schema(responses={204: None})
    def member_remove(self, request: Request, pk: str, user_id: int) -> Response:
        """The account stays; what it can reach of this organization ends."""
        _, membership = self._member(user_id)
        membership_remove(membership=membership, actor=str(request.user))
        return Response(status=204)

    def _member(self, user_id: int) -> tuple[Organization, Membership]:
        found = self.get_object()
        rows = Membership.objects.select_related("user", "organization")
        membership = rows.filter(organization=found, user_id=user_id).first()
        if membership is None:
            raise NotFound(f"There is no member {user_id}.")
        return found, membership

    @extend_schema(responses=GroupBody(many=True))
    def groups(self, request: Request, pk: str) -> Response:
        rows = PeopleGroup.objects.filter(organization=self.get_object()).select_related("group")
        rows = rows.prefetch_related("group__user_set")
        return self.listed(rows, lambda page: GroupBody(page, many=True).data)

    @extend_schema(request=GroupInput, responses={201: GroupBody})
    def group_add(self, request: Request, pk: str) -> Response:
        found, name = self.get_object(), given(GroupInput, request)["name"]
        made = group_create(organization=found, name=name, actor=str(request.user))
        return Response(GroupBody(made).data, status=201)

    @extend_schema(responses=GroupBody)
    def group(self, request: Request, pk: str, group_id: int) -> Response:
        return Response(GroupBody(self._group(group_id)).data)

    @extend_schema(responses={204: None})
    def group_remove(self, request: Request, pk: str, group_id: int) -> Response:
        group_delete(people=self._group(group_id), actor=str(request.user))
        return Response(status=204)

    @extend_schema(request=GroupMemberInput, responses=GroupBody)
    def group_join(self, request: Request, pk: str, group_id: int) -> Response:
        people, user_id = self._group(group_id), given(GroupMemberInput, request)["user_id"]
        _, membership = self._member(user_id)
        for role in SHARED_AS:  # what is shared with the group, now or later, is theirs by this
            role_give_require(request.user, role)
        group_member_add(people=people, user=membership.user, actor=str(request.user))
        return Response(GroupBody(people).data)

    @extend_schema(responses={204: None})
    def group_leave(self, request: Request, pk: str, group_id: int, user_id: int) -> Response:
        people = self._group(group_id)
        user = User.objects.filter(pk=user_id, groups=people.group).first()
        if user is None:
            raise NotFound(f"There is no member {user_id}.")
        group_member_remove(people=people, user=user, actor=str(request.user))
        return Response(status=204)

    def _group(self, group_id: int) -> PeopleGroup:
        rows: QuerySet[PeopleGroup] = PeopleGroup.objects.select_related("group", "organization")
        found = rows.filter(organization=self.get_object(), pk=group_id).first()
        if found is None:
            raise NotFound(f"There is no group {group_id}.")
        return found


class SwitchView(OwnView):
    resource = ACCOUNT

    @extend_schema(request=SwitchInput, responses=TokenBody)
    def post(self, request: Request) -> Response:
        """Look at one organization. A browser's session remembers it; a program gets tokens for it."""
        user: Any = request.user
        named = given(SwitchInput, request)["organization"]
        user.access = replace(access_of(user), organization_id=None)  # one may go from any to any
        found = organization_named(user, named) if named else None
        credential = access_of(user).credential
        if credential.startswith(LOGIN):
            switched = login_switch(login_id=credential.removeprefix(LOGIN), organization=found)
            return Response(token_body(switched))
        request.session.pop(CHOSEN, None)
        if found is not None:
            request.session[CHOSEN] = found.pk
        return Response({"organization": found.slug if found else None})


ONE = "organizations/<int:pk>"
view = OrganizationViewSet.as_view
urlpatterns = [
    path("auth/switch", SwitchView.as_view(), name="auth-switch"),
    path("organizations", view({"get": "list", "post": "create"})),
    path(ONE, view({"get": "retrieve", "patch": "partial_update"})),
    path(f"{ONE}/members", view({"get": "members"})),
    path(
        f"{ONE}/members/<int:user_id>",
        view({"get": "member", "patch": "member_change", "delete": "member_remove"}),
    ),
    path(f"{ONE}/groups", view({"get": "groups", "post": "group_add"})),
    path(f"{ONE}/groups/<int:group_id>", view({"get": "group", "delete": "group_remove"})),
    path(f"{ONE}/groups/<int:group_id>/members", view({"post": "group_join"})),
    path(f"{ONE}/groups/<int:group_id>/members/<int:user_id>", view({"delete": "group_leave"})),
]

"""`/auth/invitations`: links by which people join an organization."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet
from django.urls import path, reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.accounts.auth_api import LoginBody, OpenView, OwnView, UserBody, given, token_body
from apps.accounts.invitation_services import (
    LIFE,
    MOST_SECONDS,
    invitation_accept,
    invitation_create,
    invitation_register,
    invitation_revoke,
)
from apps.accounts.login_services import tokens_give
from apps.accounts.models import Invitation, Role
from apps.accounts.permissions import role_give_require
from apps.core.api_lists import words

STATES = ("open", "expired", "accepted", "revoked")


class InvitationBody(serializers.ModelSerializer[Invitation]):
    id = serializers.CharField()
    organization = serializers.CharField(source="organization.slug")
    state = serializers.CharField(help_text="open, accepted, revoked or expired")
    invited_by = serializers.CharField(source="invited_by.username", default=None)
    accepted_by = serializers.CharField(source="accepted_by.username", default=None)

    class Meta:
        model = Invitation
        fields = [
            "id", "organization", "email", "role", "state", "invited_by", "accepted_by", "created_at",
            "expires_at", "accepted_at", "revoked_at",
        ]  # fmt: skip


class InvitationInput(serializers.Serializer[Any]):
    email = serializers.CharField(required=False, allow_blank=True, default="", max_length=254)
    role = serializers.ChoiceField(choices=Role.choices, default=Role.USER)
    expires_in = serializers.IntegerField(
        default=LIFE, min_value=60, max_value=MOST_SECONDS, help_text="seconds"
    )
    organization = serializers.CharField(required=False, allow_blank=True, default="", max_length=60)


class NewInvitationBody(InvitationBody):
    token = serializers.CharField(help_text="Shown once.")
    link = serializers.CharField(help_text="For the person: works in any browser, once.")

    class Meta(InvitationBody.Meta):
        fields = [*InvitationBody.Meta.fields, "token", "link"]


class TokenInput(serializers.Serializer[Any]):
    token = serializers.CharField(max_length=200)


class RegisterInput(TokenInput):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1000, trim_whitespace=False)


class JoinedBody(serializers.Serializer[Any]):
    organization = serializers.CharField()
    role = serializers.CharField()


def _in_states(rows: QuerySet[Invitation], states: list[str]) -> QuerySet[Invitation]:
    open_ones, now = Q(accepted_at=None, revoked_at=None), timezone.now()
    meant = {
        "open": open_ones & Q(expires_at__gt=now),
        "expired": open_ones & Q(expires_at__lte=now),
        "accepted": Q(accepted_at__isnull=False),
        "revoked": Q(accepted_at=None, revoked_at__isnull=False),
    }
    return rows.filter(reduce(or_, (meant[state] for state in states)))


@extend_schema(tags=["auth"])
class InvitationViewSet(TenantViewSet):
    resource = "users"
    organization_path = "organization_id"
    serializer_class = InvitationBody
    secret_actions = frozenset({"create"})
    filters = {
        "state": words(_in_states, choices=STATES),
        "role": words("role", choices=Role.values),
        "email": words("email"),
        "organization": words("organization__slug"),
    }
    orderings = {name: name for name in ("email", "role", "created_at", "expires_at")}
    search_fields = ("email", "invited_by__username", "accepted_by__username")

    def get_queryset(self) -> QuerySet[Invitation]:
        rows: QuerySet[Invitation] = Invitation.objects.for_user(self.request.user)
        return rows.select_related("organization", "invited_by", "accepted_by")

    @extend_schema(request=InvitationInput, responses={201: NewInvitationBody})
    def create(self, request: Request) -> Response:
        """The link is in this answer and nowhere else."""
        read, user = given(InvitationInput, request), request.user
        organization = self.organization_get(read.pop("organization"))
        self.permission_check(organization.pk)
        role_give_require(user, read["role"])
        by: Any = user
        invitation, token = invitation_create(organization=organization, by=by, **read)
        link = request.build_absolute_uri(reverse("invitation", args=[token]))
        body = {**InvitationBody(invitation).data, "token": token, "link": link}
        return Response(body, status=201)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        invitation_revoke(invitation=self.get_object(), actor=str(request.user))
        return Response(status=204)


class AcceptView(OwnView):
    @extend_schema(request=TokenInput, responses=JoinedBody)
    def post(self, request: Request) -> Response:
        """Join with the account one is logged in with."""
        user: Any = request.user
        joined = invitation_accept(token=given(TokenInput, request)["token"], user=user)
        return Response({"organization": joined.organization.slug, "role": joined.role})


class RegisterView(OpenView):
    @extend_schema(request=RegisterInput, responses={201: LoginBody})
    def post(self, request: Request) -> Response:
        """Join with a new account; the answer is that of a login."""
        user = invitation_register(**given(RegisterInput, request))
        organization = user.memberships.select_related("organization").get().organization
        tokens = tokens_give(person=user, organization=organization)
        return Response({**token_body(tokens), "user": UserBody(user).data}, status=201)


urlpatterns = [
    path("auth/invitations", InvitationViewSet.as_view({"get": "list", "post": "create"})),
    path("auth/invitations/accept", AcceptView.as_view()),
    path("auth/invitations/register", RegisterView.as_view()),
    path("auth/invitations/<int:pk>", InvitationViewSet.as_view({"get": "retrieve", "delete": "destroy"})),
]

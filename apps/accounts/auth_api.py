"""`/auth`: logging in and out, and one's own account."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate, logout, update_session_auth_hash
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.authentication import LOGIN
from apps.accounts.login_services import (
    Tokens,
    login_end,
    organization_named,
    role_of,
    tokens_give,
    tokens_renew,
)
from apps.accounts.models import Organization, User
from apps.accounts.permissions import ACCOUNT
from apps.accounts.user_services import password_change
from apps.core.api_conditions import ConditionalMixin
from apps.core.errors import Unauthenticated
from apps.core.tenancy import access_of


class UserBody(serializers.Serializer[User]):
    """An account; `role` is the one in the current organization, else the most it has anywhere."""

    id = serializers.CharField()
    username = serializers.CharField()
    email = serializers.CharField()
    role = serializers.SerializerMethodField()
    is_active = serializers.BooleanField()
    created_at = serializers.DateTimeField(source="date_joined")
    updated_at = serializers.DateTimeField()

    def get_role(self, user: User) -> str:
        return str(getattr(user, "role", "") or role_of(user, self.context.get("organization")))


class LoginInput(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1000, trim_whitespace=False)
    organization = serializers.CharField(required=False, allow_blank=True, default="", max_length=60)


class RefreshInput(serializers.Serializer[Any]):
    refresh_token = serializers.CharField(max_length=4000)


class PasswordInput(serializers.Serializer[Any]):
    current_password = serializers.CharField(max_length=1000, trim_whitespace=False)
    new_password = serializers.CharField(max_length=1000, trim_whitespace=False)


class TokenBody(serializers.Serializer[Any]):
    token = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="seconds")
    refresh_token = serializers.CharField()
    refresh_expires_in = serializers.IntegerField(help_text="seconds")


class LoginBody(TokenBody):
    user = UserBody()


class Message(serializers.Serializer[Any]):
    message = serializers.CharField()


def given(kind: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """The request's body as `kind` reads it; a 400 that names the fields if it does not fit."""
    read = kind(data=request.data)
    read.is_valid(raise_exception=True)
    return dict(read.validated_data)


def token_body(tokens: Tokens) -> dict[str, Any]:
    return {
        "token": tokens.access,
        "expires_in": tokens.access_seconds,
        "refresh_token": tokens.refresh,
        "refresh_expires_in": tokens.refresh_seconds,
    }


@extend_schema(tags=["auth"])
class OpenView(APIView):
    """For people who are not logged in yet; what a browser sends along does not count."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    resource = ACCOUNT


class LoginView(OpenView):
    @extend_schema(request=LoginInput, responses=LoginBody)
    def post(self, request: Request) -> Response:
        """Tokens for a name and password; `organization` limits them to one of several."""
        read = given(LoginInput, request)
        person = authenticate(request._request, username=read["username"], password=read["password"])
        if not isinstance(person, User):
            raise Unauthenticated("This name and password do not fit together.")
        organization = organization_named(person, read["organization"])
        tokens = tokens_give(person=person, organization=organization)
        return Response({**token_body(tokens), "user": UserBody(person).data})


class RefreshView(OpenView):
    @extend_schema(request=RefreshInput, responses=TokenBody)
    def post(self, request: Request) -> Response:
        """New tokens for the newest refresh token; using an older one ends the login."""
        return Response(token_body(tokens_renew(refresh=given(RefreshInput, request)["refresh_token"])))


@extend_schema(tags=["auth"])
class OwnView(APIView):
    resource = ACCOUNT


class LogoutView(OwnView):
    @extend_schema(request=None, responses=Message)
    def post(self, request: Request) -> Response:
        """End the login whose token is shown, with all tokens made from it, or the browser's session."""
        credential = access_of(request.user).credential
        if credential.startswith(LOGIN):
            login_end(login_id=credential.removeprefix(LOGIN))
        else:
            logout(request._request)
        return Response({"message": "Logged out"})


class MeView(ConditionalMixin, OwnView):
    @extend_schema(responses=UserBody)
    def get(self, request: Request) -> Response:
        user: Any = request.user
        chosen = access_of(user).organization_id
        found = Organization.objects.filter(pk=chosen).first() if chosen is not None else None
        return Response(UserBody(user, context={"organization": found}).data)


class PasswordView(OwnView):
    @extend_schema(request=PasswordInput, responses=Message)
    def post(self, request: Request) -> Response:
        """Change one's own password; all other sessions and all tokens end."""
        user: Any = request.user
        read = given(PasswordInput, request)
        password_change(user=user, current=read["current_password"], new=read["new_password"])
        if not access_of(user).credential:
            update_session_auth_hash(request._request, user)
        return Response({"message": "Password changed successfully"})


urlpatterns = [
    path("auth/login", LoginView.as_view(), name="auth-login"),
    path("auth/refresh", RefreshView.as_view(), name="auth-refresh"),
    path("auth/logout", LogoutView.as_view(), name="auth-logout"),
    path("auth/me", MeView.as_view(), name="auth-me"),
    path("auth/change-password", PasswordView.as_view(), name="auth-change-password"),
]

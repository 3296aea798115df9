"""`/webhooks/openclaw` and what belongs to it: answers to decisions from a chat."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.api import TenantViewSet
from apps.accounts.permissions import ADMIN, READ, rows_with
from apps.core.api_inputs import Input
from apps.core.signing import header_checked, object_read
from apps.decisions.models import ChatGateway
from apps.decisions.openclaw import ChatMessage, gateway_remove, gateway_secret_make, message_take
from apps.projects.models import Project

HEADER = "X-OpenClaw-Signature"
NAME_CHARS, TEXT_CHARS = 100, 50_000
MOST = 1000


class ChatMessageInput(Input):
    session_key = serializers.CharField(max_length=NAME_CHARS, allow_blank=True, default="")
    sender = serializers.CharField(max_length=NAME_CHARS, allow_blank=True, default="")
    channel = serializers.CharField(max_length=NAME_CHARS, allow_blank=True, default="")
    text = serializers.CharField(max_length=TEXT_CHARS)
    timestamp = serializers.DateTimeField(required=False, allow_null=True)
    message_id = serializers.CharField(max_length=NAME_CHARS, allow_blank=True, default="")


class ChatMessageBody(serializers.Serializer[Any]):
    """`resolved` with the decision, `error` with why it was not, `received` where it is about none."""

    status = serializers.ChoiceField(["resolved", "received", "error"])
    decision_id = serializers.CharField(required=False)
    decision = serializers.CharField(required=False, help_text="The key of the option.")
    error = serializers.CharField(required=False)
    session_key = serializers.CharField(required=False)
    processed = serializers.BooleanField(required=False)


class OpenClawBody(serializers.Serializer[Any]):
    enabled = serializers.BooleanField()
    escalations_only = serializers.BooleanField(help_text="False: every decision may be answered.")
    projects = serializers.ListField(child=serializers.CharField(), help_text="Those with a secret.")


class OpenClawSecretBody(serializers.Serializer[Any]):
    secret = serializers.CharField(help_text="Shown once.")
    path = serializers.CharField(help_text="Where the gateway shall send to, at this installation.")


@extend_schema(tags=["webhooks"])
class OpenClawView(APIView):
    """Signed by a gateway with a project's secret; nobody is logged in."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    resource = "decisions"

    @extend_schema(
        parameters=[OpenApiParameter(HEADER, str, OpenApiParameter.HEADER)],
        request=ChatMessageInput,
        responses=ChatMessageBody,
    )
    def post(self, request: Request) -> Response:
        """Answers the decision that the session `loom:decision:<id>` is about, as a person does."""
        raw = request._request.body  # as it was signed
        signature = header_checked(HEADER, request.headers.get(HEADER, ""), "OpenClaw")
        given = ChatMessageInput.read(object_read(raw))
        given.pop("timestamp", None)
        return Response(message_take(body=raw, signature=signature, message=ChatMessage(**given)))


class OpenClawViewSet(TenantViewSet):
    resource = "projects"
    etag_actions = frozenset()
    secret_actions = frozenset({"secret"})
    permission_actions = {"secret": ADMIN, "remove": ADMIN, "status": READ}

    def get_queryset(self) -> QuerySet[ChatGateway]:
        return ChatGateway.objects.for_user(self.request.user)

    @extend_schema(responses=OpenClawBody, tags=["webhooks"])
    def status(self, request: Request) -> Response:
        """Of the projects that the caller may read."""
        user: Any = request.user
        rows = rows_with(user, "projects:read", self.get_queryset(), "project__organization_id")
        known = [str(pk) for pk in rows.order_by("project_id").values_list("project_id", flat=True)[:MOST]]
        return Response({"enabled": bool(known), "escalations_only": False, "projects": known})

    @extend_schema(request=None, responses={201: OpenClawSecretBody}, tags=["webhooks"])
    def secret(self, request: Request, pk: str) -> Response:
        """A new secret for the gateway that answers the project's decisions; the one before ends."""
        project = self.parent_get(Project.objects.for_user(request.user), pk)
        secret = gateway_secret_make(project=project, actor=request.user.get_username())
        return Response({"secret": secret, "path": "/api/v1/webhooks/openclaw"}, status=201)

    @extend_schema(responses={204: None}, tags=["webhooks"])
    def remove(self, request: Request, pk: str) -> Response:
        """Take no messages any more."""
        project = self.parent_get(Project.objects.for_user(request.user), pk)
        gateway_remove(project=project, actor=request.user.get_username())
        return Response(status=204)


urlpatterns = [
    path("webhooks/openclaw", OpenClawView.as_view(), name="webhook-openclaw"),
    path("openclaw/status", OpenClawViewSet.as_view({"get": "status"}), name="openclaw-status"),
    path(
        "projects/<str:pk>/openclaw-secret",
        OpenClawViewSet.as_view({"post": "secret", "delete": "remove"}),
        name="openclaw-secret",
    ),
]

"""`/webhooks/*`: what GitHub tells, its secret, and whether any is expected."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.api import TenantViewSet
from apps.accounts.permissions import ADMIN, READ, rows_with
from apps.agents.merge_models import MergePolicy
from apps.core.errors import BadInput
from apps.core.signing import header_checked, object_read
from apps.projects.models import Project
from apps.workflows.webhooks import Told, projects_signed, told_by, webhook_secret_make, webhook_take


class HookEventBody(serializers.Serializer[Any]):
    id = serializers.CharField()
    type = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    repository = serializers.CharField()
    action = serializers.CharField(allow_blank=True)
    data = serializers.DictField()  # type: ignore[assignment]
    received_at = serializers.DateTimeField()
    processed = serializers.BooleanField()


class HookBody(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["received", "ignored"])
    event = HookEventBody(required=False)


class HooksBody(serializers.Serializer[Any]):
    github_webhook_enabled = serializers.BooleanField()
    webhook_secret_configured = serializers.BooleanField()
    motivation_engine_available = serializers.BooleanField()
    projects = serializers.ListField(child=serializers.CharField(), help_text="Those with a secret.")


class HookSecretBody(serializers.Serializer[Any]):
    secret = serializers.CharField(help_text="Shown once.")
    path = serializers.CharField(help_text="Where GitHub shall send to, at this installation.")


@extend_schema(tags=["webhooks"])
class GithubView(APIView):
    """Signed by GitHub with a project's secret; nobody is logged in."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    resource = "projects"

    @extend_schema(
        parameters=[
            OpenApiParameter("X-GitHub-Event", str, OpenApiParameter.HEADER),
            OpenApiParameter("X-GitHub-Delivery", str, OpenApiParameter.HEADER),
            OpenApiParameter("X-Hub-Signature-256", str, OpenApiParameter.HEADER),
        ],
        request=OpenApiTypes.OBJECT,
        responses=HookBody,
    )
    def post(self, request: Request) -> Response:
        """Takes pushes, pull requests, issues, comments and releases; the same delivery twice counts once."""
        raw = request._request.body  # as it was signed
        kind = _header(request, "X-GitHub-Event")
        if not kind:
            raise BadInput("The header X-GitHub-Event is missing.")
        body = object_read(raw)
        repository = body["repository"] if isinstance(body.get("repository"), dict) else {}
        projects = projects_signed(raw, _header(request, "X-Hub-Signature-256"), repository)
        told = told_by(kind, body)
        if told is None:
            return Response({"status": "ignored"})
        delivery = _header(request, "X-GitHub-Delivery")
        if not delivery:
            raise BadInput("The header X-GitHub-Delivery is missing.")
        sender = body["sender"].get("login", "") if isinstance(body.get("sender"), dict) else ""
        name = str(repository.get("full_name", ""))[:300]
        for project in projects:
            webhook_take(
                project=project, told=told, repository=name, sender=str(sender)[:100], delivery=delivery
            )
        return Response({"status": "received", "event": _event(told, name, delivery)})


def _event(told: Told, repository: str, delivery: str) -> dict[str, Any]:
    return {
        "id": delivery,
        "type": told.type,
        "source": "github",
        "repository": repository,
        "action": told.action,
        "data": told.data,
        "received_at": timezone.now(),
        "processed": True,
    }


def _header(request: Request, name: str) -> str:
    return header_checked(name, request.headers.get(name, ""), "GitHub")


class HooksViewSet(TenantViewSet):
    resource = "projects"
    etag_actions = frozenset()
    secret_actions = frozenset({"secret"})
    permission_actions = {"secret": ADMIN, "status": READ}

    def get_queryset(self) -> QuerySet[MergePolicy]:
        return MergePolicy.objects.for_user(self.request.user).exclude(webhook_secret_sealed="")

    @extend_schema(responses=HooksBody, tags=["webhooks"])
    def status(self, request: Request) -> Response:
        """Of the projects that the caller may read."""
        user: Any = request.user
        rows = rows_with(user, "projects:read", self.get_queryset(), "project__organization_id")
        known = [str(pk) for pk in rows.order_by("project_id").values_list("project_id", flat=True)[:1000]]
        return Response(
            {
                "github_webhook_enabled": bool(known),
                "webhook_secret_configured": bool(known),
                "motivation_engine_available": True,
                "projects": known,
            }
        )

    @extend_schema(request=None, responses={201: HookSecretBody}, tags=["webhooks"])
    def secret(self, request: Request, pk: str) -> Response:
        """A new secret for the project's webhook on GitHub; the one before ends."""
        project = self.parent_get(Project.objects.for_user(request.user), pk)
        secret = webhook_secret_make(project=project, actor=request.user.get_username())
        return Response({"secret": secret, "path": "/api/v1/webhooks/github"}, status=201)


urlpatterns = [
    path("webhooks/github", GithubView.as_view(), name="webhook-github"),
    path("webhooks/status", HooksViewSet.as_view({"get": "status"}), name="webhook-status"),
    path("projects/<str:pk>/webhook-secret", HooksViewSet.as_view({"post": "secret"}), name="webhook-secret"),
]

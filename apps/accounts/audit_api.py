"""`/audit`: who did what from where, for administrators."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers

from apps.accounts.api import TenantViewSet
from apps.core.api_lists import moment, numbers, words
from apps.events.models import Event


class AuditBody(serializers.ModelSerializer[Event]):
    """An event that came from outside, with its origin."""

    id = serializers.CharField()
    type = serializers.CharField(source="kind")
    timestamp = serializers.DateTimeField(source="created_at")
    user_id = serializers.CharField(allow_null=True)

    class Meta:
        model = Event
        fields = [
            "id", "type", "timestamp", "actor", "user_id", "credential", "address", "user_agent",
            "request_id", "subject", "organization_id", "project_id", "data",
        ]  # fmt: skip


@extend_schema(tags=["audit"])
class AuditViewSet(TenantViewSet):
    """Newest first. Events are only ever appended."""

    resource = "audit"
    organization_path = "organization_id"
    serializer_class = AuditBody
    filters = {
        "type": words("kind", help="such as login.failed"),
        "user_id": numbers("user_id"),
        "actor": words("actor"),
        "credential": words("credential", help="session, login:<id> or key:<id>"),
        "address": words("address"),
        "request_id": words("request_id"),
        "subject": words("subject"),
        "project_id": numbers("project_id"),
        "since": moment("created_at__gte"),
        "until": moment("created_at__lt"),
    }
    orderings = {"id": "id"}
    search_fields = ("actor", "kind", "subject", "address")

    def get_queryset(self) -> QuerySet[Event]:
        user: Any = self.request.user
        return Event.objects.for_user(user).of_requests().order_by("-id")


urlpatterns = [path("audit", AuditViewSet.as_view({"get": "list"}), name="audit")]

"""The API of what routing prefers: seen and undone here, made by applying a recommendation."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api import TenantViewSet
from apps.core.api_lists import numbers, words
from apps.providers.models import Preference
from apps.providers.preferences import preference_remove


class PreferenceBody(serializers.ModelSerializer[Preference]):
    id = serializers.CharField()
    organization_id = serializers.CharField()
    project_id = serializers.CharField()
    provider_id = serializers.CharField()
    provider_name = serializers.CharField(source="provider.name")
    in_force = serializers.SerializerMethodField(help_text="The provider is on and still has this model.")

    class Meta:
        model = Preference
        fields = [
            "id", "organization_id", "project_id", "role", "purpose", "provider_id", "provider_name", "model",
            "in_force", "optimization", "reason", "made_by", "created_at",
        ]  # fmt: skip

    def get_in_force(self, row: Preference) -> bool:
        return row.in_force


class PreferenceViewSet(TenantViewSet):
    """`/routing/preferences`: which provider is asked first for the work of a role in a project."""

    resource = "providers"
    organization_path = "organization_id"
    serializer_class = PreferenceBody
    lookup_value_regex = r"\d{1,18}"
    permission_actions = {"destroy": "write"}  # whoever may choose a model may also take that back
    filters = {
        "project_id": numbers("project_id"),
        "provider_id": numbers("provider_id"),
        "role": words("role"),
        "purpose": words("purpose"),
        "optimization": words("optimization"),
    }
    orderings = {name: name for name in ("id", "created_at", "role", "model")}

    def get_queryset(self) -> QuerySet[Preference]:
        return Preference.objects.for_user(self.request.user).select_related("provider")

    def destroy(self, request: Request, pk: str) -> Response:
        """The policy decides again."""
        row: Any = self.get_object()
        preference_remove(preference_id=row.pk, actor=request.user.get_username())
        return Response(status=204)


router = SimpleRouter(trailing_slash=False)
router.register("routing/preferences", PreferenceViewSet, basename="preference")
urlpatterns = router.urls

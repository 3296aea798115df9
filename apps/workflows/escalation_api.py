"""`POST /beads/{id}/escalate`: a bead is put before the CEO."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.beads.models import Bead
from apps.decisions.api import DecisionBody
from apps.workflows.escalation import bead_escalate


class EscalationInput(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=20_000)
    returned_to = serializers.CharField(required=False, allow_blank=True, default="", max_length=120)


class EscalationViewSet(TenantViewSet):
    resource = "beads"
    schema_bodies = {"escalate": EscalationInput}
    schema_answers = {"escalate": DecisionBody}
    lookup_field = "key__iexact"
    lookup_url_kwarg = "key"

    def get_queryset(self) -> QuerySet[Bead]:
        return Bead.objects.for_user(self.request.user).select_related("project")

    def escalate(self, request: Request, key: str) -> Response:
        bead = self.get_object()
        given = EscalationInput(data=self.body)
        given.is_valid(raise_exception=True)
        decision = bead_escalate(bead=bead, actor=request.user.get_username(), **given.validated_data)
        return Response(DecisionBody(decision).data)


urlpatterns = [path("beads/<str:key>/escalate", EscalationViewSet.as_view({"post": "escalate"}))]

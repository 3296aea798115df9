"""The API of sessions' recordings."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.agents.models import Session
from apps.agents.recording import FORMAT, recording_of


class RecordingBody(serializers.Serializer[Any]):
    """`docs/agents.md` tells more of what it holds."""

    format = serializers.ChoiceField([FORMAT])
    loom = serializers.CharField(help_text="The version that recorded it.")
    recorded_at = serializers.DateTimeField()
    session = serializers.DictField(help_text="Its kind, actions, opening messages, agent, and how it ended.")
    project = serializers.DictField()
    bead = serializers.DictField(allow_null=True)
    base = serializers.DictField(help_text="The commit and the files it began with.")
    turns = serializers.ListField(child=serializers.DictField(), help_text="Replies, actions and results.")


class RecordingViewSet(TenantViewSet):
    """A session as a file that `manage.py sessions replay` plays without a model; secrets are masked."""

    resource = "conversations"
    schema_answers = {"retrieve": RecordingBody}

    def get_queryset(self) -> QuerySet[Session]:
        return Session.objects.for_user(self.request.user).select_related("project", "agent", "bead")

    def retrieve(self, request: Request, pk: int) -> Response:
        session: Session = self.get_object()
        name = f'attachment; filename="session-{session.pk}.json"'
        return Response(recording_of(session), headers={"Content-Disposition": name})


recording = RecordingViewSet.as_view({"get": "retrieve"})
urlpatterns = [path("sessions/<int:pk>/recording", recording, name="session-recording")]

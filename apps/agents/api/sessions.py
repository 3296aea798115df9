"""The API of sessions' recordings."""

from __future__ import annotations

from django.db.models import QuerySet
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.agents.models import Session
from apps.agents.recording import recording_of


class RecordingViewSet(TenantViewSet):
    """A session as a file that `manage.py sessions replay` plays without a model; secrets are masked."""

    resource = "conversations"

    def get_queryset(self) -> QuerySet[Session]:
        return Session.objects.for_user(self.request.user).select_related("project", "agent", "bead")

    def retrieve(self, request: Request, pk: int) -> Response:
        session: Session = self.get_object()
        name = f'attachment; filename="session-{session.pk}.json"'
        return Response(recording_of(session), headers={"Content-Disposition": name})


recording = RecordingViewSet.as_view({"get": "retrieve"})
urlpatterns = [path("sessions/<int:pk>/recording", recording, name="session-recording")]

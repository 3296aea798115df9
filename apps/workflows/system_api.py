"""`/system/status`: whether work that is ready is taken up, and if not, why."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.providers.models import Provider
from apps.workflows.system_flows import EVERY, TOO_LONG, last_heartbeat

SILENT = 4 * EVERY  # without a heartbeat beat is not running
ACTIVE, PARKED = "active", "parked"


class SystemStatus(serializers.Serializer[Any]):
    state = serializers.ChoiceField([ACTIVE, PARKED])
    reason = serializers.CharField(allow_blank=True)
    updated_at = serializers.DateTimeField()


def system_status(now: datetime) -> dict[str, Any]:
    """Parked: nothing starts by itself, and the reason says what is missing."""
    last = last_heartbeat()
    at = last.created_at if last is not None else now
    state = {"state": PARKED, "updated_at": at}
    if last is None or now - at > SILENT:
        since = f"since {at:%Y-%m-%d %H:%M} UTC" if last is not None else "yet"
        return {**state, "reason": f"There was no heartbeat {since}: is beat running?"}
    waits = last.data["oldest_waiting_seconds"] + (now - at) / timedelta(seconds=1)
    if last.data["queue_depth"] and waits > TOO_LONG:
        return {**state, "reason": f"Work waits for a worker since {waits:.0f} s: is one running?"}
    if not Provider.objects.filter(enabled=True).exists():
        return {**state, "reason": "No model is connected."}
    return {**state, "state": ACTIVE, "reason": ""}


class SystemStatusView(APIView):
    resource = "system"

    @extend_schema(responses=SystemStatus)
    def get(self, request: Request) -> Response:
        """The dispatcher: active, or parked and why. `updated_at` is its last heartbeat."""
        return Response(system_status(timezone.now()))


urlpatterns = [path("system/status", SystemStatusView.as_view(), name="system-status")]

"""The API of the activity feed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.accounts.permissions import READ
from apps.activity.activity import activity_body, aggregated, is_shown, of_resources, shown
from apps.activity.events_api import PROJECTS, TYPES, of_kinds, readable
from apps.activity.interests import EventInterest, kinds, numbers, words
from apps.activity.sight import Sight
from apps.activity.sse import frame
from apps.activity.streams_api import SHARED_PARAMETERS, StreamView
from apps.activity.wire import dumped
from apps.core import api_lists
from apps.core.api import query_number
from apps.core.api_pages import Envelope
from apps.events.bus import CHANNEL
from apps.events.feed import Feed
from apps.events.models import Event
from apps.events.position import Position

RESOURCES = "About these, such as `bead` or `decision`."


@dataclass(frozen=True)
class ActivityInterest(EventInterest):
    resources: tuple[str, ...] = ()

    def wants(self, row: Event) -> bool:
        if self.resources and row.kind.rpartition(".")[0] not in self.resources:
            return False
        return is_shown(row.kind) and super().wants(row)

    def filter(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        rows = super().filter(shown(rows))
        return of_resources(rows, self.resources) if self.resources else rows

    def seeing(self, sight: Sight) -> ActivityInterest:
        return replace(self, sight=sight)


def activity_frames(placed: Sequence[tuple[Event, Position]]) -> list[bytes]:
    return [frame("activity", dumped(activity_body(event)), position) for event, position in placed]


ACTIVITY = Feed(CHANNEL, Event.objects.all, activity_frames)


class ActivityBody(serializers.BaseSerializer[Event]):
    def to_representation(self, instance: Event) -> dict[str, Any]:
        return activity_body(instance)


class ActivitySchema(serializers.Serializer[Any]):
    id = serializers.CharField()
    event_type = serializers.CharField()
    event_id = serializers.CharField()
    timestamp = serializers.DateTimeField()
    source = serializers.CharField()  # type: ignore[assignment]
    actor_id = serializers.CharField(required=False)
    actor_type = serializers.ChoiceField(["user", "agent", "system"], required=False)
    project_id = serializers.IntegerField(required=False)
    agent_id = serializers.JSONField(required=False)
    bead_id = serializers.CharField(required=False)
    provider_id = serializers.JSONField(required=False)
    action = serializers.CharField()
    resource_type = serializers.CharField()
    resource_id = serializers.CharField()
    resource_title = serializers.CharField(required=False)
    metadata = serializers.DictField()
    aggregation_key = serializers.CharField()
    aggregation_count = serializers.IntegerField()
    is_aggregated = serializers.BooleanField()
    visibility = serializers.ChoiceField(["project", "organization", "system"])


class ActivityPages(Envelope):
    name = "activities"
    tells_place = True


@extend_schema_view(list=extend_schema(responses=ActivitySchema(many=True)))
class ActivityViewSet(TenantViewSet):
    """What happened in the projects, without the platform's own bookkeeping, newest first."""

    resource = "activity"
    organization_path = "organization_id"
    serializer_class = ActivityBody
    pagination_class = ActivityPages
    filters = {
        "project_id": api_lists.numbers("project_id", help=PROJECTS),
        "event_type": api_lists.words(of_kinds, help=TYPES),
        "actor_id": api_lists.words("actor", help="Done by these."),
        "resource_type": api_lists.words(of_resources, help=RESOURCES),
        "since": api_lists.moment("created_at__gte", help="Not older."),
        "until": api_lists.moment("created_at__lte", help="Not newer."),
        "aggregated": api_lists.flag(
            lambda rows, _: rows,
            help="Tell as one what one actor did of one kind in one project within five minutes.",
        ),
    }
    orderings = {"id": "id"}
    search_fields = ("kind", "actor", "subject")

    def get_queryset(self) -> QuerySet[Event]:
        return shown(readable(self.request.user, f"{self.resource}:{READ}")).order_by("-id")

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        if request.query_params.get("aggregated", "").lower() not in api_lists.TRUE:
            return super().list(request, *args, **kwargs)
        limit = query_number(request, "limit", default=ActivityPages.default_limit, least=1) or 1
        limit, offset = min(limit, ActivityPages.max_limit), query_number(request, "offset", default=0) or 0
        rows = self.filter_queryset(self.get_queryset())
        found = aggregated(rows, offset=min(offset, 10_000), limit=limit)
        return Response({"activities": found, "count": len(found), "limit": limit, "offset": offset})


@extend_schema_view(
    get=extend_schema(
        parameters=[
            OpenApiParameter("project_id", int, many=True, description=PROJECTS),
            OpenApiParameter("event_type", str, many=True, description=TYPES),
            OpenApiParameter("resource_type", str, many=True, description=RESOURCES),
            *SHARED_PARAMETERS,
        ]
    )
)
class ActivityStream(StreamView):
    """Activities as they happen."""

    resource = "activity"
    feed = ACTIVITY
    message = "Connected to activity feed stream"

    def interest(self, request: Request, sight: Sight) -> ActivityInterest:
        asked = request.query_params
        return ActivityInterest(
            sight,
            kinds(asked, "event_type", "type"),
            numbers(asked, "project_id", "project"),
            tuple(sorted(words(asked, "resource_type"))),
        )


urlpatterns = [
    path("activity-feed", ActivityViewSet.as_view({"get": "list"}), name="activity-feed"),
    path("activity-feed/stream", ActivityStream.as_view(), name="activity-stream"),
]

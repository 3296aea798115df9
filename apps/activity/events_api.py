"""The API of events: history, statistics, and the live stream."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.api import TenantViewSet
from apps.accounts.permissions import READ
from apps.activity.interests import EventInterest, kinds, kinds_checked, kinds_condition, numbers, public
from apps.activity.sight import Sight, sight_of
from apps.activity.sse import EVENTS
from apps.activity.streams_api import SHARED_PARAMETERS, StreamTokenView, StreamView
from apps.activity.wire import event_body
from apps.core import api_lists
from apps.core.api_pages import Envelope
from apps.core.health import OK, broker_state
from apps.events.models import Event

TYPES = "Of these types, such as `bead.created` or `bead.*`."
PROJECTS = "Of these projects."


class EventBody(serializers.BaseSerializer[Event]):
    def to_representation(self, instance: Event) -> dict[str, Any]:
        return event_body(instance)


class EventSchema(serializers.Serializer[Any]):
    id = serializers.CharField()
    type = serializers.CharField()
    timestamp = serializers.DateTimeField()
    source = serializers.CharField()  # type: ignore[assignment]
    data = serializers.DictField()  # type: ignore[assignment]
    project_id = serializers.IntegerField(required=False)


def of_kinds(rows: QuerySet[Any], given: list[str]) -> QuerySet[Any]:
    return rows.filter(kinds_condition(kinds_checked(given, "type")))


def readable(user: Any, permission: str) -> QuerySet[Event]:
    """The events that a person sees, in lists as in streams."""
    sight = sight_of(user, permission) or Sight()
    return Event.objects.for_user(user).filter(public(sight))


class EventPages(Envelope):
    name = "events"


@extend_schema_view(list=extend_schema(responses=EventSchema(many=True)))
class EventViewSet(TenantViewSet):
    """What happened, newest first."""

    resource = "events"
    organization_path = "organization_id"
    serializer_class = EventBody
    pagination_class = EventPages
    filters = {
        "project_id": api_lists.numbers("project_id", help=PROJECTS),
        "project": api_lists.numbers("project_id", help="The same."),
        "type": api_lists.words(of_kinds, help=TYPES),
        "since": api_lists.moment("created_at__gte", help="Not older."),
        "until": api_lists.moment("created_at__lte", help="Not newer."),
    }
    orderings = {"id": "id"}
    search_fields = ("kind", "actor", "subject")

    def get_queryset(self) -> QuerySet[Event]:
        return readable(self.request.user, f"{self.resource}:{READ}").order_by("-id")


class EventStats(APIView):
    """Whether events are told live, and to how many."""

    resource = "events"

    @extend_schema(
        responses=inline_serializer(
            "EventStats", {"status": serializers.CharField(), "subscribers": serializers.IntegerField()}
        )
    )
    def get(self, request: Request) -> Response:
        """`active`, or `degraded` while the broker is away and news come with a delay of seconds.

        Counted are the readers of this web process who see something that the person asking sees too.
        """
        status = "active" if broker_state() == OK else "degraded"
        person: Any = request.user
        mine = sight_of(person, f"{self.resource}:{READ}") or Sight()
        others: list[Any] = [reader.interest for reader in EVENTS.readers()]
        count = sum(mine.overlaps(interest.sight) for interest in others)
        return Response({"status": status, "subscribers": count})


@extend_schema_view(
    get=extend_schema(
        parameters=[
            OpenApiParameter("project_id", int, many=True, description=PROJECTS + " Also as `project`."),
            OpenApiParameter("type", str, many=True, description=TYPES),
            *SHARED_PARAMETERS,
        ]
    )
)
class EventStream(StreamView):
    """Events as they happen, as server-sent events."""

    resource = "events"
    feed = EVENTS
    message = "Connected to event stream"

    def interest(self, request: Request, sight: Sight) -> EventInterest:
        asked = request.query_params
        return EventInterest(sight, kinds(asked, "type"), numbers(asked, "project_id", "project"))


urlpatterns = [
    path("auth/stream-token", StreamTokenView.as_view(), name="stream-token"),
    path("events", EventViewSet.as_view({"get": "list"}), name="events"),
    path("events/stats", EventStats.as_view(), name="event-stats"),
    path("events/stream", EventStream.as_view(), name="event-stream"),
]

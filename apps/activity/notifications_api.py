"""The API of a person's notifications, preferences and deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_view, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.permissions import READ, WRITE
from apps.activity.models import Delivery, Notification, NotificationPreferences, Priority
from apps.activity.pages import OwnViewSet
from apps.activity.preferences import Digest
from apps.activity.services import (
    CHANNEL,
    delivery_retry,
    delivery_test,
    notification_mark,
    notifications_mark_read,
    preferences_of,
    preferences_update,
    webhook_secret_renew,
)
from apps.activity.sight import Sight
from apps.activity.sse import frame
from apps.activity.streams_api import SHARED_PARAMETERS, StreamView
from apps.activity.wire import delivery_body, dumped, notification_body, preferences_body
from apps.core import api_lists
from apps.core.api_conditions import ConditionalMixin
from apps.core.api_once import OnceMixin
from apps.core.api_pages import Envelope
from apps.core.errors import BadInput, NotFound
from apps.events.feed import Feed
from apps.events.position import Position

SAID = inline_serializer("Said", {"message": serializers.CharField()})


@dataclass(frozen=True)
class NotificationInterest:
    user_id: int
    sight: Sight

    def wants(self, row: Notification) -> bool:
        if row.user_id != self.user_id or row.status == Notification.Status.ARCHIVED:
            return False
        return self.sight.allows(row.organization_id, row.project_id)

    def filter(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        mine = rows.filter(self.sight.condition(), user_id=self.user_id)
        return mine.exclude(status=Notification.Status.ARCHIVED)

    def seeing(self, sight: Sight) -> NotificationInterest:
        return replace(self, sight=sight)


def notification_frames(placed: Sequence[tuple[Notification, Position]]) -> list[bytes]:
    return [frame("notification", dumped(notification_body(row)), position) for row, position in placed]


NOTIFICATIONS = Feed(CHANNEL, Notification.objects.all, notification_frames)


class NotificationBody(serializers.BaseSerializer[Notification]):
    def to_representation(self, instance: Notification) -> dict[str, Any]:
        return notification_body(instance)


class NotificationSchema(serializers.Serializer[Any]):
    id = serializers.CharField()
    user_id = serializers.CharField()
    activity_id = serializers.CharField()
    event_type = serializers.CharField()
    title = serializers.CharField()
    message = serializers.CharField(allow_blank=True)
    link = serializers.CharField(required=False)
    status = serializers.ChoiceField(Notification.Status.choices)
    priority = serializers.ChoiceField(Priority.choices)
    metadata = serializers.DictField()
    created_at = serializers.DateTimeField()
    read_at = serializers.DateTimeField(required=False)
    archived_at = serializers.DateTimeField(required=False)


class NotificationPages(Envelope):
    name = "notifications"
    tells_place = True
    default_limit = 50


@extend_schema_view(list=extend_schema(responses=NotificationSchema(many=True)))
class NotificationViewSet(OwnViewSet):
    """The caller's own notifications, newest first."""

    resource = "notifications"
    permission_actions = {"mark": READ, "mark_all_read": READ}  # whoever may see them
    serializer_class = NotificationBody
    pagination_class = NotificationPages
    filters = {
        "status": api_lists.words("status", choices=Notification.Status.values, help="Else: not archived."),
        "priority": api_lists.words("priority", choices=Priority.values),
        "project_id": api_lists.numbers("project_id"),
        "event_type": api_lists.words("event_type"),
        "since": api_lists.moment("created_at__gte", help="Not older."),
        "until": api_lists.moment("created_at__lte", help="Not newer."),
    }
    orderings = {"id": "id", "created_at": "created_at"}
    search_fields = ("title", "message")

    def get_queryset(self) -> QuerySet[Notification]:
        rows: QuerySet[Notification] = Notification.objects.for_user(self.request.user).order_by("-id")
        if self.request.query_params.get("status"):
            return rows
        return rows.exclude(status=Notification.Status.ARCHIVED)

    @extend_schema(request=None, responses=SAID)
    def mark(self, request: Request, pk: str, status: str) -> Response:
        person: Any = request.user
        if not notification_mark(user=person, notification_id=int(pk), status=status):
            raise NotFound(f"There is no notification {pk}.")
        return Response({"message": f"The notification is {status} now."})

    @extend_schema(request=None, responses=SAID)
    def mark_all_read(self, request: Request) -> Response:
        person: Any = request.user
        count = notifications_mark_read(user=person)
        return Response({"message": f"{count} notifications were marked as read."})


@extend_schema_view(get=extend_schema(parameters=SHARED_PARAMETERS))
class NotificationStream(StreamView):
    """The caller's notifications as they come."""

    resource = "notifications"
    feed = NOTIFICATIONS
    message = "Connected to notification stream"

    def interest(self, request: Request, sight: Sight) -> NotificationInterest:
        person: Any = request.user
        return NotificationInterest(person.pk, sight)


class PreferencesSchema(serializers.ModelSerializer[NotificationPreferences]):
    id = serializers.CharField(read_only=True)
    user_id = serializers.CharField(read_only=True)
    subscribed_events = serializers.ListField(child=serializers.CharField(), required=False)
    project_filters = serializers.ListField(child=serializers.IntegerField(), required=False)
    min_priority = serializers.ChoiceField(Priority.choices, required=False)
    digest_mode = serializers.ChoiceField(Digest.choices, required=False)
    quiet_hours_start = serializers.CharField(required=False, allow_null=True, help_text="HH:MM")
    quiet_hours_end = serializers.CharField(required=False, allow_null=True, help_text="HH:MM")
    has_webhook_secret = serializers.BooleanField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True, allow_null=True, help_text="null: never changed")

    class Meta:
        model = NotificationPreferences
        fields = [
            "id", "user_id", "enable_in_app", "enable_email", "enable_webhook", "subscribed_events",
            "digest_mode", "quiet_hours_start", "quiet_hours_end", "time_zone", "project_filters",
            "min_priority", "webhook_url", "has_webhook_secret", "updated_at",
        ]  # fmt: skip


class PreferencesView(ConditionalMixin, APIView):
    """What the caller wants to hear of, by which ways, and when."""

    resource = "account"
    reads = {"patch": "get"}

    def row_lock(self) -> None:
        person: Any = self.request.user
        NotificationPreferences.objects.select_for_update(no_key=True).filter(user=person).first()

    @extend_schema(responses=PreferencesSchema)
    def get(self, request: Request) -> Response:
        person: Any = request.user
        return Response(preferences_body(preferences_of(person)))

    @extend_schema(request=PreferencesSchema, responses=PreferencesSchema)
    def patch(self, request: Request) -> Response:
        """What is left out stays as it is."""
        person: Any = request.user
        fields: Any = request.data
        return Response(preferences_body(preferences_update(user=person, fields=fields)))


class SecretView(OnceMixin, APIView):
    """The secret with which the caller's webhooks are signed."""

    resource = "account"
    secret_actions = frozenset({None})  # type: ignore[arg-type]

    @extend_schema(
        request=None,
        responses={201: inline_serializer("WebhookSecret", {"webhook_secret": serializers.CharField()})},
    )
    def post(self, request: Request) -> Response:
        """A new one; it is shown only this once."""
        person: Any = request.user
        return Response({"webhook_secret": webhook_secret_renew(user=person)}, status=201)


class DeliveryBody(serializers.BaseSerializer[Delivery]):
    def to_representation(self, instance: Delivery) -> dict[str, Any]:
        return delivery_body(instance)


class DeliverySchema(serializers.ModelSerializer[Delivery]):
    class Meta:
        model = Delivery
        fields = [
            "id", "channel", "is_test", "status", "due_at", "attempts", "target", "response_status", "error",
            "created_at", "ended_at",
        ]  # fmt: skip


@extend_schema_view(list=extend_schema(responses=DeliverySchema(many=True)))
class DeliveryViewSet(OnceMixin, OwnViewSet):
    """What was sent to the caller by e-mail and webhook, and what came of it; newest first."""

    resource = "account"
    permission_actions = {"create": WRITE, "retry": WRITE}
    serializer_class = DeliveryBody
    filters = {
        "status": api_lists.words("status", choices=Delivery.Status.values),
        "channel": api_lists.words("channel", choices=Delivery.Channel.values),
    }
    orderings = {"id": "id", "created_at": "created_at", "attempts": "attempts"}
    search_fields = ("target", "error")

    def get_queryset(self) -> QuerySet[Delivery]:
        rows: QuerySet[Delivery] = Delivery.objects.for_user(self.request.user).order_by("-id")
        return rows

    @extend_schema(
        request=inline_serializer(
            "TestInput", {"channel": serializers.ChoiceField(Delivery.Channel.choices)}
        ),
        responses={202: DeliverySchema},
    )
    def create(self, request: Request) -> Response:
        """Send a test message; what came of it stands in the list a moment later."""
        body: Any = request.data
        channel = body.get("channel")
        if not isinstance(channel, str):
            raise BadInput("channel is required.", details={"field": "channel"})
        person: Any = request.user
        return Response(delivery_body(delivery_test(user=person, channel=channel)), status=202)

    @extend_schema(responses=DeliverySchema)
    def retrieve(self, request: Request, pk: int) -> Response:
        """One message, and what came of sending it so far."""
        return Response(delivery_body(self._own(pk)))

    @extend_schema(request=None, responses={202: DeliverySchema})
    def retry(self, request: Request, pk: int) -> Response:
        """Send one again that has failed for good; any other is a conflict."""
        again = delivery_retry(delivery=self._own(pk), actor=str(request.user))
        return Response(delivery_body(again), status=202)

    def _own(self, pk: int) -> Delivery:
        found: Delivery | None = self.get_queryset().filter(pk=pk).first()
        if found is None:
            raise NotFound(f"There is no delivery {pk}.")
        return found


MARKS = {"read": "read", "unread": "unread", "archive": "archived"}

urlpatterns = [
    path("notifications", NotificationViewSet.as_view({"get": "list"}), name="notifications"),
    path("notifications/stream", NotificationStream.as_view(), name="notification-stream"),
    path(
        "notifications/mark-all-read",
        NotificationViewSet.as_view({"post": "mark_all_read"}),
        name="notifications-mark-all-read",
    ),
    path("notifications/preferences", PreferencesView.as_view(), name="notification-preferences"),
    path("notifications/webhook-secret", SecretView.as_view(), name="notification-webhook-secret"),
    path(
        "notifications/deliveries", DeliveryViewSet.as_view({"get": "list"}), name="notification-deliveries"
    ),
    path(
        "notifications/deliveries/<int:pk>",
        DeliveryViewSet.as_view({"get": "retrieve"}),
        name="notification-delivery",
    ),
    path(
        "notifications/deliveries/<int:pk>/retry",
        DeliveryViewSet.as_view({"post": "retry"}),
        name="notification-delivery-retry",
    ),
    path("notifications/test", DeliveryViewSet.as_view({"post": "create"}), name="notification-test"),
    *(
        path(
            f"notifications/<int:pk>/{word}",
            NotificationViewSet.as_view({"post": "mark"}),
            {"status": status},
            name=f"notification-{word}",
        )
        for word, status in MARKS.items()
    ),
]

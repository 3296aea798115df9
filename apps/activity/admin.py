"""Admin pages of what people were told, how it was sent, and of the log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from apps.activity.models import Delivery, LogEntry, Notification, NotificationPreferences
from apps.activity.services import delivery_retry
from apps.core.admin import HistoryAdmin, actor_of, shown_json, shown_text


@admin.register(Notification)
class NotificationAdmin(HistoryAdmin):
    """Each person's own; superusers see all."""

    list_display = ["id", "title", "user_link", "rule", "priority", "status", "project_link", "created_at"]
    list_display_links = ["id", "title"]
    list_filter = ["status", "priority", "rule", "event_type"]
    search_fields = ["title", "message", "user__username"]
    date_hierarchy = "created_at"
    list_select_related = ["user"]
    fields = [
        "title", "message_shown", "user", "rule", "priority", "status", "event_type", "event_link",
        "organization_link", "project_link", "link", "metadata_shown", "created_at", "read_at", "archived_at",
    ]  # fmt: skip

    def view_on_site(self, obj: Notification) -> str:
        return reverse("notifications")

    @admin.display(description="message")
    def message_shown(self, row: Notification) -> str:
        return shown_text(row.message)

    @admin.display(description="metadata")
    def metadata_shown(self, row: Notification) -> str:
        return shown_json(row.metadata)


@admin.register(NotificationPreferences)
class NotificationPreferencesAdmin(HistoryAdmin):
    """Each person's own to change; an address may hold a secret, so only its host is shown."""

    list_display = ["user", "enable_in_app", "enable_email", "enable_webhook", "min_priority", "digest_mode"]
    list_filter = ["enable_in_app", "enable_email", "enable_webhook", "min_priority", "digest_mode"]
    search_fields = ["user__username"]
    date_hierarchy = "updated_at"
    list_select_related = ["user"]
    fields = [
        "user", "enable_in_app", "enable_email", "enable_webhook", "webhook_host", "has_secret",
        "min_priority", "subscribed_events", "project_filters", "digest_mode", "quiet_hours_start",
        "quiet_hours_end", "time_zone", "updated_at",
    ]  # fmt: skip

    @admin.display(description="webhook goes to")
    def webhook_host(self, row: NotificationPreferences) -> str:
        return urlsplit(row.webhook_url).hostname or "-"

    @admin.display(boolean=True, description="signs with a secret")
    def has_secret(self, row: NotificationPreferences) -> bool:
        return bool(row.webhook_secret_sealed)


@admin.register(Delivery)
class DeliveryAdmin(HistoryAdmin):
    list_display = [
        "id", "user_link", "channel", "status", "told", "target", "response_status", "attempts", "due_at",
        "ended_at",
    ]  # fmt: skip
    list_filter = ["status", "channel", "is_test"]
    search_fields = ["user__username", "target", "error"]
    date_hierarchy = "created_at"
    list_select_related = ["user"]
    actions: list[Any] = ["send_again"]
    fields = [
        "user", "channel", "is_test", "about", "status", "target", "response_status", "error", "attempts",
        "slot", "due_at", "created_at", "ended_at", "notifications_shown",
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        counted: QuerySet[Any] = rows.annotate(told_count=Count("notifications"))
        return counted

    @admin.display(description="notifications", ordering="told_count")
    def told(self, delivery: Any) -> int:
        return int(delivery.told_count)

    @admin.display(description="notifications")
    def notifications_shown(self, delivery: Delivery) -> str:
        return "\n".join(str(row) for row in delivery.notifications.all()[:50]) or "-"

    def offered_actions(self, obj: Delivery) -> Iterable[str]:
        return ["send_again"] if obj.status == Delivery.Status.FAILED else []

    @admin.action(description="Send selected again", permissions=["operate"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        def send(delivery: Delivery) -> None:
            delivery_retry(delivery=delivery, actor=actor_of(request))

        self.apply_each(request, queryset, send, "will be sent again")


@admin.register(LogEntry)
class LogEntryAdmin(HistoryAdmin):
    list_display = ["timestamp", "level", "source", "message", "project_link", "agent_link", "bead_link"]
    list_filter = ["level"]
    search_fields = ["source", "message"]
    date_hierarchy = "timestamp"
    fields = [
        "timestamp", "level", "source", "message_shown", "metadata_shown", "organization_link",
        "project_link", "agent_link", "bead_link",
    ]  # fmt: skip

    def view_on_site(self, obj: LogEntry) -> str:
        return reverse("logs")

    @admin.display(description="message")
    def message_shown(self, row: LogEntry) -> str:
        return shown_text(row.message)

    @admin.display(description="metadata")
    def metadata_shown(self, row: LogEntry) -> str:
        return shown_json(row.metadata)

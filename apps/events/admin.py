"""Admin pages of events: the audit log."""

from __future__ import annotations

from django.contrib import admin

from apps.core.admin import HistoryAdmin, shown_json
from apps.events.models import Event


@admin.register(Event)
class EventAdmin(HistoryAdmin):
    list_display = [
        "id",
        "created_at",
        "kind",
        "subject",
        "actor",
        "project_link",
        "bead_link",
        "is_delivered",
    ]
    list_display_links = ["id", "kind"]
    list_filter = ["kind", ("delivered_at", admin.EmptyFieldListFilter)]
    search_fields = ["kind", "subject", "actor", "address", "request_id", "credential"]
    date_hierarchy = "created_at"
    ordering = ["-id"]
    fields = [
        "kind",
        "created_at",
        "actor",
        "subject",
        "organization_link",
        "project_link",
        "bead_link",
        "data_shown",
        "user_link",
        "credential",
        "address",
        "user_agent",
        "request_id",
        "delivered_at",
        "attempts",
    ]

    @admin.display(description="data")
    def data_shown(self, event: Event) -> str:
        return shown_json(event.data)

    @admin.display(boolean=True, description="delivered", ordering="delivered_at")
    def is_delivered(self, event: Event) -> bool:
        return event.delivered_at is not None

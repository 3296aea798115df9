"""Admin pages of events: the audit log."""

from __future__ import annotations

from django.contrib import admin

from apps.core.admin import HistoryAdmin, shown_json
from apps.events.models import Event


@admin.register(Event)
class EventAdmin(HistoryAdmin):
    list_display = ["id", "created_at", "kind", "subject", "actor", "project_id", "bead_id", "is_delivered"]
    list_display_links = ["id", "kind"]
    list_filter = ["kind", ("delivered_at", admin.EmptyFieldListFilter)]
    search_fields = ["kind", "subject", "actor"]
    date_hierarchy = "created_at"
    ordering = ["-id"]
    fields = [
        "kind",
        "created_at",
        "actor",
        "subject",
        "organization_id",
        "project_id",
        "bead_id",
        "data_shown",
        "delivered_at",
        "attempts",
    ]

    @admin.display(description="data")
    def data_shown(self, event: Event) -> str:
        return shown_json(event.data)

    @admin.display(boolean=True, description="delivered", ordering="delivered_at")
    def is_delivered(self, event: Event) -> bool:
        return event.delivered_at is not None

"""Admin pages of motivations and of what they did."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from apps.core.admin import HistoryAdmin, HistoryInline, actor_of, link_to, shown_json
from apps.motivations.clocks import next_ring
from apps.motivations.firing import motivation_trigger
from apps.motivations.models import Motivation, MotivationTrigger
from apps.motivations.services import motivation_switch


class TriggerInline(HistoryInline):
    model = MotivationTrigger
    fields = ["created_at", "triggered_at", "cause", "result", "bead", "agent_woken", "error"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("bead", "motivation")


@admin.register(Motivation)
class MotivationAdmin(HistoryAdmin):
    """Looked at and operated here; made and changed by API. Clocks can be moved on beat's own pages."""

    list_display = [
        "name", "agent_role", "type", "condition", "status", "project_link", "last_triggered_at",
        "trigger_count",
    ]  # fmt: skip
    list_filter = ["status", "type", "condition", "agent_role", "is_built_in"]
    search_fields = ["name", "description", "agent_role", "project__name"]
    list_select_related = ["project", "organization", "clock__interval", "clock__crontab", "clock__clocked"]
    actions = ["enable", "disable", "trigger"]
    inlines = [TriggerInline]
    fields = [
        "name", "description", "organization", "project", "type", "condition", "parameters_shown", "status",
        "agent_role", "agent", "priority", "cooldown_minutes", "create_bead", "bead_template_shown",
        "wake_agent", "is_built_in", "last_triggered_at", "rests_until", "next_ring_shown", "clock_link",
        "trigger_count",
    ]  # fmt: skip

    def view_on_site(self, obj: Motivation) -> str:
        return reverse("motivations")

    @admin.display(description="parameters")
    def parameters_shown(self, motivation: Motivation) -> str:
        return shown_json(motivation.parameters)

    @admin.display(description="template of the bead")
    def bead_template_shown(self, motivation: Motivation) -> str:
        return shown_json(motivation.bead_template)

    @admin.display(description="clock rings next")
    def next_ring_shown(self, motivation: Motivation) -> str:
        ring = next_ring(motivation)
        return f"{ring:%Y-%m-%d %H:%M} UTC" if ring else "-"

    @admin.display(description="clock")
    def clock_link(self, motivation: Motivation) -> str:
        return link_to(motivation.clock)

    def offered_actions(self, obj: Motivation) -> Iterable[str]:
        return ("disable", "trigger") if obj.status == Motivation.Status.ACTIVE else ("enable",)

    @admin.action(description="Enable selected motivations", permissions=["operate"])
    def enable(self, request: HttpRequest, rows: QuerySet[Motivation]) -> None:
        self._switch(request, rows, active=True)

    @admin.action(description="Disable selected motivations", permissions=["operate"])
    def disable(self, request: HttpRequest, rows: QuerySet[Motivation]) -> None:
        self._switch(request, rows, active=False)

    def _switch(self, request: HttpRequest, rows: QuerySet[Motivation], *, active: bool) -> None:
        actor = actor_of(request)
        self.apply_each(
            request,
            rows,
            lambda row: motivation_switch(motivation=row, active=active, actor=actor),
            "enabled" if active else "disabled",
        )

    @admin.action(description="Trigger selected motivations", permissions=["operate"])
    def trigger(self, request: HttpRequest, rows: QuerySet[Motivation]) -> None:
        actor = actor_of(request)
        self.apply_each(
            request, rows, lambda row: motivation_trigger(motivation=row, actor=actor), "triggered"
        )


@admin.register(MotivationTrigger)
class MotivationTriggerAdmin(HistoryAdmin):
    organization_path = "motivation__organization_id"
    list_display = [
        "id",
        "motivation",
        "cause",
        "result",
        "bead_link",
        "agent_woken",
        "created_at",
        "triggered_at",
    ]
    list_display_links = ["id", "motivation"]
    list_filter = ["result", "cause"]
    search_fields = ["motivation__name", "bead__key", "bead__title"]
    list_select_related = ["motivation", "bead"]
    date_hierarchy = "created_at"
    fields = [
        "motivation", "cause", "key", "data_shown", "result", "error", "bead_link", "agent_woken", "actor",
        "created_at", "triggered_at",
    ]  # fmt: skip

    @admin.display(description="data")
    def data_shown(self, trigger: MotivationTrigger) -> str:
        return shown_json(trigger.data)

"""Admin pages of the ledger and of what was learned from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpRequest

from apps.core.admin import HistoryAdmin, actor_of, shown_money
from apps.providers.models import Call, CallTotal, Preference
from apps.providers.preferences import preference_remove


@admin.register(Call)
class CallAdmin(HistoryAdmin):
    list_display = [
        "id",
        "created_at",
        "provider_name",
        "model",
        "purpose",
        "status",
        "prompt_tokens",
        "completion_tokens",
        "cost",
        "latency_ms",
        "project_link",
        "bead_link",
        "error",
    ]
    list_display_links = ["id", "created_at"]
    list_filter = ["status", "purpose", "provider_name", "model", "nominal", "estimated", "error"]
    search_fields = ["key", "model", "provider_name", "error_text", "=project_id", "=bead_id", "=session_id"]
    date_hierarchy = "created_at"
    fields = [
        "key",
        "status",
        "provider_name",
        "model",
        "purpose",
        "cost",
        "reserved",
        "nominal",
        "prompt_tokens",
        "completion_tokens",
        "cached_tokens",
        "estimated",
        "finish_reason",
        "latency_ms",
        "error",
        "error_text",
        "organization_link",
        "project_link",
        "bead_link",
        "session_link",
        "run_link",
        "user_link",
        "created_at",
        "ended_at",
    ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        response = super().changelist_view(request, extra_context)
        page = getattr(response, "context_data", None) or {}
        if "cl" in page:
            page["totals"] = _totals(page["cl"].queryset)
        return response

    @admin.display(ordering="cost_microusd")
    def cost(self, call: Call) -> str:
        return shown_money(call.cost_microusd)

    @admin.display(description="set aside before the call")
    def reserved(self, call: Call) -> str:
        return shown_money(call.reserved_microusd)


@admin.register(CallTotal)
class CallTotalAdmin(HistoryAdmin):
    """What `/metrics` tells of the ledger, but for its newest calls."""

    list_display = [
        "provider_name", "model", "status", "organization_link", "calls", "prompt_tokens",
        "completion_tokens", "cost", "up_to",
    ]  # fmt: skip
    list_filter = ["status", "provider_name", "model"]
    search_fields = ["provider_name", "model"]

    @admin.display(ordering="cost_microusd")
    def cost(self, total: CallTotal) -> str:
        return shown_money(total.cost_microusd)


@admin.register(Preference)
class PreferenceAdmin(HistoryAdmin):
    """Which models work prefers; made and undone where recommendations are shown."""

    list_display = [
        "purpose", "role", "project_link", "model", "provider_link", "made_by", "created_at", "optimization",
    ]  # fmt: skip
    list_display_links = ["purpose", "role"]
    list_filter = ["purpose", "role", "model"]
    search_fields = ["role", "purpose", "model", "provider__name", "reason", "=project_id"]
    list_select_related = ["provider"]
    date_hierarchy = "created_at"
    fields = [
        "purpose", "role", "project_link", "organization_link", "model", "provider_link", "reason",
        "optimization", "made_by", "created_at",
    ]  # fmt: skip
    actions = ["undo"]

    def offered_actions(self, obj: Preference) -> Iterable[str]:
        return ["undo"]

    @admin.action(description="Undo selected preferences", permissions=["operate"])
    def undo(self, request: HttpRequest, queryset: QuerySet[Preference]) -> None:
        self.apply_each(
            request,
            queryset,
            lambda row: preference_remove(preference_id=row.pk, actor=actor_of(request)),
            "preferences undone",
        )


def _totals(calls: QuerySet[Call]) -> dict[str, Any]:
    """Sums over the rows that the filters leave."""
    sums = calls.order_by().aggregate(
        calls=Count("pk"),
        prompt=Sum("prompt_tokens"),
        completion=Sum("completion_tokens"),
        real=Sum("cost_microusd", filter=Q(nominal=False)),
        nominal=Sum("cost_microusd", filter=Q(nominal=True)),
    )
    return {
        "calls": sums["calls"],
        "prompt": sums["prompt"] or 0,
        "completion": sums["completion"] or 0,
        "cost": shown_money(sums["real"] or 0),
        "nominal": shown_money(sums["nominal"]) if sums["nominal"] else "",
    }

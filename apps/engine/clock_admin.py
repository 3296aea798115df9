"""Admin pages of beat's clocks: they ring for all tenants, and Loom's own must not go missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django_celery_beat.admin import PeriodicTaskAdmin
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from apps.core.admin import ModelAdmin
from apps.core.asking_admin import asks

if TYPE_CHECKING:
    ClockPage = ModelAdmin
else:
    ClockPage = PeriodicTaskAdmin


class SuperusersOnly:
    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser) and (obj is None or self.is_free(obj))

    def is_free(self, obj: Any) -> bool:
        raise NotImplementedError

    def get_actions(self, request: HttpRequest) -> Any:
        """Without deleting many: it would not look at each."""
        found = super().get_actions(request)  # type: ignore[misc]
        return {name: act for name, act in found.items() if name not in {"delete_selected", "toggle_tasks"}}


class ClockAdmin(SuperusersOnly, ClockPage):
    list_display = ["name", "task", "enabled", "scheduler", "last_run_at", "total_run_count"]
    list_filter = ["enabled", "one_off", "task"]
    date_hierarchy = "last_run_at"
    list_per_page = 50

    def is_free(self, obj: PeriodicTask) -> bool:
        """Loom's own come back when beat starts; a motivation's goes with it."""
        return obj.name not in settings.CELERY_BEAT_SCHEDULE and not hasattr(obj, "motivation")

    @asks(
        "Disable selected tasks",
        permission="change",
        what="They ring no more until they are enabled. Without Loom's own sweeps timers do not wake, runs of"
        " dead workers are not taken over, events that were not delivered stay so, and nothing is dispatched"
        " again.",
    )
    def disable_tasks(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        super().disable_tasks(request, queryset)  # type: ignore[misc]


class ScheduleAdmin(SuperusersOnly, ModelAdmin):
    """Times that clocks share; one that is in use cannot be deleted, since its clocks would go with it."""

    list_display = ["__str__", "clocks"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        counted: QuerySet[Any] = rows.annotate(clock_count=Count("periodictask"))
        return counted

    @admin.display(description="clocks", ordering="clock_count")
    def clocks(self, row: Any) -> int:
        return int(row.clock_count)

    def is_free(self, obj: Any) -> bool:
        return not obj.periodictask_set.exists()


admin.site.unregister(PeriodicTask)
admin.site.register(PeriodicTask, ClockAdmin)
for schedule in (ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule):
    admin.site.unregister(schedule)
    admin.site.register(schedule, ScheduleAdmin)

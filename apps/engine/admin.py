"""Admin pages of runs: what each did, step by step, with cancel and retry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from apps.core.admin import (
    HistoryAdmin,
    HistoryInline,
    actor_of,
    link_to,
    shown_duration,
    shown_json,
    shown_text,
)
from apps.engine.models import Run, Signal, Step
from apps.engine.services import run_cancel, run_retry

SHAPES = {"ready": "○", "running": "◔", "waiting": "◌", "done": "✔", "failed": "✕"}


class StepInline(HistoryInline):
    model = Step
    verbose_name_plural = "timeline: the newest steps"
    fields = ["state", "name", "attempt", "started_at", "took", "wake_at", "result"]

    @admin.display(description="state")
    def state(self, step: Step) -> str:
        return f"{SHAPES.get(step.status, '')} {step.status}"

    @admin.display(description="took")
    def took(self, step: Step) -> str:
        return shown_duration(step.started_at, step.ended_at)

    @admin.display(description="result")
    def result(self, step: Step) -> str:
        return shown_text(step.error) if step.error else shown_json(step.output)


class SignalInline(HistoryInline):
    model = Signal
    fields = ["name", "created_at", "consumed_at", "data_shown"]

    @admin.display(description="data")
    def data_shown(self, signal: Signal) -> str:
        return shown_json(signal.data)


@admin.register(Run)
class RunAdmin(HistoryAdmin):
    organization_path = "organization_id"
    list_display = [
        "id",
        "key",
        "flow",
        "status",
        "waits_for",
        "attempts",
        "wake_at",
        "created_at",
        "ended_at",
    ]
    list_display_links = ["id", "key"]
    list_filter = ["status", "flow"]
    search_fields = ["key", "error"]
    date_hierarchy = "created_at"
    list_select_related = ["parent"]
    inlines = [StepInline, SignalInline]
    actions = ["cancel_runs", "retry_runs"]
    fields = [
        "key",
        "flow",
        "version",
        "status",
        "error_shown",
        "input_shown",
        "output_shown",
        "parent_link",
        "children_link",
        "organization_id",
        "project_id",
        "bead_id",
        "attempts",
        "lease_owner",
        "lease_until",
        "fence",
        "wake_at",
        "waits_for",
        "cancel_requested",
        "created_at",
        "ended_at",
    ]

    def offered_actions(self, obj: Run) -> Iterable[str]:
        if obj.status == Run.Status.FAILED:
            return ["retry_runs"]
        return ["cancel_runs"] if obj.status in Run.UNFINISHED and not obj.cancel_requested else []

    @admin.action(description="Cancel selected runs", permissions=["operate"])
    def cancel_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        actor = actor_of(request)
        self.apply_each(
            request,
            queryset,
            lambda run: run_cancel(run_id=run.pk, actor=actor),
            "asked to stop at the next step",
        )

    @admin.action(description="Retry selected runs", permissions=["operate"])
    def retry_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        actor = actor_of(request)
        self.apply_each(
            request,
            queryset,
            lambda run: run_retry(run_id=run.pk, actor=actor),
            "will go on from the failed step",
        )

    @admin.display(description="parent")
    def parent_link(self, run: Run) -> str:
        return link_to(run.parent)

    @admin.display(description="children")
    def children_link(self, run: Run) -> str:
        address = reverse("admin:engine_run_changelist") + f"?parent__id__exact={run.pk}"
        return format_html('<a href="{}">{}</a>', address, run.children.count())

    @admin.display(description="input")
    def input_shown(self, run: Run) -> str:
        return shown_json(run.input)

    @admin.display(description="output")
    def output_shown(self, run: Run) -> str:
        return shown_json(run.output)

    @admin.display(description="error")
    def error_shown(self, run: Run) -> str:
        return shown_text(run.error)


class OfRunAdmin(HistoryAdmin):
    organization_path = "run__organization_id"
    list_select_related = ["run"]

    @admin.display(description="run", ordering="run_id")
    def run_link(self, row: Any) -> str:
        return link_to(row.run)


@admin.register(Step)
class StepAdmin(OfRunAdmin):
    list_display = ["id", "run_link", "seq", "name", "status", "attempt", "started_at", "took"]
    list_filter = ["status"]
    search_fields = ["name", "run__key", "error"]
    date_hierarchy = "started_at"
    ordering = ["-id"]
    fields = [
        "run_link",
        "seq",
        "name",
        "status",
        "attempt",
        "output_shown",
        "error_shown",
        "wake_at",
        "started_at",
        "ended_at",
    ]

    @admin.display(description="took")
    def took(self, step: Step) -> str:
        return shown_duration(step.started_at, step.ended_at)

    @admin.display(description="output")
    def output_shown(self, step: Step) -> str:
        return shown_json(step.output)

    @admin.display(description="error")
    def error_shown(self, step: Step) -> str:
        return shown_text(step.error)


@admin.register(Signal)
class SignalAdmin(OfRunAdmin):
    list_display = ["id", "run_link", "name", "created_at", "consumed_at"]
    list_filter = [("consumed_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "run__key"]
    date_hierarchy = "created_at"
    ordering = ["-id"]
    fields = ["run_link", "name", "data_shown", "created_at", "consumed_at"]

    @admin.display(description="data")
    def data_shown(self, signal: Signal) -> str:
        return shown_json(signal.data)

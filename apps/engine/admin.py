"""Admin pages of runs: what each did, step by step, with all that a person can do about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from apps.core.admin import (
    HistoryAdmin,
    actor_of,
    admin_url,
    link_to,
    shown_duration,
    shown_json,
    shown_text,
)
from apps.core.asking_admin import asks
from apps.core.errors import LoomError
from apps.engine.clock_admin import ClockAdmin
from apps.engine.forms import SignalForm
from apps.engine.machinery_admin import machinery_view
from apps.engine.models import Run, Signal, Step
from apps.engine.services import run_cancel, run_pause, run_resume, run_retry, run_signal
from apps.engine.timeline import run_timeline
from apps.engine.words import row_shown

__all__ = ["ClockAdmin"]  # registered by being imported
BEFORE = re.compile(r"\d{1,9}")  # the number of a step


@admin.register(Run)
class RunAdmin(HistoryAdmin):
    change_form_template = "admin/engine/run/record.html"
    organization_path = "organization_id"
    list_display = [
        "id",
        "key",
        "flow",
        "status",
        "project_link",
        "bead_link",
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
    actions = ["pause_runs", "resume_runs", "cancel_runs", "retry_runs"]
    fields = [
        "key",
        "flow",
        "version",
        "generation",
        "status",
        "error_shown",
        "input_shown",
        "output_shown",
        "parent_link",
        "children_link",
        "organization_link",
        "project_link",
        "bead_link",
        "attempts",
        "lease_owner",
        "lease_until",
        "fence",
        "wake_at",
        "waits_for",
        "pause_requested",
        "cancel_requested",
        "created_at",
        "ended_at",
    ]

    def view_on_site(self, obj: Run) -> str:
        return reverse("run", args=[obj.pk])

    def offered_actions(self, obj: Run) -> Iterable[str]:
        if obj.status == Run.Status.FAILED:
            return ["retry_runs"]
        if obj.status not in Run.UNFINISHED or obj.cancel_requested:
            return []
        is_paused = obj.pause_requested or obj.status == Run.Status.PAUSED
        return ["resume_runs" if is_paused else "pause_runs", "cancel_runs"]

    def offered_links(self, obj: Run) -> Iterable[tuple[str, str]]:
        if obj.status in Run.UNFINISHED:
            yield reverse("admin:engine_run_signal", args=[obj.pk]), "Signal"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.signal_view)
        machines = self.admin_site.admin_view(machinery_view)
        return [
            path("<int:run_id>/signal/", view, name="engine_run_signal"),
            path("machinery/", machines, name="engine_machinery"),
            *super().get_urls(),
        ]

    def signal_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        run = self.get_queryset(request).filter(pk=run_id).first()
        if run is None or not self.has_operate_permission(request):
            raise Http404
        form = SignalForm(request.POST or None, initial={"name": run.waits_for})
        if request.method == "POST" and form.is_valid():
            try:
                said = form.cleaned_data
                run_signal(run_id=run.pk, name=said["name"], data=said["content"], actor=actor_of(request))
            except LoomError as error:
                self.message_user(request, error.told, messages.ERROR)
            else:
                self.message_user(request, "The run has been told.", messages.SUCCESS)
            return HttpResponseRedirect(admin_url(run))
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": "Signal a run",
            "opts": self.opts,
            "original": run,
            "form": form,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/engine/run/signal.html", context)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        before = request.GET.get("before", "")
        if (run := context.get("original")) is not None:
            told = run_timeline(run, before=int(before) if BEFORE.fullmatch(before) else None)
            context |= {"rows": [row_shown(entry) for entry in told["entries"]], "older": told["older"]}
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.action(description="Pause selected runs", permissions=["operate"])
    def pause_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, queryset, run_pause, "set aside, or will be after the step in hand")

    @admin.action(description="Resume selected runs", permissions=["operate"])
    def resume_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, queryset, run_resume, "will go on")

    @asks(
        "Cancel selected runs",
        what="Each ends at its next step, with the runs it began, and cannot be resumed. What it has"
        " done stays; a bead it worked on goes back to those that wait.",
    )
    def cancel_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, queryset, run_cancel, "asked to stop at the next step")

    @admin.action(description="Retry selected runs", permissions=["operate"])
    def retry_runs(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, queryset, run_retry, "will go on from the failed step")

    def _each(self, request: HttpRequest, runs: QuerySet[Run], change: Callable[..., Run], done: str) -> None:
        actor = actor_of(request)
        self.apply_each(request, runs, lambda run: change(run_id=run.pk, actor=actor), done)

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

    def view_on_site(self, obj: Any) -> str:
        return reverse("run", args=[obj.run_id])


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

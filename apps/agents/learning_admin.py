"""Admin pages of what agents have learned, and of the errors that stopped them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from apps.agents.lesson_models import Lesson, LessonSource
from apps.agents.lesson_search import strength
from apps.agents.lessons import lesson_create, lesson_update
from apps.agents.models import Trouble, TroubleStop
from apps.core.admin import BY_PROJECT, HistoryAdmin, HistoryInline, TenantAdmin, actor_of, linked


class LessonSourceInline(HistoryInline):
    model = LessonSource
    fields = ["origin", "bead", "session", "created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("bead", "session")


@admin.register(Lesson)
class LessonAdmin(TenantAdmin):
    """People read, write, correct, pin and put aside what agents have learned."""

    list_display = [
        "id", "project_link", "text", "kind", "is_active", "is_pinned", "learned", "used", "strength_now",
        "refreshed_at",
    ]  # fmt: skip
    list_filter = ["kind", "is_active", "is_pinned", BY_PROJECT]
    search_fields = ["text", "about"]
    date_hierarchy = "created_at"
    list_select_related = ["project"]
    inlines = [LessonSourceInline]
    fields = [
        "project", "text", "is_active", "is_pinned", "kind", "about", "learned", "used", "strength_now",
        "refreshed_at", "created_at",
    ]  # fmt: skip
    ordering = ["-id"]

    def view_on_site(self, obj: Lesson) -> str:
        return reverse("lessons", args=[obj.project_id])

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fixed = ["kind", "about", "learned", "used", "strength_now", "refreshed_at", "created_at"]
        return fixed if obj is None else ["project", *fixed]

    @admin.display(description="strength")
    def strength_now(self, lesson: Lesson) -> str:
        return f"{strength(lesson, timezone.now()):.2f}" if lesson.pk else "-"

    def save_model(self, request: HttpRequest, obj: Lesson, form: Any, change: bool) -> None:
        actor = actor_of(request)
        if not change:
            pinned = bool(form.cleaned_data.get("is_pinned"))
            made = lesson_create(project=obj.project, text=obj.text, actor=actor, is_pinned=pinned)
            obj.pk = made.pk
            return
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        if changes:
            lesson_update(
                lesson=Lesson.objects.select_related("project").get(pk=obj.pk), actor=actor, **changes
            )


@admin.register(LessonSource)
class LessonSourceAdmin(HistoryAdmin):
    organization_path = "lesson__project__organization_id"
    list_display = ["id", "lesson_link", "origin", "bead_link", "session_link", "created_at"]
    list_filter = [("lesson__project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["origin", "lesson__text", "bead__key"]
    date_hierarchy = "created_at"
    list_select_related = ["lesson", "bead", "session"]
    ordering = ["-id"]
    fields = ["lesson", "origin", "bead", "session", "created_at"]
    lesson_link = linked("lesson_id", "agents_lesson")


class TroubleStopInline(HistoryInline):
    model = TroubleStop
    fields = ["bead", "run_id", "is_first", "is_dead", "told_at", "created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("bead")


@admin.register(Trouble)
class TroubleAdmin(HistoryAdmin):
    """Errors that stopped work; the decision settles each for all it stopped."""

    list_display = [
        "id",
        "project_link",
        "text",
        "status",
        "count",
        "decision_link",
        "created_at",
        "solved_at",
    ]
    list_filter = ["status", BY_PROJECT]
    search_fields = ["text", "fingerprint"]
    date_hierarchy = "created_at"
    list_select_related = ["project"]
    inlines = [TroubleStopInline]
    ordering = ["-id"]
    fields = [
        "project", "text", "status", "count", "decision_link", "fingerprint", "created_at", "solved_at",
    ]  # fmt: skip

    def view_on_site(self, obj: Trouble) -> str:
        return reverse("decision", args=[obj.decision_id])


@admin.register(TroubleStop)
class TroubleStopAdmin(HistoryAdmin):
    organization_path = "trouble__project__organization_id"
    list_display = [
        "id",
        "trouble_link",
        "bead_link",
        "run_link",
        "is_first",
        "is_dead",
        "told_at",
        "created_at",
    ]
    list_filter = ["is_first", "is_dead", ("trouble__project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["origin", "trouble__text", "bead__key"]
    date_hierarchy = "created_at"
    list_select_related = ["trouble", "bead"]
    ordering = ["-id"]
    fields = [
        "trouble", "bead", "run_link", "origin", "is_first", "is_dead", "told_at", "created_at",
    ]  # fmt: skip
    trouble_link = linked("trouble_id", "agents_trouble")

"""Admin pages of beads, and the export of a project's beads."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, cast

import django_rq
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from redis.exceptions import ConnectionError as BrokerGone

from apps.accounts.models import User
from apps.beads.changing import bead_finish
from apps.beads.comments import comment_delete
from apps.beads.jobs import beads_export
from apps.beads.models import Bead, Comment, Dependency
from apps.beads.services import TEXTS, bead_create, bead_reopen, bead_update
from apps.core.admin import (
    HistoryAdmin,
    HistoryInline,
    ModelForm,
    TenantAdmin,
    actor_of,
    link_to,
    linked,
    shown_text,
)
from apps.core.asking_admin import asks
from apps.core.errors import Conflict
from apps.projects.admin import ProjectAdmin
from apps.projects.models import Project

NEW = [
    "project",
    "title",
    "type",
    "description",
    "acceptance",
    "paths",
    "priority",
    "role",
    "parent",
    "labels",
]
HISTORY = [
    "key",
    "status",
    "stage",
    "project",
    "parent_link",
    "requirements_shown",
    "assigned_to",
    "attempts",
    "blocked_reason_shown",
    "close_reason",
    "merged_commit",
    "created_at",
    "started_at",
    "closed_at",
]


class LinesField(forms.CharField):
    """A list of texts, edited one per line."""

    widget = forms.Textarea(attrs={"rows": 4})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in (super().to_python(value) or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.to_python(data))


class BeadForm(ModelForm):
    acceptance = LinesField(required=False, label="Acceptance criteria", help_text="One per line.")
    labels = LinesField(required=False, help_text="One per line.")
    paths = LinesField(required=False, help_text="Files and folders it will probably change, one per line.")

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        parent, project = given.get("parent"), given.get("project")
        if parent is not None and project is not None and parent.project_id != project.pk:
            self.add_error("parent", "The parent belongs to another project.")
        return given


class ReasonForm(ActionForm):
    reason = forms.CharField(required=False, max_length=500)


class BlockerInline(HistoryInline):
    model = Dependency
    fk_name = "bead"
    verbose_name_plural = "waits for"
    fields = ["other", "kind", "status"]
    show_change_link = False
    classes = ["loom-plain"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("blocker")

    @admin.display(description="bead")
    def other(self, dependency: Dependency) -> str:
        return link_to(dependency.blocker)

    @admin.display(description="status")
    def status(self, dependency: Dependency) -> str:
        return dependency.blocker.get_status_display()


class DependentInline(BlockerInline):
    fk_name = "blocker"
    verbose_name_plural = "waited for by"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("bead")

    @admin.display(description="bead")
    def other(self, dependency: Dependency) -> str:
        return link_to(dependency.bead)

    @admin.display(description="status")
    def status(self, dependency: Dependency) -> str:
        return dependency.bead.get_status_display()


BEAD_INLINES: list[type[HistoryInline]] = [BlockerInline, DependentInline]


@admin.register(Bead)
class BeadAdmin(TenantAdmin):
    """Apps above this one add what they know of a bead to BEAD_INLINES."""

    form = BeadForm
    action_form = ReasonForm
    list_display = [
        "key",
        "title",
        "project_link",
        "type",
        "status",
        "stage",
        "priority",
        "role",
        "assigned_to",
    ]
    list_display_links = ["key", "title"]
    list_filter = [
        "status",
        "stage",
        "type",
        "priority",
        "role",
        ("project", admin.RelatedOnlyFieldListFilter),
    ]
    search_fields = ["key", "title", "description", "assigned_to"]
    date_hierarchy = "created_at"
    list_select_related = ["project", "parent"]
    autocomplete_fields = ["project", "parent"]
    actions = ["close_beads", "reopen_beads"]

    def view_on_site(self, obj: Bead) -> str:
        return reverse("bead", args=[obj.key])

    def get_fields(self, request: HttpRequest, obj: Bead | None = None) -> Any:
        return [*TEXTS, *HISTORY] if obj else NEW

    def get_readonly_fields(self, request: HttpRequest, obj: Bead | None = None) -> Any:
        return HISTORY if obj else []

    def get_inlines(self, request: HttpRequest, obj: Bead | None) -> Any:
        return BEAD_INLINES if obj else []

    def save_model(self, request: HttpRequest, obj: Bead, form: ModelForm, change: bool) -> None:
        actor, given = actor_of(request), form.cleaned_data
        if change:
            bead_update(bead=obj, actor=actor, **{name: given[name] for name in form.changed_data})
        else:
            obj.pk = bead_create(actor=actor, **given).pk
            obj.refresh_from_db()

    def offered_actions(self, obj: Bead) -> Iterable[str]:
        if obj.status not in {Bead.Status.CLOSED, Bead.Status.IN_PROGRESS}:
            yield "close_beads"
        if obj.status not in {Bead.Status.OPEN, Bead.Status.IN_PROGRESS}:
            yield "reopen_beads"

    @asks(
        "Close selected beads",
        permission="change",
        what="They count as done without proof: what waited for them goes on, and nobody works on"
        " them any more.",
    )
    def close_beads(self, request: HttpRequest, queryset: QuerySet[Bead]) -> None:
        actor = actor_of(request)
        reason = request.POST.get("reason", "").strip() or f"Closed by {actor} in the admin."
        self.apply_each(request, queryset, partial(_close, reason=reason, actor=actor), "closed")

    @admin.action(description="Reopen selected beads", permissions=["change"])
    def reopen_beads(self, request: HttpRequest, queryset: QuerySet[Bead]) -> None:
        actor, reason = actor_of(request), request.POST.get("reason", "").strip()
        self.apply_each(
            request, queryset, lambda bead: bead_reopen(bead=bead, reason=reason, actor=actor), "reopened"
        )

    @admin.display(description="parent")
    def parent_link(self, bead: Bead) -> str:
        return link_to(bead.parent)

    @admin.display(description="requirements")
    def requirements_shown(self, bead: Bead) -> str:
        return ", ".join(bead.requirements.values_list("key", flat=True)) or "-"

    @admin.display(description="blocked because")
    def blocked_reason_shown(self, bead: Bead) -> str:
        return shown_text(bead.blocked_reason)


@admin.register(Dependency)
class DependencyAdmin(HistoryAdmin):
    """Which bead waits for which; changed on the bead's page and by API."""

    organization_path = "bead__project__organization_id"
    list_display = ["id", "bead_link", "kind", "blocker_link", "created_at"]
    list_filter = ["kind", ("bead__project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["bead__key", "bead__title", "blocker__key", "blocker__title"]
    date_hierarchy = "created_at"
    list_select_related = ["bead", "blocker"]
    ordering = ["-id"]
    fields = ["bead", "kind", "blocker", "created_at"]
    blocker_link = linked("blocker_id", "beads_bead")

    def view_on_site(self, obj: Dependency) -> str:
        return reverse("bead", args=[obj.bead.key])


@admin.register(Comment)
class CommentAdmin(HistoryAdmin):
    """What people said of beads: it may be taken away, never rewritten."""

    list_display = ["id", "author_name", "bead_link", "content", "path", "edited", "created_at"]
    list_display_links = ["id", "author_name"]
    list_filter = ["edited", ("bead__project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["author_name", "content", "bead__key", "bead__title", "path"]
    date_hierarchy = "created_at"
    list_select_related = ["bead"]
    ordering = ["-id"]
    actions: list[Any] = ["remove_comments"]
    fields = [
        "bead", "author", "author_name", "content_shown", "parent", "mentions", "path", "line", "side",
        "claim", "edited", "created_at", "updated_at",
    ]  # fmt: skip

    def view_on_site(self, obj: Comment) -> str:
        return reverse("bead", args=[obj.bead.key])

    @admin.display(description="content")
    def content_shown(self, comment: Comment) -> str:
        return shown_text(comment.content)

    @asks("Remove selected comments", what="They go with the answers to them, for everybody and for good.")
    def remove_comments(self, request: HttpRequest, queryset: QuerySet[Comment]) -> None:
        def remove(comment: Comment) -> None:
            comment_delete(comment=comment, actor=cast("User", request.user), as_administrator=True)

        self.apply_each(request, queryset.select_related("bead__project", "parent"), remove, "removed")


def _close(bead: Bead, *, reason: str, actor: str) -> None:
    if bead.status == Bead.Status.IN_PROGRESS:
        raise Conflict(f"{bead.key} is being worked on.", hint="Cancel its run first.")
    bead_finish(bead=bead, reason=reason, actor=actor)


@admin.action(description="Export beads of selected projects as JSONL", permissions=["view"])
def export_beads(page: ProjectAdmin, request: HttpRequest, queryset: QuerySet[Project]) -> None:
    try:
        jobs = [
            django_rq.get_queue("default").enqueue(
                beads_export, project.pk, description=f"Export the beads of project {project.pk}"
            )
            for project in queryset
        ]
    except BrokerGone:
        page.message_user(
            request, "The queue for jobs cannot be reached; nothing was exported.", messages.ERROR
        )
        return
    text = format_html(
        'Exports under way: {}. The <a href="{}">queues</a> show how they go and where the files are.',
        len(jobs),
        reverse("django_rq:home"),
    )
    page.message_user(request, text, messages.SUCCESS)


ProjectAdmin.actions.append(export_beads)

"""Admin pages of projects and their requirements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.core.admin import HistoryAdmin, ModelForm, TenantAdmin, actor_of, shown_text
from apps.projects.models import Project, Requirement
from apps.projects.services import SETTINGS, project_close, project_create, project_reopen, project_update

NEW = ["organization", "name", "prd", "approval", "max_sessions", "allow_network"]


@admin.register(Project)
class ProjectAdmin(TenantAdmin):
    list_display = ["name", "organization", "status", "bead_prefix", "max_sessions", "approval", "created_at"]
    list_filter = ["status", "approval", ("organization", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["name", "slug", "bead_prefix"]
    date_hierarchy = "created_at"
    list_select_related = ["organization"]
    autocomplete_fields = ["organization"]
    actions: list[Any] = ["close_projects", "reopen_projects"]

    def get_fields(self, request: HttpRequest, obj: Project | None = None) -> Any:
        return [*SETTINGS, *self.get_readonly_fields(request, obj)] if obj else NEW

    def get_readonly_fields(self, request: HttpRequest, obj: Project | None = None) -> Any:
        if obj is None:
            return []
        return [
            "organization",
            "slug",
            "status",
            "bead_prefix",
            "branch",
            "prd_shown",
            "created_at",
            "closed_at",
        ]

    @admin.display(description="PRD")
    def prd_shown(self, project: Project) -> str:
        return shown_text(project.prd)

    def save_model(self, request: HttpRequest, obj: Project, form: ModelForm, change: bool) -> None:
        actor, given = actor_of(request), form.cleaned_data
        if change:
            project_update(project=obj, actor=actor, **{name: given[name] for name in form.changed_data})
        else:
            obj.pk = project_create(actor=actor, **given).pk
            obj.refresh_from_db()

    def offered_actions(self, obj: Project) -> Iterable[str]:
        return ["reopen_projects" if obj.status == Project.Status.CLOSED else "close_projects"]

    @admin.action(description="Close selected projects", permissions=["change"])
    def close_projects(self, request: HttpRequest, queryset: QuerySet[Project]) -> None:
        actor = actor_of(request)
        self.apply_each(
            request,
            queryset,
            lambda project: project_close(project=project, reason="closed in the admin", actor=actor),
            "closed",
        )

    @admin.action(description="Reopen selected projects", permissions=["change"])
    def reopen_projects(self, request: HttpRequest, queryset: QuerySet[Project]) -> None:
        actor = actor_of(request)
        self.apply_each(
            request, queryset, lambda project: project_reopen(project=project, actor=actor), "reopened"
        )


@admin.register(Requirement)
class RequirementAdmin(HistoryAdmin):
    """Requirements come from the PRD; a changed PRD changes them."""

    organization_path = "project__organization_id"
    list_display = ["key", "project", "section", "text", "status"]
    list_filter = ["status", ("project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["key", "section", "text", "project__name"]
    date_hierarchy = "created_at"
    list_select_related = ["project"]

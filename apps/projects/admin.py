"""Admin pages of projects and their requirements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse

from apps.core.admin import HistoryAdmin, ModelForm, TenantAdmin, actor_of, linked, shown_text
from apps.core.asking_admin import asks
from apps.projects.models import Project, ProjectComment, ProjectGroupShare, ProjectUserShare, Requirement
from apps.projects.services import (
    SETTINGS,
    project_close,
    project_create,
    project_delete,
    project_reopen,
    project_update,
)
from apps.projects.sharing import share_remove

NEW = ["organization", "name", "prd", "approval", "max_sessions", "allow_network", "allow_install"]


@admin.register(Project)
class ProjectAdmin(TenantAdmin):
    list_display = [
        "name",
        "organization_link",
        "status",
        "bead_prefix",
        "max_sessions",
        "approval",
        "created_at",
    ]
    list_filter = ["status", "approval", ("organization", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["name", "slug", "bead_prefix"]
    date_hierarchy = "created_at"
    list_select_related = ["organization"]
    autocomplete_fields = ["organization"]
    actions: list[Any] = ["close_projects", "reopen_projects", "delete_projects"]

    def view_on_site(self, obj: Project) -> str:
        return reverse("project", args=[obj.pk])

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
        is_closed = obj.status == Project.Status.CLOSED
        return ["reopen_projects", "delete_projects"] if is_closed else ["close_projects"]

    def has_remove_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("projects.delete_project"))

    @asks(
        "Close selected projects",
        permission="change",
        what="Nothing more is begun in a closed project: its agents take no beads and its clocks"
        " stop. Its work stays, and it can be reopened.",
    )
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

    @asks(
        "Delete selected project for good",
        permission="remove",
        word="slug",
        what="The project goes with all of its beads, sessions, evidence, decisions and comments,"
        " and nobody can bring them back. What it spent stays in the ledger, its events in the"
        " audit log, its repository on the disk. Only a closed project can be deleted.",
    )
    def delete_projects(self, request: HttpRequest, queryset: QuerySet[Project]) -> None:
        actor, typed = actor_of(request), request.POST.get("typed", "").strip()
        self.apply_each(
            request,
            queryset,
            lambda project: project_delete(project=project, confirm=typed, actor=actor),
            "deleted",
        )

    def response_action(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """What was deleted has no page to go back to."""
        response = super().response_action(request, *args, **kwargs)
        gone = request.POST.get("_object", "")
        if gone.isdecimal() and not Project.objects.filter(pk=gone).exists():
            return HttpResponseRedirect(request.path)
        return response


@admin.register(Requirement)
class RequirementAdmin(HistoryAdmin):
    """Requirements come from the PRD; a changed PRD changes them."""

    organization_path = "project__organization_id"
    list_display = ["key", "project_link", "section", "text", "status"]
    list_filter = ["status", ("project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["key", "section", "text", "project__name"]
    date_hierarchy = "created_at"
    list_select_related = ["project"]

    def view_on_site(self, obj: Requirement) -> str:
        return reverse("requirements", args=[obj.project_id])


class ShareAdmin(HistoryAdmin):
    """Who may see or work on a project from outside of its organization; begun on the project's settings."""

    organization_path = "content_object__organization_id"
    list_filter = [
        ("permission", admin.RelatedOnlyFieldListFilter),
        ("content_object", admin.RelatedOnlyFieldListFilter),
    ]
    actions: list[Any] = ["stop_sharing"]
    project_link = linked("content_object_id", "projects_project")

    def view_on_site(self, obj: Any) -> str:
        return reverse("settings", args=[obj.content_object_id])

    def offered_actions(self, obj: Any) -> Iterable[str]:
        return ["stop_sharing"]

    @admin.display(description="shared as", ordering="permission__codename")
    def shared_as(self, share: Any) -> str:
        return str(share.permission.codename).removeprefix("share_")

    @asks("Stop sharing with selected", what="They no longer see the project, from their next request on.")
    def stop_sharing(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        actor = actor_of(request)

        def stop(share: Any) -> None:
            share_remove(project=share.content_object, to=self.holder(share), actor=actor)

        self.apply_each(request, queryset, stop, "no longer shared")

    def holder(self, share: Any) -> Any:
        raise NotImplementedError

    def response_action(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        response = super().response_action(request, *args, **kwargs)
        is_done = isinstance(response, HttpResponseRedirect)
        return HttpResponseRedirect(request.path) if is_done and "_object" in request.POST else response


@admin.register(ProjectUserShare)
class ProjectUserShareAdmin(ShareAdmin):
    list_display = ["user", "project_link", "shared_as"]
    search_fields = ["user__username", "content_object__name"]
    list_select_related = ["user", "permission", "content_object"]
    fields = ["user", "content_object", "shared_as"]

    def holder(self, share: Any) -> Any:
        return share.user


@admin.register(ProjectGroupShare)
class ProjectGroupShareAdmin(ShareAdmin):
    list_display = ["group", "project_link", "shared_as"]
    search_fields = ["group__name", "content_object__name"]
    list_select_related = ["group__people", "permission", "content_object"]
    fields = ["group", "content_object", "shared_as"]

    def holder(self, share: Any) -> Any:
        return share.group.people


@admin.register(ProjectComment)
class ProjectCommentAdmin(HistoryAdmin):
    organization_path = "project__organization_id"
    list_display = ["id", "author_name", "project_link", "comment", "created_at"]
    list_display_links = ["id", "author_name"]
    list_filter = [("project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["author_name", "comment", "project__name"]
    date_hierarchy = "created_at"
    list_select_related = ["project"]
    ordering = ["-id"]
    fields = ["project", "author", "author_name", "comment_shown", "created_at"]

    @admin.display(description="comment")
    def comment_shown(self, row: ProjectComment) -> str:
        return shown_text(row.comment)

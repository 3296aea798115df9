"""Admin pages of the ways of work into a project's branch: rules, queue, pull requests; and of file locks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from apps.agents.file_locks import file_unlock
from apps.agents.lock_models import FileLock
from apps.agents.models import MergePolicy, MergeRequest, PullRequest
from apps.core.admin import BY_PROJECT, HistoryAdmin, actor_of
from apps.core.asking_admin import asks


class Commits:
    @admin.display(description="commit", ordering="commit")
    def commit_short(self, row: Any) -> str:
        return row.commit[:10] or "-"


@admin.register(MergeRequest)
class MergeRequestAdmin(Commits, HistoryAdmin):
    list_display = ["id", "project_link", "bead_link", "status", "commit_short", "created_at", "updated_at"]
    list_filter = ["status", BY_PROJECT]
    search_fields = ["bead__key", "bead__title", "commit", "detail"]
    date_hierarchy = "created_at"
    list_select_related = ["project", "bead", "claim"]
    ordering = ["-id"]
    fields = [
        "project", "bead", "claim", "run_link", "status", "commit", "tip", "detail", "outcome", "created_at",
        "updated_at",
    ]  # fmt: skip

    def view_on_site(self, obj: MergeRequest) -> str:
        return reverse("bead-evidence", args=[obj.bead.key])


@admin.register(MergePolicy)
class MergePolicyAdmin(HistoryAdmin):
    """Changed on the project's settings and by API; what is sealed is never shown."""

    list_display = [
        "project_link",
        "strategy",
        "tampering",
        "overlap",
        "batch_size",
        "has_credential",
        "updated_at",
    ]
    list_display_links = ["strategy"]
    list_filter = ["strategy", "tampering", "overlap", BY_PROJECT]
    search_fields = ["project__name", "project__slug"]
    date_hierarchy = "updated_at"
    list_select_related = ["project"]
    ordering = ["-id"]
    fields = [
        "project", "strategy", "tampering", "overlap", "batch_size", "remote", "username", "has_credential",
        "public_key", "has_webhook_secret", "created_at", "updated_at",
    ]  # fmt: skip

    def view_on_site(self, obj: MergePolicy) -> str:
        return reverse("settings", args=[obj.project_id])

    @admin.display(boolean=True, description="has a credential")
    def has_credential(self, policy: MergePolicy) -> bool:
        return bool(policy.credential_sealed)

    @admin.display(boolean=True, description="has a webhook secret")
    def has_webhook_secret(self, policy: MergePolicy) -> bool:
        return bool(policy.webhook_secret_sealed)


@admin.register(PullRequest)
class PullRequestAdmin(Commits, HistoryAdmin):
    list_display = [
        "id", "project_link", "bead_link", "branch", "target", "status", "commit_short", "created_at",
        "closed_at",
    ]  # fmt: skip
    list_filter = ["status", BY_PROJECT]
    search_fields = ["branch", "bead__key", "bead__title", "commit"]
    date_hierarchy = "created_at"
    list_select_related = ["project", "bead"]
    ordering = ["-id"]
    fields = [
        "project", "bead", "claim", "status", "branch", "target", "base", "commit", "tree", "merged_commit",
        "decision_link", "closed_by", "closed_at", "created_at",
    ]  # fmt: skip

    def view_on_site(self, obj: PullRequest) -> str:
        return reverse("bead-changes", args=[obj.bead.key])


@admin.register(FileLock)
class FileLockAdmin(HistoryAdmin):
    list_display = ["file_path", "project_link", "holder", "bead_link", "expires_at"]
    list_filter = [BY_PROJECT]
    search_fields = ["file_path", "holder"]
    date_hierarchy = "created_at"
    list_select_related = ["project", "bead"]
    actions: list[Any] = ["release_locks"]
    fields = ["project", "file_path", "holder", "agent", "bead", "expires_at", "created_at", "updated_at"]

    def offered_actions(self, obj: FileLock) -> Iterable[str]:
        return ["release_locks"]

    @asks(
        "Release selected locks",
        what="Beads about these files no longer wait; who held the lock may find its file changed.",
    )
    def release_locks(self, request: HttpRequest, queryset: QuerySet[FileLock]) -> None:
        actor = actor_of(request)

        def release(lock: FileLock) -> None:
            file_unlock(project=lock.project, path=lock.file_path, holder=lock.holder, actor=actor)

        self.apply_each(request, queryset, release, "released")

"""Admin pages of the rules on commands, and of the commands that were run."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.commands.models import CommandRule, CommandRun
from apps.commands.services import command_rule_change, command_rule_remove, command_rule_set
from apps.core.admin import HistoryAdmin, ModelForm, TenantAdmin, actor_of, shown_json, shown_text
from apps.core.asking_admin import asks


@admin.register(CommandRule)
class CommandRuleAdmin(TenantAdmin):
    list_display = ["pattern", "verdict", "project_link", "reason", "created_by", "updated_at"]
    list_filter = ["verdict", ("project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["pattern", "reason", "project__name"]
    list_select_related = ["project"]
    autocomplete_fields = ["project"]
    fields = ["project", "pattern", "verdict", "reason"]
    actions = ["remove_rules"]

    def get_readonly_fields(self, request: HttpRequest, obj: CommandRule | None = None) -> Any:
        return ["project", "created_by", "created_at"] if obj else []

    def save_model(self, request: HttpRequest, obj: CommandRule, form: ModelForm, change: bool) -> None:
        given, actor = form.cleaned_data, actor_of(request)
        if change:
            changes = {name: given[name] for name in form.changed_data}
            command_rule_change(rule=CommandRule.objects.get(pk=obj.pk), actor=actor, **changes)
        else:
            obj.pk = command_rule_set(actor=actor, **given).pk
            obj.refresh_from_db()

    def offered_actions(self, obj: CommandRule) -> list[str]:
        return ["remove_rules"]

    @asks(
        "Remove selected rules",
        permission="change",
        what="From the next command on the project's other rules and the defaults decide.",
    )
    def remove_rules(self, request: HttpRequest, queryset: QuerySet[CommandRule]) -> None:
        actor = actor_of(request)
        rows = queryset.select_related("project")
        self.apply_each(request, rows, lambda row: command_rule_remove(rule=row, actor=actor), "removed")


@admin.register(CommandRun)
class CommandRunAdmin(HistoryAdmin):
    list_display = ["command", "status", "verdict", "exit_code", "project_link", "requester", "created_at"]
    list_filter = ["status", "verdict", ("project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["command", "requester", "bead_key"]
    list_select_related = ["project"]
    date_hierarchy = "created_at"
    fields = [
        "project", "agent_link", "bead_link", "requester", "command", "working_dir", "timeout_seconds",
        "verdict", "status", "decision_link", "run_link", "commit", "exit_code", "output_shown",
        "error_shown", "duration_ms", "context_shown", "created_at", "started_at", "completed_at",
    ]  # fmt: skip

    @admin.display(description="output")
    def output_shown(self, row: CommandRun) -> str:
        return shown_text(row.output)

    @admin.display(description="error output")
    def error_shown(self, row: CommandRun) -> str:
        return shown_text(row.error)

    @admin.display(description="context")
    def context_shown(self, row: CommandRun) -> str:
        return shown_json(row.context)

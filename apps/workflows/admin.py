"""Admin pages of workflow definitions, checked before they are saved, and of the walks through them."""

from __future__ import annotations

from typing import Any

import yaml
from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from apps.agents.models import Persona
from apps.core.admin import (
    HistoryAdmin,
    HistoryInline,
    ModelForm,
    TenantAdmin,
    actor_of,
    shown_json,
    shown_text,
)
from apps.core.errors import Conflict, LoomError
from apps.workflows.definition_services import definition_create, definition_delete, definition_update
from apps.workflows.graph_library import found_in, graph_checked, pinned
from apps.workflows.graph_reading import GraphRefused
from apps.workflows.models import WorkflowContent, WorkflowDefinition, WorkflowExecution, WorkflowHistory
from apps.workflows.transfer import graph_yaml


class DefinitionForm(ModelForm):
    """The definition as the YAML it is written in; every problem with its place is said at once."""

    text = forms.CharField(
        label="Definition", widget=forms.Textarea(attrs={"rows": 40, "cols": 110, "spellcheck": "false"})
    )
    version_read = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = WorkflowDefinition
        fields = ["organization", "project"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        row = kwargs.get("instance")
        if row is not None and row.pk is not None:
            told = {"text": _text_of(row), "version_read": row.version}
            kwargs["initial"] = {**told, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)

    def clean_text(self) -> str:
        text = str(self.cleaned_data["text"])
        try:
            chosen = self.cleaned_data.get("organization")
            organization_id = chosen.pk if chosen else self.instance.organization_id
            graph_checked(text, Persona.objects.for_organization(organization_id))
        except GraphRefused as refused:
            raise forms.ValidationError([str(problem) for problem in refused.problems]) from None
        except LoomError as error:
            raise forms.ValidationError(error.message) from None
        return text

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        project, organization = given.get("project"), given.get("organization")
        if project is not None and organization is not None and project.organization_id != organization.pk:
            self.add_error("project", "The project belongs to another organization.")
        return given


def _text_of(row: WorkflowDefinition) -> str:
    try:
        return graph_yaml(found_in(row).graph)
    except Conflict:  # of another version of Loom; here it can be mended
        return str(yaml.safe_dump(row.content, sort_keys=False, allow_unicode=True))


@admin.register(WorkflowDefinition)
class WorkflowDefinitionAdmin(TenantAdmin):
    form = DefinitionForm
    list_display = ["name", "organization_link", "project_link", "version", "is_default", "updated_at"]
    list_filter = ["is_default", ("organization", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["name", "project__name"]
    list_select_related = ["organization", "project"]

    def view_on_site(self, obj: WorkflowDefinition) -> str:
        return reverse("workflow", args=[obj.name])

    def get_fields(self, request: HttpRequest, obj: WorkflowDefinition | None = None) -> Any:
        return [
            "organization",
            "project",
            "text",
            "version_read",
            *self.get_readonly_fields(request, obj)[2:],
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: WorkflowDefinition | None = None) -> Any:
        if obj is None:
            return []
        return ["organization", "project", "version", "sha256", "created_at", "updated_at"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("workflows.delete_workflowdefinition"))

    def save_model(
        self, request: HttpRequest, obj: WorkflowDefinition, form: ModelForm, change: bool
    ) -> None:
        actor, given = actor_of(request), form.cleaned_data
        if change:
            definition_update(definition=obj, given=given["text"], version=given["version_read"], actor=actor)
            return
        place = {"organization": given["organization"], "project": given["project"]}
        obj.pk = definition_create(given=given["text"], actor=actor, **place).pk
        obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: WorkflowDefinition) -> None:
        definition_delete(definition=obj, actor=actor_of(request))

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for row in queryset:
            definition_delete(definition=row, actor=actor_of(request))


class VisitInline(HistoryInline):
    model = WorkflowHistory
    verbose_name_plural = "nodes it went through"
    fields = ["number", "node_key", "condition", "attempt_number", "agent", "result", "created_at"]
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("agent")

    @admin.display(description="result")
    def result(self, row: WorkflowHistory) -> str:
        return shown_json(row.result_data)


@admin.register(WorkflowExecution)
class WorkflowExecutionAdmin(HistoryAdmin):
    list_display = [
        "id", "name", "bead_link", "project_link", "status", "current_node", "cycle_count", "started_at",
        "completed_at",
    ]  # fmt: skip
    list_display_links = ["id", "name"]
    list_filter = ["status", "name", ("project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["name", "bead__key", "bead__title", "current_node"]
    date_hierarchy = "started_at"
    list_select_related = ["bead", "project"]
    fields = [
        "name", "bead_link", "project", "run_link", "definition", "status", "current_node",
        "node_attempt_count", "cycle_count", "started_at", "last_node_at", "escalated_at", "completed_at",
        "graph_shown",
    ]  # fmt: skip
    inlines = [VisitInline]

    def view_on_site(self, obj: WorkflowExecution) -> str | None:
        return reverse("run", args=[obj.run_id]) if obj.run_id else None

    @admin.display(description="the workflow it was started with")
    def graph_shown(self, row: WorkflowExecution) -> str:
        return shown_text(graph_yaml(pinned(row.content_id)))


@admin.register(WorkflowHistory)
class WorkflowHistoryAdmin(HistoryAdmin):
    organization_path = "execution__project__organization_id"
    list_display = [
        "id",
        "execution",
        "number",
        "node_key",
        "condition",
        "attempt_number",
        "agent_link",
        "created_at",
    ]
    list_filter = ["condition", ("execution__project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["node_key", "execution__name", "execution__bead__key"]
    date_hierarchy = "created_at"
    list_select_related = ["execution", "agent"]
    ordering = ["-id"]
    fields = [
        "execution", "number", "node_key", "condition", "attempt_number", "agent", "result", "created_at",
    ]  # fmt: skip

    @admin.display(description="result")
    def result(self, row: WorkflowHistory) -> str:
        return shown_json(row.result_data)


@admin.register(WorkflowContent)
class WorkflowContentAdmin(HistoryAdmin):
    """Graphs as they were when executions began; several executions share one."""

    list_display = ["sha256", "named", "created_at"]
    search_fields = ["sha256"]
    date_hierarchy = "created_at"
    ordering = ["-created_at"]
    fields = ["sha256", "created_at", "content_shown"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        if request.user.is_superuser:
            return WorkflowContent.objects.all()
        seen = WorkflowExecution.objects.for_user(request.user).values("content_id")
        return WorkflowContent.objects.filter(pk__in=seen)

    @admin.display(description="name")
    def named(self, row: WorkflowContent) -> str:
        return str(row.content.get("name", "-"))

    @admin.display(description="graph")
    def content_shown(self, row: WorkflowContent) -> str:
        return shown_json(row.content)

"""Admin pages of teams: org charts, their positions, and what personas said at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from apps.agents.models import OrgChart, Persona, PersonaVersion, Position
from apps.agents.org_chart import chart_reset
from apps.core.admin import BY_PROJECT, HistoryAdmin, HistoryInline, actor_of, linked, shown_text
from apps.core.asking_admin import asks


class PositionInline(HistoryInline):
    model = Position
    fields = ["role_name", "reports_to", "persona_path", "required", "max_instances"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("reports_to")


@admin.register(OrgChart)
class OrgChartAdmin(HistoryAdmin):
    """Those that differ from the default team; changed on the project's team page and by API."""

    organization_path = "project__organization_id"
    list_display = ["name", "project_link", "places", "updated_at"]
    list_filter = [BY_PROJECT]
    search_fields = ["name", "project__name"]
    date_hierarchy = "updated_at"
    list_select_related = ["project"]
    inlines = [PositionInline]
    actions: list[Any] = ["reset_charts"]
    fields = ["project", "name", "created_at", "updated_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        counted: QuerySet[Any] = rows.annotate(place_count=Count("positions"))
        return counted

    @admin.display(description="positions", ordering="place_count")
    def places(self, chart: Any) -> int:
        return int(chart.place_count)

    def view_on_site(self, obj: OrgChart) -> str:
        return reverse("team", args=[obj.project_id])

    def offered_actions(self, obj: OrgChart) -> Iterable[str]:
        return ["reset_charts"]

    @asks(
        "Reset selected charts",
        what="The project has the default team again: its own positions and their limits are gone.",
    )
    def reset_charts(self, request: HttpRequest, queryset: QuerySet[OrgChart]) -> None:
        actor = actor_of(request)
        self.apply_each(
            request, queryset, lambda chart: chart_reset(project=chart.project, actor=actor), "reset"
        )


@admin.register(Position)
class PositionAdmin(HistoryAdmin):
    organization_path = "chart__project__organization_id"
    list_display = ["role_name", "chart_link", "reports_to_link", "persona_path", "required", "max_instances"]
    list_filter = ["required", ("chart__project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["role_name", "persona_path", "chart__name", "chart__project__name"]
    list_select_related = ["chart", "reports_to"]
    fields = ["chart", "role_name", "reports_to", "persona_path", "required", "max_instances", "updated_at"]
    chart_link = linked("chart_id", "agents_orgchart")
    reports_to_link = linked("reports_to_id", "agents_position")

    def view_on_site(self, obj: Position) -> str:
        return reverse("team", args=[obj.chart.project_id])


@admin.register(PersonaVersion)
class PersonaVersionAdmin(HistoryAdmin):
    """What a persona said at a time; its page compares the versions and brings one back."""

    list_display = ["id", "persona_link", "number", "author", "note", "created_at"]
    list_filter = [("persona", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["persona__name", "author", "note", "text"]
    date_hierarchy = "created_at"
    list_select_related = ["persona"]
    ordering = ["-id"]
    fields = ["persona", "number", "author", "note", "created_at", "text_shown"]
    persona_link = linked("persona_id", "agents_persona")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return PersonaVersion.objects.filter(persona__in=Persona.objects.for_user(request.user))

    def view_on_site(self, obj: PersonaVersion) -> str:
        return reverse("persona", args=[obj.persona_id])

    @admin.display(description="SKILL.md")
    def text_shown(self, version: PersonaVersion) -> str:
        return shown_text(version.text)

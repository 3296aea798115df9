"""The API of org charts; shapes as the original's OrgChart. A position's id is the name of its role."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import URLPattern, path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.agents.org_chart import (
    Chart,
    Place,
    agents_by_role,
    chart_of,
    chart_reset,
    chart_set,
    position_add,
    position_remove,
    position_update,
)
from apps.core.api_inputs import Input
from apps.projects.models import Project


class PlaceInput(Input):
    role_name = serializers.CharField(max_length=60)
    persona_path = serializers.CharField(required=False, allow_blank=True, max_length=120)
    required = serializers.BooleanField(required=False)  # type: ignore[assignment]
    max_instances = serializers.IntegerField(required=False, min_value=0, max_value=1000)
    reports_to = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=60)


class PlaceChange(PlaceInput):
    role_name = None  # type: ignore[assignment]


class PlaceBody(serializers.Serializer[Any]):
    id = serializers.CharField()
    role_name = serializers.CharField()
    persona_path = serializers.CharField(allow_blank=True)
    required = serializers.BooleanField()  # type: ignore[assignment]
    max_instances = serializers.IntegerField(help_text="0: as many as the project allows.")
    agent_ids = serializers.ListField(child=serializers.CharField())
    reports_to = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField(allow_null=True)


class ChartInput(Input):
    name = serializers.CharField(allow_blank=True, allow_null=True, default="", max_length=200)
    positions = PlaceInput(many=True)


class ChartBody(serializers.Serializer[Any]):
    id = serializers.CharField()
    project_id = serializers.CharField()
    name = serializers.CharField()
    positions = PlaceBody(many=True)
    is_template = serializers.BooleanField()
    parent_id = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField(allow_null=True)
    updated_at = serializers.DateTimeField(allow_null=True)


def chart_body(chart: Chart) -> dict[str, Any]:
    agents = agents_by_role(chart.project.pk)
    return {
        "id": f"orgchart-{chart.project.pk}",
        "project_id": str(chart.project.pk),
        "name": chart.name,
        "positions": [
            {
                "id": place.role_name,
                "role_name": place.role_name,
                "persona_path": place.persona_path,
                "required": place.required,
                "max_instances": place.max_instances,
                "agent_ids": [str(one) for one in agents.get(place.role_name, [])],
                "reports_to": place.reports_to,
                "created_at": place.created_at or chart.created_at,
            }
            for place in chart.places
        ],
        "is_template": not chart.is_kept,
        "parent_id": "",
        "created_at": chart.created_at,
        "updated_at": chart.updated_at,
    }


class OrgChartViewSet(TenantViewSet):
    """The positions of a project; that of the default team (`is_template`) until somebody changes it."""

    resource = "agents"
    organization_path = "organization_id"
    serializer_class = ChartBody
    schema_bodies = {"update": ChartInput, "add": PlaceInput, "change": PlaceChange}
    schema_answers = {"add": ChartBody, "change": ChartBody}

    def get_queryset(self) -> QuerySet[Project]:
        return Project.objects.for_user(self.request.user)

    @property
    def _actor(self) -> str:
        return str(self.request.user.get_username())

    def retrieve(self, request: Request, pk: int, **_: str) -> Response:
        """The whole chart, which is also what a write to a position is held against."""
        return Response(chart_body(chart_of(self.get_object())))

    def update(self, request: Request, pk: int) -> Response:
        """Replace the chart: `{name, positions: [{role_name, persona_path, max_instances, reports_to}]}`."""
        project, given = self.get_object(), ChartInput.read(self.body)
        before = {place.role_name: place.required for place in chart_of(project).places}
        places = [
            Place(**{"required": before.get(one["role_name"], False), **_known(one)})
            for one in given["positions"]
        ]
        name = given["name"] or ""
        return Response(chart_body(chart_set(project=project, places=places, name=name, actor=self._actor)))

    def destroy(self, request: Request, pk: int) -> Response:
        """Back to the default team's."""
        chart_reset(project=self.get_object(), actor=self._actor)
        return Response(status=204)

    def add(self, request: Request, pk: int) -> Response:
        place = Place(**_known(PlaceInput.read(self.body)))
        chart = position_add(project=self.get_object(), place=place, actor=self._actor)
        return Response(chart_body(chart), status=201)

    def change(self, request: Request, pk: int, role: str) -> Response:
        changes = _known(PlaceChange.read(self.body))
        chart = position_update(project=self.get_object(), role_name=role, actor=self._actor, **changes)
        return Response(chart_body(chart))

    def remove(self, request: Request, pk: int, role: str) -> Response:
        position_remove(project=self.get_object(), role_name=role, actor=self._actor)
        return Response(status=204)


def _known(place: dict[str, Any]) -> dict[str, Any]:
    """Nobody is the empty role."""
    return {**place, "reports_to": place["reports_to"] or ""} if "reports_to" in place else place


def _view(**methods: Any) -> Any:
    return OrgChartViewSet.as_view(methods)


urlpatterns: list[URLPattern] = [
    path(
        "org-charts/<int:pk>",
        _view(get="retrieve", put="update", delete="destroy"),
        name="org-chart-detail",
    ),
    path("org-charts/<int:pk>/positions", _view(post="add"), name="org-chart-positions"),
    path(
        "org-charts/<int:pk>/positions/<slug:role>",
        _view(patch="change", put="change", delete="remove"),
        name="org-chart-position",
    ),
]

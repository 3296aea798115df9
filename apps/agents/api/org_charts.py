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
from apps.core.errors import BadInput
from apps.projects.models import Project


class PlaceInput(serializers.Serializer[Any]):
    role_name = serializers.CharField(max_length=60)
    persona_path = serializers.CharField(required=False, allow_blank=True, max_length=120)
    required = serializers.BooleanField(required=False)  # type: ignore[assignment]
    max_instances = serializers.IntegerField(required=False, min_value=0, max_value=1000)
    reports_to = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=60)


class PlaceChange(PlaceInput):
    role_name = None  # type: ignore[assignment]


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
    serializer_class = PlaceInput

    def get_queryset(self) -> QuerySet[Project]:
        return Project.objects.for_user(self.request.user)

    @property
    def _actor(self) -> str:
        return str(self.request.user.get_username())

    def _read(self, kind: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
        given = kind(data=data)
        given.is_valid(raise_exception=True)
        said = dict(given.validated_data)
        if "reports_to" in said:
            said["reports_to"] = said["reports_to"] or ""
        return said

    def retrieve(self, request: Request, pk: int, **_: str) -> Response:
        """The whole chart, which is also what a write to a position is held against."""
        return Response(chart_body(chart_of(self.get_object())))

    def update(self, request: Request, pk: int) -> Response:
        """Replace the chart: `{name, positions: [{role_name, persona_path, max_instances, reports_to}]}`."""
        project, positions = self.get_object(), self.body.get("positions")
        if not isinstance(positions, list) or not all(isinstance(one, dict) for one in positions):
            raise BadInput("positions must be a list of positions.", details={"field": "positions"})
        before = {place.role_name: place.required for place in chart_of(project).places}
        given = [self._read(PlaceInput, one) for one in positions]
        places = [Place(**{"required": before.get(one["role_name"], False), **one}) for one in given]
        name = self.body.get("name") or ""
        if not isinstance(name, str):
            raise BadInput("The name is a text.", details={"field": "name"})
        return Response(chart_body(chart_set(project=project, places=places, name=name, actor=self._actor)))

    def destroy(self, request: Request, pk: int) -> Response:
        """Back to the default team's."""
        chart_reset(project=self.get_object(), actor=self._actor)
        return Response(status=204)

    def add(self, request: Request, pk: int) -> Response:
        place = Place(**self._read(PlaceInput, self.body))
        chart = position_add(project=self.get_object(), place=place, actor=self._actor)
        return Response(chart_body(chart), status=201)

    def change(self, request: Request, pk: int, role: str) -> Response:
        changes = self._read(PlaceChange, self.body)
        chart = position_update(project=self.get_object(), role_name=role, actor=self._actor, **changes)
        return Response(chart_body(chart))

    def remove(self, request: Request, pk: int, role: str) -> Response:
        position_remove(project=self.get_object(), role_name=role, actor=self._actor)
        return Response(status=204)


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

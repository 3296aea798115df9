"""Loom's routes and its rivals: beads by bare DRF ModelSerializers, and by raw values() and orjson."""

from __future__ import annotations

from typing import Any

import orjson
from django.db.models import F, Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from rest_framework import serializers
from rest_framework.authentication import SessionAuthentication
from rest_framework.generics import ListAPIView
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer

from apps.beads.models import Bead, Dependency

FIELDS = (
    "id", "key", "type", "title", "description", "status", "stage", "priority", "role", "project_id",
    "parent", "assigned_to", "attempts", "blocked_reason", "close_reason", "merged_commit",
    "estimated_minutes", "labels", "acceptance", "context", "due_date", "created_at", "updated_at",
    "started_at", "closed_at",
)  # fmt: skip


def filtered(query: Any) -> QuerySet[Bead]:
    beads = Bead.objects.filter(project_id=query["project_id"], status__in=query["status"].split(","))
    return beads.order_by(query["ordering"])


class BareSerializer(serializers.ModelSerializer[Bead]):
    """The columns, and the same keys of other rows as Loom's own list, read at once for the page."""

    parent: Any = serializers.SlugRelatedField("key", read_only=True)
    children: Any = serializers.SlugRelatedField("key", many=True, read_only=True)
    requirements: Any = serializers.SlugRelatedField("key", many=True, read_only=True)
    blocked_by: Any = serializers.SlugRelatedField(
        "blocker_key", many=True, read_only=True, source="dependencies"
    )
    blocks: Any = serializers.SlugRelatedField("bead_key", many=True, read_only=True, source="dependents")

    class Meta:
        model = Bead
        fields = (*FIELDS, "children", "requirements", "blocked_by", "blocks")


class ColumnsSerializer(serializers.ModelSerializer[Bead]):
    class Meta:
        model = Bead
        fields = FIELDS


class Bare(ListAPIView[Bead]):
    authentication_classes = (SessionAuthentication,)
    permission_classes = (IsAuthenticated,)
    renderer_classes = (JSONRenderer,)
    pagination_class = LimitOffsetPagination
    serializer_class: Any = BareSerializer
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Bead]:
        beads = filtered(self.request.query_params).select_related("parent")
        waits = Dependency.objects.annotate(blocker_key=F("blocker__key"))
        holds = Dependency.objects.annotate(bead_key=F("bead__key"))
        return beads.prefetch_related(
            "children", "requirements", Prefetch("dependencies", waits), Prefetch("dependents", holds)
        )


class BareColumns(Bare):
    serializer_class = ColumnsSerializer

    def get_queryset(self) -> QuerySet[Bead]:
        return filtered(self.request.query_params)


def raw(request: HttpRequest) -> HttpResponse:
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    beads = filtered(request.GET)
    total = beads.count()
    rows = list(beads.values(*FIELDS)[: int(request.GET["limit"])])
    return HttpResponse(
        orjson.dumps(rows), content_type="application/json", headers={"X-Total-Count": str(total)}
    )


urlpatterns = [
    path("bench/drf", Bare.as_view()),
    path("bench/columns", BareColumns.as_view()),
    path("bench/raw", raw),
    path("", include("loom_site.urls")),
]

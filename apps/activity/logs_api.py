"""The API of the log: what the platform did, for people who may not look at the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from django.db.models import QuerySet
from django.http import HttpResponse
from django.urls import path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request

from apps.accounts.api import TenantViewSet
from apps.activity.interests import MAX_WORDS, numbers, words
from apps.activity.logs import CHANNEL
from apps.activity.models import LogEntry
from apps.activity.sight import Sight
from apps.activity.sse import frame
from apps.activity.streams_api import SHARED_PARAMETERS, AnyAccept, StreamView
from apps.activity.wire import dumped, log_body
from apps.beads.models import Bead
from apps.core import api_lists
from apps.core.api_pages import Envelope
from apps.core.errors import BadInput
from apps.core.tables import csv_lines
from apps.events.feed import Feed
from apps.events.position import Position

MOST_EXPORTED = 50_000
RECENT = 50
COLUMNS = ("Timestamp", "Level", "Source", "Message", "Metadata")
LEVELS = "Of these levels."
SOURCES = "From these parts of Loom, such as `agents.loop`."


@dataclass(frozen=True)
class LogInterest:
    sight: Sight
    levels: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    projects: frozenset[int] = frozenset()
    agents: frozenset[int] = frozenset()
    beads: frozenset[int] | None = None

    def wants(self, row: LogEntry) -> bool:
        return (
            self.sight.allows(row.organization_id, row.project_id)
            and (not self.levels or row.level in self.levels)
            and (not self.sources or row.source in self.sources)
            and (not self.projects or row.project_id in self.projects)
            and (not self.agents or row.agent_id in self.agents)
            and (self.beads is None or row.bead_id in self.beads)
        )

    def filter(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        wanted = {
            "level__in": self.levels,
            "source__in": self.sources,
            "project_id__in": self.projects,
            "agent_id__in": self.agents,
        }
        rows = rows.filter(self.sight.condition(), **{name: value for name, value in wanted.items() if value})
        return rows if self.beads is None else rows.filter(bead_id__in=self.beads)

    def seeing(self, sight: Sight) -> LogInterest:
        return replace(self, sight=sight)


def log_frames(placed: Sequence[tuple[LogEntry, Position]]) -> list[bytes]:
    return [frame("log", dumped(log_body(row)), position) for row, position in placed]


LOGS = Feed(CHANNEL, LogEntry.objects.all, log_frames)


class LogBody(serializers.BaseSerializer[LogEntry]):
    def to_representation(self, instance: LogEntry) -> dict[str, Any]:
        return log_body(instance)


class LogSchema(serializers.Serializer[Any]):
    id = serializers.CharField()
    timestamp = serializers.DateTimeField()
    level = serializers.ChoiceField(LogEntry.Level.choices)
    source = serializers.CharField()  # type: ignore[assignment]
    message = serializers.CharField()
    metadata = serializers.DictField(required=False)


class LogFile(serializers.Serializer[Any]):
    logs = LogSchema(many=True)
    count = serializers.IntegerField()


class LogPages(Envelope):
    name = "logs"


def about_beads(rows: QuerySet[Any], keys: Sequence[str]) -> QuerySet[Any]:
    return rows.filter(bead_id__in=Bead.objects.filter(key__in=keys).values("pk"))


def _filters(since: str, until: str) -> dict[str, api_lists.Filter]:
    return {
        "level": api_lists.words("level", choices=LogEntry.Level.values, help=LEVELS),
        "source": api_lists.words("source", help=SOURCES),
        "project_id": api_lists.numbers("project_id"),
        "agent_id": api_lists.numbers("agent_id"),
        "bead_id": api_lists.words(about_beads, help="Keys of beads."),
        since: api_lists.moment("timestamp__gte", help="Not older."),
        until: api_lists.moment("timestamp__lte", help="Not newer."),
    }


class _LogViewSet(TenantViewSet):
    resource = "logs"
    organization_path = "organization_id"
    serializer_class = LogBody

    def get_queryset(self) -> QuerySet[LogEntry]:
        return LogEntry.objects.for_user(self.request.user).order_by("-id")


@extend_schema_view(list=extend_schema(responses=LogSchema(many=True)))
class RecentLogs(_LogViewSet):
    """Newest first. Lines about the installation itself are for its operators."""

    pagination_class = LogPages
    filters = _filters("since", "until")
    search_fields = ("message",)
    orderings = {"id": "id"}


class ExportedLogs(_LogViewSet):
    """The same as a file."""

    filters = _filters("start_time", "end_time")
    content_negotiation_class = AnyAccept  # `format` is ours here
    list_is_object = True

    @extend_schema(
        parameters=[OpenApiParameter("format", str, enum=["json", "csv"])],
        responses={(200, "application/json"): LogFile, (200, "text/csv"): OpenApiTypes.STR},
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        form = request.query_params.get("format", "json")
        if form not in _WRITERS:
            raise BadInput("format must be json or csv.", details={"field": "format"})
        rows = self.filter_queryset(self.get_queryset())[:MOST_EXPORTED]
        content_type, write = _WRITERS[form]
        name = f"logs-{timezone.now():%Y-%m-%d}.{form}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return HttpResponse(write(list(rows)), content_type=content_type, headers=headers)


def _json(rows: list[LogEntry]) -> bytes:
    return dumped({"logs": [log_body(row) for row in rows], "count": len(rows)})


def _csv(rows: list[LogEntry]) -> str:
    return "".join(csv_lines([COLUMNS, *map(_cells, rows)]))


def _cells(row: LogEntry) -> list[str]:
    metadata = orjson.dumps(log_body(row).get("metadata", {})).decode()
    return [row.timestamp.isoformat(), row.level, row.source, row.message, metadata]


_WRITERS: dict[str, Any] = {"json": ("application/json", _json), "csv": ("text/csv; charset=utf-8", _csv)}


@extend_schema_view(
    get=extend_schema(
        parameters=[
            OpenApiParameter("level", str, many=True, enum=LogEntry.Level.values, description=LEVELS),
            OpenApiParameter("source", str, many=True, description=SOURCES),
            OpenApiParameter("project_id", int, many=True),
            OpenApiParameter("agent_id", int, many=True),
            OpenApiParameter("bead_id", str, many=True, description="Keys of beads."),
            *SHARED_PARAMETERS,
        ]
    )
)
class LogStream(StreamView):
    """Lines of the log as they are written, after the latest that are there."""

    resource = "logs"
    feed = LOGS
    message = "Connected to log stream"
    recent = RECENT

    def interest(self, request: Request, sight: Sight) -> LogInterest:
        asked = request.query_params
        levels = tuple(sorted(words(asked, "level")))
        if not set(levels) <= set(LogEntry.Level.values):
            raise BadInput(f"level must be one of: {', '.join(LogEntry.Level.values)}.")
        keys = words(asked, "bead_id")[:MAX_WORDS]
        beads = Bead.objects.for_user(request.user).filter(key__in=keys).values_list("pk", flat=True)
        return LogInterest(
            sight,
            levels,
            tuple(sorted(words(asked, "source"))),
            numbers(asked, "project_id", "project"),
            numbers(asked, "agent_id"),
            frozenset(beads) if keys else None,
        )


urlpatterns = [
    path("logs/recent", RecentLogs.as_view({"get": "list"}), name="logs-recent"),
    path("logs/stream", LogStream.as_view(), name="logs-stream"),
    path("logs/export", ExportedLogs.as_view({"get": "list"}), name="logs-export"),
]

"""Lines of the log, by who may read them and what is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.apps import apps
from django.db.models import QuerySet

from apps.accounts.permissions import rows_with
from apps.activity.models import LogEntry
from apps.agents.models import Agent
from apps.dashboard.queries_lists import beads_by_id
from apps.projects.models import Project

LINES = 60
AROUND = 20
SHORT = 300  # of a message, where it is one of many
AGENTS = 100
READ = "logs:read"
LEVELS = {"debug": "Everything", "info": "Info and above", "warn": "Warnings and errors", "error": "Errors"}
SHAPES = {"debug": "waiting", "info": "open", "warn": "person", "error": "failed"}


@dataclass(frozen=True)
class Wanted:
    """`level` is the least; `upto` stops at a line, `before` goes back from it, `line` is one alone."""

    level: str = "debug"
    source: str = ""
    text: str = ""
    project: Project | None = None
    agent: int = 0
    upto: int = 0
    before: int = 0
    line: int = 0

    def rows(self, user: Any) -> QuerySet[LogEntry]:
        rows: QuerySet[LogEntry] = rows_with(user, READ, LogEntry.objects.all(), "organization_id")
        levels = LogEntry.Level.values
        if self.level in levels[1:]:
            rows = rows.filter(level__in=levels[levels.index(self.level) :])
        if self.source:
            rows = rows.filter(source__startswith=self.source)
        if self.text:
            rows = rows.filter(message__icontains=self.text)
        if self.project is not None:
            rows = rows.filter(project_id=self.project.pk)
        return rows.filter(agent_id=self.agent) if self.agent else rows


@dataclass(frozen=True)
class Line:
    entry: LogEntry
    shape: str
    project: str
    agent: str
    bead: str

    @property
    def is_long(self) -> bool:
        return len(self.entry.message) > SHORT or bool(self.entry.metadata)


class Logged(NamedTuple):
    """What is shown of an entry: that which is the same looks the same."""

    pk: int
    level: str
    timestamp: datetime
    source: str
    message: str
    project_id: int | None


def newest_line(user: Any) -> int:
    rows = rows_with(user, READ, LogEntry.objects.all(), "organization_id")
    return rows.order_by("-id").values_list("pk", flat=True).first() or 0


def lines_of(user: Any, wanted: Wanted) -> tuple[list[Line], bool]:
    """Newest first, and whether there are older ones."""
    rows = wanted.rows(user).order_by("-id")
    if wanted.line:
        later = list(rows.filter(pk__gte=wanted.line).order_by("id")[: AROUND + 1])
        return _told([*reversed(later), *rows.filter(pk__lt=wanted.line)[:AROUND]]), False
    if last := wanted.before or wanted.upto:
        rows = rows.filter(pk__lt=last + (not wanted.before))
    found = list(rows[: LINES + 1])
    return _told(found[:LINES]), len(found) > LINES


def _told(rows: list[LogEntry]) -> list[Line]:
    beads = beads_by_id({row.bead_id for row in rows})
    agents = dict(Agent.objects.filter(pk__in={row.agent_id for row in rows}).values_list("pk", "name"))
    projects = dict(Project.objects.filter(pk__in={row.project_id for row in rows}).values_list("pk", "name"))
    return [
        Line(
            row,
            SHAPES[row.level],
            projects.get(row.project_id or 0, ""),
            agents.get(row.agent_id or 0, ""),
            bead.key if (bead := beads.get(row.bead_id or 0)) else "",
        )
        for row in rows
    ]


def agents_of(user: Any, project: Project | None) -> list[tuple[int, str]]:
    """Whose lines can be asked for."""
    rows = Agent.objects.for_user(user)
    rows = rows.filter(project=project) if project else rows
    return list(rows.order_by("name", "id").values_list("pk", "name")[:AGENTS])


def sources() -> list[str]:
    """The parts of Loom that log."""
    return sorted(config.label for config in apps.get_app_configs() if config.name.startswith("apps."))

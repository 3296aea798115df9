"""Board and list of a project: beads by column, filtered by what the address says."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.db import connection
from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Sum,
    TextField,
    Value,
    When,
    Window,
)
from django.db.models.functions import Cast, RowNumber

from apps.beads.models import WORKABLE, Bead, Dependency
from apps.core.lookup import Statement
from apps.dashboard.queries import SHOWN, BeadLine, bead_lines
from apps.decisions.models import Decision
from apps.projects.models import Project, Requirement

PRIORITIES = tuple("01234")
PER_COLUMN = 14
PER_LANE = 3
LANES = 12
PER_PAGE = 60
REQUIREMENTS = 200
PROVING = (Bead.Stage.VERIFYING, Bead.Stage.REVIEWING, Bead.Stage.QUEUED, Bead.Stage.MERGING)

# Column -> words, state whose shape it shows, what `move` calls the way there ("" if only work leads there).
COLUMNS = {
    "waiting": ("Waiting", "waiting", ""),
    "ready": ("Ready", "open", "ready"),
    "working": ("Working", "working", ""),
    "person": ("Needs you", "person", "hold"),
    "proving": ("Proving", "working", ""),
    "done": ("Done", "done", "close"),
}
KEYS = Prefetch("requirements", Requirement.objects.only("key", "project_id"))
MOVES = {"ready": "Ready", "hold": "Needs you", "close": "Done"}
SORTS = {
    "title": "title",
    "priority": "priority",
    "state": "place",
    "role": "role",
    "assignee": "assigned_to",
    "cost": "cost",
    "changed": "updated_at",
}


@dataclass(frozen=True)
class Filters:
    """What of the beads is shown; empty means all."""

    text: str = ""
    type: str = ""
    priority: str = ""
    role: str = ""
    assignee: str = ""
    label: str = ""
    requirement: str = ""
    state: str = ""

    @classmethod
    def read(cls, given: Any) -> Filters:
        return cls(**{name: given.get(name, "")[:120] for name in cls.__dataclass_fields__})

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__dataclass_fields__)

    def apply(self, beads: QuerySet[Bead]) -> QuerySet[Bead]:
        plain = {
            "type": "type",
            "role": "role",
            "assignee": "assigned_to",
            "requirement": "requirements__key",
        }
        beads = beads.filter(
            **{path: value for name, path in plain.items() if (value := getattr(self, name))}
        )
        if self.priority in PRIORITIES:
            beads = beads.filter(priority=int(self.priority))
        if self.text:
            beads = beads.filter(Q(title__icontains=self.text) | Q(key__icontains=self.text))
        if self.label:
            beads = _labeled(beads, self.label)
        return beads.filter(Q(place=self.state)) if self.state in COLUMNS else beads


def _labeled(beads: QuerySet[Bead], label: str) -> QuerySet[Bead]:
    if connection.vendor == "postgresql":
        return beads.filter(labels__contains=[label])
    return beads.annotate(label_text=Cast("labels", TextField())).filter(label_text__contains=f'"{label}"')


def beads_placed(project_id: int) -> QuerySet[Bead]:
    """The project's work with the column each bead stands in as `place`."""
    blocked = Dependency.objects.filter(bead=OuterRef("pk"), kind=Dependency.Kind.BLOCKS).exclude(
        blocker__status=Bead.Status.CLOSED
    )
    asked = Decision.objects.open().filter(bead=OuterRef("pk"), needs_person=True)
    place = Case(
        When(status=Bead.Status.CLOSED, then=Value("done")),
        When(Q(status=Bead.Status.BLOCKED) | Exists(asked), then=Value("person")),
        When(status=Bead.Status.IN_PROGRESS, stage__in=PROVING, then=Value("proving")),
        When(status=Bead.Status.IN_PROGRESS, then=Value("working")),
        When(Q(status=Bead.Status.DEFERRED) | Exists(blocked), then=Value("waiting")),
        default=Value("ready"),
    )
    return Bead.objects.filter(project=project_id, type__in=WORKABLE).annotate(place=place)


@dataclass
class Column:
    name: str
    words: str
    state: str
    to: str
    total: int = 0
    lines: list[BeadLine] = field(default_factory=list)

    @property
    def hidden(self) -> int:
        return max(0, self.total - len(self.lines))


@dataclass
class Lane:
    title: str
    key: str
    columns: list[Column]


def board_of(project: Project, filters: Filters, *, by_epic: bool) -> list[Lane]:
    """Columns, in one lane or in one per epic; each shows what matters first and counts the others."""
    shown = _first(project, filters, by_epic=by_epic)
    epics = _epics(project, {line.bead.parent_id for line in shown}) if by_epic else {None: ("", "")}
    lanes = {pk: Lane(title, key, _columns()) for pk, (title, key) in list(epics.items())[:LANES]}
    for line in shown:
        lane = lanes.get(line.bead.parent_id if by_epic else None)
        if lane is not None:
            column = _column(lane, vars(line.bead)["place"])
            column.lines.append(line)
            column.total = vars(line.bead)["total"]
    return list(lanes.values())


def _columns() -> list[Column]:
    return [Column(name, words, state, to) for name, (words, state, to) in COLUMNS.items()]


def _column(lane: Lane, name: str) -> Column:
    return next(column for column in lane.columns if column.name == name)


def _epics(project: Project, wanted: set[int | None]) -> dict[int | None, tuple[str, str]]:
    rows = Bead.objects.filter(project=project, pk__in=[pk for pk in wanted if pk]).order_by("priority", "id")
    found: dict[int | None, tuple[str, str]] = {
        pk: (title, key) for pk, title, key in rows.values_list("pk", "title", "key")
    }
    if None in wanted or not found:
        found[None] = ("Without an epic", "")
    return found


def _first(project: Project, filters: Filters, *, by_epic: bool) -> list[BeadLine]:
    """The first of each column, of what is done the newest; each with how many its column has."""
    first = _ranked(project.pk, filters, by_epic)
    found = {pk: counted for pk, *counted in first.fetch()} if first else {}
    rows = Bead.objects.only(*SHOWN).prefetch_related(KEYS).in_bulk(found)
    shown = [rows[pk] for pk in found if pk in rows]  # unless it went meanwhile
    for bead in shown:
        vars(bead).update(zip(("place", "total"), found[bead.pk], strict=True))
    return bead_lines(shown)


@lru_cache(maxsize=256)  # to build it takes longer than to run it
def _ranked(project_id: int, filters: Filters, by_epic: bool) -> Statement | None:
    """Key, column and how many its column has, of what is shown first."""
    placed = filters.apply(beads_placed(project_id))
    group = [F("parent_id"), F("place")] if by_epic else [F("place")]
    order: list[Any] = [F("closed_at").desc(nulls_last=True), F("priority"), F("id")]
    ranked = placed.annotate(
        rank=Window(RowNumber(), partition_by=group, order_by=order),
        total=Window(Count("pk"), partition_by=group),
    )
    first = ranked.filter(rank__lte=PER_LANE if by_epic else PER_COLUMN).order_by("rank", "pk")
    return Statement.of(first.values_list("pk", "place", "total"))


def list_of(project: Project, filters: Filters, sort: str, *, descending: bool) -> QuerySet[Bead]:
    rows = filters.apply(beads_placed(project.pk)).annotate(cost=Sum("sessions__cost_microusd"))
    order = F(SORTS.get(sort, "priority"))
    by = order.desc(nulls_last=True) if descending else order.asc(nulls_last=True)
    return rows.order_by(by, "id").only(*SHOWN, "updated_at").prefetch_related(KEYS)


def choices_of(project: Project) -> dict[str, list[str]]:
    """What the filters offer: values that beads of the project have."""
    found: dict[str, set[str]] = defaultdict(set)
    rows = Bead.objects.filter(project=project, type__in=WORKABLE)
    for kind, role, assignee in rows.order_by().values_list("type", "role", "assigned_to").distinct():
        for name, value in (("type", kind), ("role", role), ("assignee", assignee)):
            if value:
                found[name].add(value)
    labels = rows.exclude(labels=[]).order_by().values_list("labels", flat=True).distinct()[:500]
    found["label"] = {str(label) for row in labels for label in row}
    found["requirement"] = set(project.requirements.values_list("key", flat=True)[:REQUIREMENTS])
    return {name: sorted(values) for name, values in found.items()}

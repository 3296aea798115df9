"""The work graph and the coverage of requirements by stories."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Prefetch

from apps.beads.models import WORKABLE, Bead, Dependency
from apps.dashboard.graph import Drawing, Node, draw
from apps.dashboard.queries_board import COLUMNS, beads_placed
from apps.projects.models import Project, Requirement

NODES = 200
STORIES = 60
CELLS = 2400  # of a matrix, so that its page stays small
REQUIREMENTS = 200


def graph_of(project: Project, most: int = NODES) -> tuple[Drawing, int]:
    """The drawing of all work, or of what is not done where all is too much; and how many are left out."""
    placed = beads_placed(project.pk)
    total = placed.count()
    rows = list(
        placed.only("key", "title", "status", "type").order_by("closed_at", "priority", "id")
        if total <= most
        else placed.exclude(status=Bead.Status.CLOSED)
        .only("key", "title", "status", "type")
        .order_by("priority", "id")
    )[:most]
    ids = [row.pk for row in rows]
    blockers: dict[int, list[int]] = defaultdict(list)
    ties = Dependency.objects.filter(bead__project=project, kind=Dependency.Kind.BLOCKS)
    for bead_id, blocker_id in ties.order_by("id").values_list("bead_id", "blocker_id"):
        blockers[bead_id].append(blocker_id)
    nodes = [
        Node(
            id=row.pk,
            key=row.key,
            title=row.title,
            state=COLUMNS[vars(row)["place"]][1],
            is_done=row.status == Bead.Status.CLOSED,
        )
        for row in rows
    ]
    return draw(nodes, blockers), total - len(ids)


class Serving(NamedTuple):
    """A story as coverage shows it."""

    pk: int
    key: str
    title: str
    status: str
    merged_commit: str


class Story(NamedTuple):
    """All that the row of a story in a plan shows: those that show the same are the same."""

    pk: int
    key: str
    title: str
    role: str
    status: str
    merged_commit: str
    criteria: int
    requirements: tuple[str, ...]

    @classmethod
    def of(cls, bead: Bead) -> Story:
        return cls(
            bead.pk,
            bead.key,
            bead.title,
            bead.role,
            bead.status,
            bead.merged_commit,
            len(bead.acceptance),
            tuple(row.key for row in vars(bead)["served"]),
        )


@dataclass(frozen=True)
class Covered:
    requirement: Requirement
    state: str  # of the six; waiting if no story serves it
    words: str
    stories: list[Serving]


@dataclass(frozen=True)
class Coverage:
    rows: list[Covered]
    stories: list[Serving]  # columns of the matrix; empty if there are too many for one
    covered: int
    merged: int


def coverage_of(project: Project) -> Coverage:
    requirements = list(
        project.requirements.filter(status=Requirement.Status.ACTIVE).order_by("position")[:REQUIREMENTS]
    )
    through = Bead.requirements.through._default_manager.filter(bead__project=project)
    links = list(through.order_by("bead_id").values_list("requirement_id", "bead_id"))
    tied = {bead_id for _, bead_id in links}
    work = Bead.objects.filter(project=project, type__in=WORKABLE).order_by("id")
    rows_of = map(Serving._make, work.values_list(*Serving._fields))
    stories = {row.pk: row for row in rows_of if row.pk in tied}
    serving: dict[int, list[Serving]] = defaultdict(list)
    for requirement_id, bead_id in links:
        if bead_id in stories:
            serving[requirement_id].append(stories[bead_id])
    rows = [_covered(row, serving[row.pk]) for row in requirements]
    is_small = len(stories) <= STORIES and len(stories) * len(requirements) <= CELLS
    return Coverage(
        rows=rows,
        stories=list(stories.values()) if is_small else [],
        covered=sum(bool(row.stories) for row in rows),
        merged=sum(row.state == "done" for row in rows),
    )


def _covered(requirement: Requirement, stories: list[Serving]) -> Covered:
    if not stories:
        return Covered(requirement, "person", "no story serves it", stories)
    if all(bead.merged_commit for bead in stories):
        return Covered(requirement, "done", "merged", stories)
    is_begun = any(bead.status in {Bead.Status.IN_PROGRESS, Bead.Status.CLOSED} for bead in stories)
    return Covered(
        requirement, "working" if is_begun else "open", "in work" if is_begun else "planned", stories
    )


def planned(project: Project) -> list[Bead]:
    """The stories of a plan that waits for approval, or of one that was approved, as they stand now."""
    rows = Bead.objects.filter(project=project, type__in=WORKABLE).exclude(
        status=Bead.Status.CLOSED, merged_commit=""
    )
    rows = rows.only(
        "key",
        "title",
        "description",
        "role",
        "status",
        "priority",
        "acceptance",
        "merged_commit",
        "project_id",
    )
    served = Prefetch("requirements", Requirement.objects.only("key"), to_attr="served")
    return list(rows.prefetch_related(served).order_by("id")[:NODES])

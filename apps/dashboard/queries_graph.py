"""The work graph and the coverage of requirements by stories."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

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
    placed = beads_placed(project)
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


@dataclass(frozen=True)
class Covered:
    requirement: Requirement
    state: str  # of the six; waiting if no story serves it
    words: str
    stories: list[Bead]


@dataclass(frozen=True)
class Coverage:
    rows: list[Covered]
    stories: list[Bead]  # columns of the matrix; empty if there are too many for one
    covered: int
    merged: int


def coverage_of(project: Project) -> Coverage:
    requirements = list(
        project.requirements.filter(status=Requirement.Status.ACTIVE).order_by("position")[:REQUIREMENTS]
    )
    stories = {
        row.pk: row
        for row in Bead.objects.filter(project=project, type__in=WORKABLE, requirements__isnull=False)
        .only("key", "title", "status", "merged_commit", "project_id")
        .distinct()
        .order_by("id")
    }
    serving: dict[int, list[Bead]] = defaultdict(list)
    through = Bead.requirements.through
    links = through._default_manager.filter(bead__project=project).order_by("bead_id")
    for requirement_id, bead_id in links.values_list("requirement_id", "bead_id"):
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


def _covered(requirement: Requirement, stories: list[Bead]) -> Covered:
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
    return list(rows.prefetch_related("requirements").order_by("id")[:NODES])

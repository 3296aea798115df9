"""What people change about a bead at once: its words, its place, its edges, whose it is and its status."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.beads.models import Bead, Dependency
from apps.beads.services import (
    TEXTS,
    bead_block,
    bead_claim,
    bead_close,
    bead_reopen,
    bead_tell,
    bead_update,
    beads_announce,
    dependency_add,
)
from apps.core.errors import BadInput, Conflict
from apps.core.states import move
from apps.engine.models import Run
from apps.projects.models import Project

EDGES = ("blocked_by", "blocks", "related_to")


@transaction.atomic
def bead_change(*, bead: Bead, actor: str = "", reason: str = "", **changes: Any) -> Bead:
    """All of the changes or none: fields of `bead_update`, `parent`, `children`, the edges, `assigned_to`,
    `status`. Edges are given whole; `context` is merged, and a null takes a key out."""
    Project.objects.locked(bead.project_id)
    bead = Bead.objects.select_related("project").get(pk=bead.pk)
    if "context" in changes:
        changes["context"] = _merged(bead.context, changes["context"])
    texts = {
        name: changes[name] for name in TEXTS if name in changes and getattr(bead, name) != changes[name]
    }
    if texts:
        bead_update(bead=bead, actor=actor, **texts)
    if "parent" in changes:
        bead_move(bead=bead, parent=changes["parent"], actor=actor)
    for child in changes.get("children", ()):
        bead_move(bead=child, parent=bead, actor=actor)
    for name in EDGES:
        if name in changes:
            _edges_set(bead, name, changes[name], actor=actor)
    if "assigned_to" in changes:
        bead_assign(bead=bead, assigned_to=changes["assigned_to"], actor=actor)
    if changes.get("status", bead.status) != bead.status:
        assigned = changes.get("assigned_to") or bead.assigned_to
        _status_set(bead, changes["status"], reason=reason, assigned_to=assigned, actor=actor)
    return Bead.objects.select_related("project").get(pk=bead.pk)


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = {**old, **new}
    return {name: value for name, value in merged.items() if value is not None}


def _status_set(bead: Bead, status: str, *, reason: str, assigned_to: str, actor: str) -> None:
    match status:
        case Bead.Status.CLOSED:
            bead_finish(bead=bead, reason=reason or f"Closed by {actor}.", actor=actor)
        case Bead.Status.OPEN if bead.status == Bead.Status.IN_PROGRESS:
            bead_release(bead=bead, reason=reason, actor=actor)
        case Bead.Status.OPEN:
            bead_reopen(bead=bead, reason=reason, actor=actor)
        case Bead.Status.BLOCKED:
            if bead.status not in {Bead.Status.OPEN, Bead.Status.IN_PROGRESS}:
                raise Conflict(f"{bead.key} is {bead.status} and cannot be blocked.", hint="Open it first.")
            bead_block(bead=bead, reason=reason or f"Blocked by {actor}.", actor=actor)
        case Bead.Status.DEFERRED:
            bead_defer(bead=bead, actor=actor)
        case Bead.Status.IN_PROGRESS:
            if not bead_claim(bead=bead, agent=assigned_to or actor):
                raise Conflict(f"{bead.key} is not ready: it is {bead.status}, or waits for others.")
        case _:
            raise BadInput(f"{status!r} is no status of a bead.", details={"field": "status"})


def _is_at_work(bead: Bead) -> bool:
    return Run.objects.unfinished().filter(bead_id=bead.pk, cancel_requested=False).exists()


@transaction.atomic
def bead_finish(*, bead: Bead, reason: str, actor: str = "") -> None:
    """Close a bead by hand; Conflict while its run is at work, or if it is closed."""
    Project.objects.locked(bead.project_id)
    status = Bead.objects.values_list("status", flat=True).get(pk=bead.pk)
    at_work = Run.objects.unfinished().filter(bead_id=bead.pk, cancel_requested=False)
    if status == Bead.Status.BLOCKED:  # what waits or is paused ends with the bead; not what was resumed
        at_work = at_work.filter(parent=None, status=Run.Status.RUNNING, pause_requested=False)
    if status in {Bead.Status.IN_PROGRESS, Bead.Status.BLOCKED} and at_work.exists():
        raise Conflict(f"{bead.key} is being worked on.", hint="Cancel its run first.")
    if not bead_close(bead=bead, reason=reason, actor=actor):
        raise Conflict(f"{bead.key} is closed already.")


@transaction.atomic
def bead_release(*, bead: Bead, reason: str = "", actor: str = "") -> None:
    """Give a bead back that somebody holds without a run, so that it is dispatched again."""
    if _is_at_work(bead):
        raise Conflict(f"{bead.key} is being worked on.", hint="Redispatch it, or cancel its run.")
    if not move(
        Bead.objects.filter(pk=bead.pk),
        to=Bead.Status.OPEN,
        allowed={Bead.Status.IN_PROGRESS},
        assigned_to="",
        stage=Bead.Stage.NONE,
    ):
        raise Conflict(f"Nobody holds {bead.key}.")
    bead_tell(bead, "bead.reopened", actor=actor, reason=reason)
    bead_tell(bead, "bead.status_change", actor=actor, status=Bead.Status.OPEN, reason=reason)
    beads_announce(bead_ids=[bead.pk])


@transaction.atomic
def bead_defer(*, bead: Bead, actor: str = "") -> None:
    """Put an open bead off: nobody starts it until it is opened again."""
    if not move(Bead.objects.filter(pk=bead.pk), to=Bead.Status.DEFERRED, allowed={Bead.Status.OPEN}):
        raise Conflict(f"{bead.key} is {bead.status}; only an open bead is put off.")
    bead_tell(bead, "bead.status_change", actor=actor, status=Bead.Status.DEFERRED)


@transaction.atomic
def bead_assign(*, bead: Bead, assigned_to: str, actor: str = "") -> None:
    """Say whose a bead is. Who is at work on it stays; an open one is only marked."""
    if bead.status == Bead.Status.IN_PROGRESS and _is_at_work(bead):
        raise Conflict(f"{bead.assigned_to} is at work on {bead.key}.", hint="Redispatch it to change that.")
    rows = Bead.objects.filter(pk=bead.pk).exclude(assigned_to=assigned_to)
    if rows.update(assigned_to=assigned_to, updated_at=timezone.now()):
        bead_tell(bead, "bead.assigned", actor=actor, assigned_to=assigned_to, agent=assigned_to)


@transaction.atomic
def bead_move(*, bead: Bead, parent: Bead | None, actor: str = "") -> None:
    """Put a bead below another of its project, or below none."""
    if parent is not None:
        if parent.project_id != bead.project_id:
            raise BadInput("The parent of a bead belongs to its own project.", details={"field": "parent"})
        _refuse_circle(bead, parent)
    if bead.parent_id != (parent.pk if parent else None):
        Bead.objects.filter(pk=bead.pk).update(parent=parent, updated_at=timezone.now())
        bead_tell(bead, "bead.updated", actor=actor, fields=["parent"])


def _refuse_circle(bead: Bead, parent: Bead) -> None:
    seen: set[int] = set()
    above: int | None = parent.pk
    while above is not None and above not in seen:
        if above == bead.pk:
            raise Conflict(f"{bead.key} cannot be below {parent.key}: that would be a circle.")
        seen.add(above)
        above = Bead.objects.values_list("parent_id", flat=True).get(pk=above)


def _edges_set(bead: Bead, name: str, wanted: Collection[Bead], *, actor: str) -> None:
    """Make the edges of one sort those given."""
    kind = Dependency.Kind.RELATED if name == "related_to" else Dependency.Kind.BLOCKS
    rows = bead.dependents if name == "blocks" else bead.dependencies
    other = "bead_id" if name == "blocks" else "blocker_id"
    there = dict(rows.filter(kind=kind).values_list(other, "pk"))
    if gone := set(there) - {each.pk for each in wanted}:
        Dependency.objects.filter(pk__in=[there[pk] for pk in gone]).delete()
        bead_tell(bead, "bead.updated", actor=actor, fields=[name])
        beads_announce(bead_ids=[bead.pk, *gone])
    for each in wanted:
        if each.pk in there:
            continue
        if kind == Dependency.Kind.RELATED:
            relation_add(bead=bead, other=each, actor=actor)
        elif name == "blocks":
            dependency_add(bead=each, blocker=bead, actor=actor)
        else:
            dependency_add(bead=bead, blocker=each, actor=actor)


@transaction.atomic
def relation_add(*, bead: Bead, other: Bead, actor: str = "") -> None:
    """Two beads have to do with each other; neither waits."""
    if bead.project_id != other.project_id or bead.pk == other.pk:
        raise BadInput("A bead is related to other beads of its own project.")
    _, created = Dependency.objects.get_or_create(bead=bead, blocker=other, kind=Dependency.Kind.RELATED)
    if created:
        bead_tell(bead, "bead.updated", actor=actor, fields=["related_to"])

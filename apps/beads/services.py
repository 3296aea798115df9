"""Writes to beads and their dependencies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.beads.graph import find_cycle
from apps.beads.models import WORKABLE, Bead, Dependency
from apps.core.errors import BadInput, Conflict
from apps.core.sql import execute_rows
from apps.core.states import move
from apps.core.together import Sent
from apps.engine.models import Run
from apps.events.bus import Fact, emit, emit_all
from apps.projects.models import Project, Requirement

_reopen_objections: list[Callable[[Bead], None]] = []

TITLE_CHARS = 500
TEXTS = (
    "title",
    "type",
    "description",
    "acceptance",
    "paths",
    "priority",
    "role",
    "labels",
    "context",
    "due_date",
    "estimated_minutes",
)


def _fact(bead: Bead, kind: str, *, actor: str = "", **data: Any) -> Fact:
    return Fact(
        kind,
        organization_id=bead.project.organization_id,
        project_id=bead.project_id,
        bead_id=bead.pk,
        subject=f"bead:{bead.key}",
        actor=actor,
        data={"bead_id": bead.key, "title": bead.title, **data},
    )


def bead_tell(bead: Bead, kind: str, *, actor: str = "", **data: Any) -> None:
    emit_all([_fact(bead, kind, actor=actor, **data)])


def _tell_status(bead: Bead, kind: str, status: str, *, actor: str = "", **data: Any) -> None:
    """What happened, in its own kind, and the change of status that every client listens for."""
    change = {"status": status, **({"reason": data["reason"]} if data.get("reason") else {})}
    facts = [_fact(bead, kind, actor=actor, **data), _fact(bead, "bead.status_change", actor=actor, **change)]
    emit_all(facts)


@transaction.atomic
def bead_create(
    *,
    project: Project,
    title: str,
    type: str = Bead.Type.TASK,  # noqa: A002 - the field's own word
    description: str = "",
    acceptance: Iterable[str] = (),
    priority: int = 2,
    role: str = "",
    parent: Bead | None = None,
    blocked_by: Iterable[Bead] = (),
    requirements: Iterable[Requirement] = (),
    labels: Iterable[str] = (),
    status: str = Bead.Status.OPEN,
    origin: str = "",
    actor: str = "",
    **fields: Any,
) -> Bead:
    """A new bead; with an `origin` that was used before, the bead made then."""
    _check(title=title, type=type, priority=priority)
    requirements = list(requirements)
    _check_new(status, project, (*requirements, *([parent] if parent else ())))
    number = Project.objects.locked(project.pk).bead_counter + 1
    if origin and (known := Bead.objects.filter(project=project, origin=origin).first()):
        return known
    Project.objects.filter(pk=project.pk).update(bead_counter=number)
    bead = Bead.objects.create(
        project=project, key=f"{project.bead_prefix}-{number}", title=title.strip()[:TITLE_CHARS], type=type,
        description=description, acceptance=list(acceptance), priority=priority, role=role, parent=parent,
        labels=list(labels), status=status, origin=origin, **fields,
    )  # fmt: skip
    bead.requirements.set(requirements)
    bead_tell(bead, "bead.created", actor=actor, type=bead.type, priority=bead.priority, assigned_to="")
    for blocker in blocked_by:
        dependency_add(bead=bead, blocker=blocker, actor=actor)
    if parent is not None:
        _reopen_epic(parent.pk, actor=actor)
    beads_announce(bead_ids=[bead.pk])
    return bead


def _check(*, title: str, type: str, priority: int) -> None:  # noqa: A002 - the field's own word
    if not title.strip():
        raise BadInput("A bead needs a title.")
    if type not in Bead.Type.values:
        raise BadInput(
            f"{type!r} is no type of bead.", hint="Use one of: " + ", ".join(Bead.Type.values) + "."
        )
    if not 0 <= priority <= 4:
        raise BadInput("A priority goes from 0 (critical) to 4 (backlog).")


def _check_new(status: str, project: Project, others: Iterable[Bead | Requirement]) -> None:
    """`others` are what it belongs to and serves."""
    if status not in {Bead.Status.OPEN, Bead.Status.DEFERRED}:
        raise BadInput("A new bead is open or deferred.")
    if any(other.project_id != project.pk for other in others):
        raise BadInput("The parent and the requirements of a bead belong to its own project.")


@transaction.atomic
def bead_update(*, bead: Bead, actor: str = "", **changes: Any) -> None:
    """Change what a bead says; its status, place and history have services of their own."""
    if refused := sorted(set(changes) - set(TEXTS)):
        raise BadInput(f"{', '.join(refused)} of a bead cannot be set.")
    _check(
        title=changes.get("title", bead.title),
        type=changes.get("type", bead.type),
        priority=changes.get("priority", bead.priority),
    )
    if "title" in changes:
        changes["title"] = changes["title"].strip()[:TITLE_CHARS]
    if changes:
        Bead.objects.filter(pk=bead.pk).update(**changes, updated_at=timezone.now())
        bead_tell(bead, "bead.updated", actor=actor, fields=sorted(changes))


@transaction.atomic
def dependency_add(*, bead: Bead, blocker: Bead, actor: str = "") -> Dependency:
    """`bead` waits for `blocker`; refuses other projects and cycles."""
    if bead.project_id != blocker.project_id:
        raise BadInput("Beads of two projects cannot block each other.")
    # One writer of edges per project at a time: two edges that close a cycle only together are both seen.
    Project.objects.locked(bead.project_id)
    edges = _edges(bead.project_id)
    edges.setdefault(bead.pk, []).append(blocker.pk)
    if cycle := find_cycle(edges):
        keys = dict(Bead.objects.filter(pk__in=cycle).values_list("pk", "key"))
        path = " → ".join(keys[pk] for pk in cycle)
        raise Conflict(f"{bead.key} cannot wait for {blocker.key}: that would be a circle ({path}).")
    dependency, created = Dependency.objects.get_or_create(
        bead=bead, blocker=blocker, kind=Dependency.Kind.BLOCKS
    )
    if created:
        bead_tell(bead, "bead.blocked_by", actor=actor, blocker=blocker.key)
    return dependency


def _edges(project_id: int) -> dict[int, list[int]]:
    """What each bead of a project waits for; an epic waits for the beads below it."""
    blockers = Dependency.objects.filter(bead__project_id=project_id, kind=Dependency.Kind.BLOCKS)
    children = Bead.objects.filter(project_id=project_id, parent__type=Bead.Type.EPIC).order_by()
    edges: dict[int, list[int]] = {}
    for from_id, to_id in blockers.values_list("bead_id", "blocker_id"):
        edges.setdefault(from_id, []).append(to_id)
    for parent_id, child_id in children.values_list("parent_id", "pk"):
        edges.setdefault(parent_id or 0, []).append(child_id)
    return edges


@transaction.atomic
def beads_activate(*, project: Project, actor: str = "") -> int:
    """Open every deferred bead of an approved plan; how many."""
    Project.objects.locked(project.pk)
    deferred = Bead.objects.filter(project=project, status=Bead.Status.DEFERRED).order_by("pk")
    ids = list(deferred.select_for_update(no_key=True).values_list("pk", flat=True))
    Bead.objects.filter(pk__in=ids).update(status=Bead.Status.OPEN, updated_at=timezone.now())
    opened = Bead.objects.filter(pk__in=ids).select_related("project").defer("project__prd", "description")
    emit_all(_fact(bead, "bead.status_change", actor=actor, status=bead.status) for bead in opened)
    emit(
        "plan.activated",
        organization_id=project.organization_id,
        project_id=project.pk,
        subject=f"project:{project.slug}",
        actor=actor,
        beads=len(ids),
    )
    beads_announce(bead_ids=ids)
    return len(ids)


def beads_announce(*, bead_ids: Iterable[int]) -> None:
    """Say which of these are ready. The project is locked: of two last blockers one sees the other closed."""
    ready = (
        Bead.objects.filter(pk__in=bead_ids)
        .ready()
        .select_related("project")
        .defer("project__prd", "description")
    )
    emit_all(_fact(bead, "bead.ready", priority=bead.priority, role=bead.role) for bead in ready)


@transaction.atomic
def bead_claim(*, bead: Bead, agent: str) -> bool:
    """Give a ready bead to an agent; False if it is not ready any more."""
    won = move(
        Bead.objects.ready().filter(pk=bead.pk),
        to=Bead.Status.IN_PROGRESS,
        allowed={Bead.Status.OPEN},
        stage=Bead.Stage.WORKING,
        assigned_to=agent,
        attempts=F("attempts") + 1,
        started_at=Coalesce(F("started_at"), Value(timezone.now())),
    )
    if won:
        emit_all(_assigned(bead, agent))
    return won


def _assigned(bead: Bead, agent: str) -> tuple[Fact, Fact]:
    return (
        _fact(bead, "bead.assigned", actor=agent, agent=agent, assigned_to=agent),
        _fact(bead, "bead.status_change", actor=agent, status=Bead.Status.IN_PROGRESS),
    )


@transaction.atomic(savepoint=False)
def beads_claim(*, claims: Sequence[tuple[Bead, str]]) -> None:
    """Give open beads to the agents beside them, all or none; Conflict if one is not open any more."""
    if not claims:
        return
    now = timezone.now()

    def check(moved: Sent) -> None:
        if moved.count != len(claims):
            raise Conflict("A bead was taken or changed by somebody else.", hint="Try again.")

    execute_rows(
        "UPDATE beads_bead SET status = 'in_progress', stage = 'working', assigned_to = taken.column2,"
        " attempts = attempts + 1, started_at = COALESCE(started_at, %s), updated_at = %s"
        " FROM {rows} AS taken WHERE id = taken.column1 AND status = 'open'",
        [now, now],
        [(bead.pk, agent) for bead, agent in claims],
        then=check,
    )
    emit_all(fact for bead, agent in claims for fact in _assigned(bead, agent))


@transaction.atomic
def bead_stage(*, bead: Bead, stage: str, actor: str = "") -> None:
    """Say where the work stands; only while it is in progress."""
    changed = Bead.objects.filter(pk=bead.pk, status=Bead.Status.IN_PROGRESS).exclude(stage=stage)
    if changed.update(stage=stage, updated_at=timezone.now()):
        bead_tell(bead, "bead.stage", actor=actor, stage=stage)


@transaction.atomic
def bead_block(*, bead: Bead, reason: str, actor: str = "") -> None:
    """Stop work on a bead until a person decides; the reason is what they read."""
    if move(
        Bead.objects.filter(pk=bead.pk),
        to=Bead.Status.BLOCKED,
        allowed={Bead.Status.IN_PROGRESS, Bead.Status.OPEN},
        blocked_reason=reason,
        stage=Bead.Stage.NONE,
    ):
        _tell_status(bead, "bead.blocked", Bead.Status.BLOCKED, actor=actor, reason=reason)


def objects_to_reopen(objection: Callable[[Bead], None]) -> Callable[[Bead], None]:
    """Register what raises Conflict if a blocked bead is not to be reopened."""
    _reopen_objections.append(objection)
    return objection


@transaction.atomic
def bead_reopen(*, bead: Bead, reason: str = "", actor: str = "") -> None:
    """Make a blocked, deferred or closed bead workable again, and its epic with it."""
    Project.objects.locked(bead.project_id)
    current = Bead.objects.get(pk=bead.pk)
    if current.status in {Bead.Status.BLOCKED, Bead.Status.CLOSED}:
        _refuse_unfinished(current)
    for objection in _reopen_objections if current.status == Bead.Status.BLOCKED else ():
        objection(current)
    if not move(
        Bead.objects.filter(pk=bead.pk),
        to=Bead.Status.OPEN,
        allowed={Bead.Status.BLOCKED, Bead.Status.CLOSED, Bead.Status.DEFERRED},
        blocked_reason="",
        close_reason="",
        assigned_to="",
        closed_at=None,
        stage=Bead.Stage.NONE,
    ):
        raise Conflict(f"{bead.key} cannot be reopened: it is {current.status}.")
    _tell_status(bead, "bead.reopened", Bead.Status.OPEN, actor=actor, reason=reason)
    if current.parent_id is not None:
        _reopen_epic(current.parent_id, actor=actor)
    beads_announce(bead_ids=[bead.pk])


def _refuse_unfinished(bead: Bead) -> None:
    """What cleans up after the last work would take apart the work that begins meanwhile."""
    left = Run.objects.unfinished().filter(bead_id=bead.pk)
    if bead.status == Bead.Status.BLOCKED and left.filter(cancel_requested=False).exists():
        raise Conflict(
            f"Work on {bead.key} is not over, it waits for an answer.",
            hint="Answer its open question instead.",
        )
    if left.filter(parent=None).exists():
        raise Conflict(
            f"The last work on {bead.key} is still being ended.",
            hint="Try again in a moment. If it goes on like this, cancel its run.",
        )


def _reopen_epic(parent_id: int, *, actor: str) -> None:
    parent = Bead.objects.select_related("project").get(pk=parent_id)
    if parent.type == Bead.Type.EPIC and parent.status == Bead.Status.CLOSED:
        bead_reopen(bead=parent, reason="A bead below it is open.", actor=actor)


@transaction.atomic
def bead_close(*, bead: Bead, reason: str, commit: str = "", actor: str = "") -> bool:
    """Close a bead and make ready what waited for it; False if it was closed already."""
    # Before anything else: of two last blockers, or last children, the second sees the first as closed.
    Project.objects.locked(bead.project_id)
    closed = move(
        Bead.objects.filter(pk=bead.pk),
        to=Bead.Status.CLOSED,
        allowed=set(Bead.Status.values) - {Bead.Status.CLOSED},
        close_reason=reason,
        closed_at=timezone.now(),
        merged_commit=commit,
        blocked_reason="",
        stage=Bead.Stage.MERGED if commit else Bead.Stage.NONE,
    )
    if not closed:
        return False
    _tell_status(bead, "bead.closed", Bead.Status.CLOSED, actor=actor, reason=reason, commit=commit)
    bead_tell(bead, "bead.completed", actor=actor, commit=commit)
    waiting = bead.dependents.filter(kind=Dependency.Kind.BLOCKS)
    beads_announce(bead_ids=waiting.values_list("bead_id", flat=True))
    _close_finished_epic(bead.pk, actor=actor)
    return True


def _close_finished_epic(child_id: int, *, actor: str) -> None:
    epics = Bead.objects.filter(children=child_id, type=Bead.Type.EPIC).exclude(status=Bead.Status.CLOSED)
    epic = epics.select_related("project").first()
    if epic is not None and not epic.children.exclude(status=Bead.Status.CLOSED).exists():
        bead_close(bead=epic, reason="Every bead below it is closed.", actor=actor)


def project_is_finished(project_id: int) -> bool:
    """No workable bead is left open; of a perpetual project there is always more to do."""
    if Project.objects.filter(pk=project_id, is_perpetual=True).exists():
        return False
    return (
        not Bead.objects.filter(project_id=project_id, type__in=WORKABLE)
        .exclude(status__in=[Bead.Status.CLOSED])
        .exists()
    )


@transaction.atomic
def bead_resume(*, bead: Bead, actor: str = "") -> None:
    """Work on a blocked bead goes on; its run never ended."""
    if move(
        Bead.objects.filter(pk=bead.pk),
        to=Bead.Status.IN_PROGRESS,
        allowed={Bead.Status.BLOCKED},
        blocked_reason="",
        stage=Bead.Stage.WORKING,
    ):
        _tell_status(bead, "bead.resumed", Bead.Status.IN_PROGRESS, actor=actor)

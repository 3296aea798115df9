"""Writes to projects and their requirements."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.text import slugify

from apps.accounts.models import Organization, User
from apps.core.errors import BadInput, Conflict
from apps.core.states import move
from apps.events.bus import Fact, emit_all
from apps.projects.models import Project, ProjectComment, Requirement
from apps.projects.prd import requirement_keys, requirements_cut

PREFIX_TRIES = 1000
SETTINGS = (
    "name",
    "approval",
    "max_sessions",
    "checks",
    "allow_network",
    "allow_install",
    "is_perpetual",
    "is_sticky",
    "workflow",
    "out_dir",
    "git_repo",
    "context",
)


@transaction.atomic
def project_create(
    *,
    organization: Organization,
    name: str,
    prd: str = "",
    approval: str = Project.Approval.AUTO,
    max_sessions: int = 4,
    out_dir: str = "",
    allow_network: bool = False,
    allow_install: bool = False,
    actor: str = "",
    slug: str = "",
    **fields: Any,
) -> Project:
    """A new project; its slug (where none is given) and bead prefix are made from the name and are free.

    `fields` are settings.
    """
    _check(name=name, approval=approval, max_sessions=max_sessions)
    if refused := sorted(set(fields) - set(SETTINGS) - {"branch"}):
        raise BadInput(f"{', '.join(refused)} of a project cannot be set.")
    project = _insert_with_free_names(
        organization=organization,
        name=name.strip()[:200],
        slug=slug,
        prd=prd,
        prd_sha256=hashlib.sha256(prd.encode()).hexdigest() if prd else "",
        approval=approval,
        max_sessions=max_sessions,
        out_dir=out_dir,
        allow_network=allow_network,
        allow_install=allow_install,
        **fields,
    )
    _tell(project, "project.created", actor=actor)
    if prd:
        requirements_sync(project=project, prd=prd)
    return project


def _tell(project: Project, kind: str, *, actor: str = "", **data: Any) -> None:
    fact = Fact(
        kind,
        organization_id=project.organization_id,
        project_id=project.pk,
        subject=f"project:{project.slug}",
        actor=actor,
        data={"project_id": project.pk, "name": project.name, **data},
    )
    emit_all([fact])


def _check(*, name: str, approval: str, max_sessions: int) -> None:
    if not name.strip():
        raise BadInput("A project needs a name.")
    if approval not in Project.Approval.values:
        raise BadInput(f"{approval!r} is no way to approve a plan.", hint="Use auto or ask.")
    if max_sessions < 1:
        raise BadInput("At least one session must be allowed at a time.")


def _insert_with_free_names(*, organization: Organization, name: str, slug: str, **fields: Any) -> Project:
    made, prefix = slugify(name)[:70] or "project", prefix_of(name)
    for number in range(PREFIX_TRIES):
        tail = str(number + 1) if number else ""
        try:
            with transaction.atomic():
                return Project.objects.create(
                    organization=organization,
                    name=name,
                    slug=slug or (f"{made}-{tail}" if tail else made),
                    bead_prefix=f"{prefix}{tail}",
                    **fields,
                )
        except IntegrityError:  # somebody has the slug or the prefix: try the next
            continue
    raise Conflict(f"There are {PREFIX_TRIES} projects named {name!r} already.")


def prefix_of(name: str) -> str:
    """Two to four letters for bead keys: initials of several words, else the first letters."""
    words = re.findall(r"[a-z0-9]+", slugify(name))
    letters = "".join(word[0] for word in words[:4]) if len(words) > 1 else (words[0][:4] if words else "")
    letters = re.sub(r"^\d+", "", letters)
    return letters if len(letters) > 1 else (letters + "lm")[:4]


@transaction.atomic
def requirements_sync(*, project: Project, prd: str) -> list[Requirement]:
    """Cut the PRD into requirements; known statements keep their ids, missing ones are marked removed."""
    Project.objects.locked(project.pk)  # numbers are given out by one at a time
    known = dict(project.requirements.values_list("key", "text"))
    keyed = requirement_keys(known, requirements_cut(prd))
    rows = [
        Requirement(
            project=project, key=key, text=statement.text, section=statement.section[:200], position=position
        )
        for position, (key, statement) in enumerate(keyed, start=1)
    ]
    Requirement.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["project", "key"],
        update_fields=["text", "section", "position", "status", "updated_at"],
    )
    gone = set(known) - {key for key, _ in keyed}
    project.requirements.filter(key__in=gone).update(
        status=Requirement.Status.REMOVED, updated_at=timezone.now()
    )
    _tell(project, "requirements.synced", count=len(keyed), removed=sorted(gone))
    return list(project.requirements.filter(status=Requirement.Status.ACTIVE).order_by("position"))


@transaction.atomic
def project_update(*, project: Project, actor: str = "", **changes: Any) -> None:
    """Change settings of a project; other fields have services of their own."""
    if refused := sorted(set(changes) - set(SETTINGS)):
        raise BadInput(f"{', '.join(refused)} of a project cannot be set.")
    _check(
        name=changes.get("name", project.name),
        approval=changes.get("approval", project.approval),
        max_sessions=changes.get("max_sessions", project.max_sessions),
    )
    if changes:
        Project.objects.filter(pk=project.pk).update(**changes, updated_at=timezone.now())
        name = changes.get("name", project.name)
        _tell(project, "project.updated", actor=actor, fields=sorted(changes), name=name)


@transaction.atomic
def project_mark(
    *, project: Project, perpetual: bool | None = None, sticky: bool | None = None, actor: str = ""
) -> None:
    """Perpetual: never finished, never closed. Sticky: neither closed nor deleted while it is marked."""
    marks = {"is_perpetual": perpetual, "is_sticky": sticky}
    project_update(
        project=project,
        actor=actor,
        **{name: wanted for name, wanted in marks.items() if wanted is not None},
    )


def _check_unmarked(project: Project) -> None:
    """The row decides, not the copy at hand: a mark set meanwhile counts."""
    marks = Project.objects.locked(project.pk)
    if marks.is_perpetual:
        raise Conflict(f"{project.name} is perpetual and never closes.", hint="Take the mark off first.")
    if marks.is_sticky:
        raise Conflict(f"{project.name} is sticky and stays.", hint="Take the mark off first.")


@transaction.atomic
def project_close(*, project: Project, reason: str, actor: str = "") -> None:
    _check_unmarked(project)
    closed = move(
        Project.objects.filter(pk=project.pk),
        to=Project.Status.CLOSED,
        allowed={Project.Status.OPEN, Project.Status.REOPENED},
        closed_at=timezone.now(),
    )
    if closed:
        _tell(project, "project.closed", actor=actor, reason=reason)
        _tell(project, "project.updated", actor=actor, fields=["status"])


@transaction.atomic
def project_reopen(*, project: Project, actor: str = "") -> None:
    reopened = move(
        Project.objects.filter(pk=project.pk),
        to=Project.Status.REOPENED,
        allowed={Project.Status.CLOSED},
        closed_at=None,
    )
    if not reopened:
        raise Conflict(f"{project.name} is open already.")
    _tell(project, "project.reopened", actor=actor)
    _tell(project, "project.updated", actor=actor, fields=["status"])


@transaction.atomic
def project_delete(*, project: Project, confirm: str, actor: str = "") -> None:
    """Forget a closed project with all its rows; `confirm` repeats its slug. Its repository stays on disk."""
    _check_unmarked(project)
    if confirm != project.slug:
        raise BadInput(f"Say {project.slug!r} to delete {project.name}.")
    if Project.objects.locked(project.pk).status != Project.Status.CLOSED:
        raise Conflict(f"{project.name} is open.", hint="Close it first.")
    _tell(project, "project.deleted", actor=actor)
    Project.objects.filter(pk=project.pk).delete()


@transaction.atomic
def project_comment(*, project: Project, author: User, comment: str) -> ProjectComment:
    comment = comment.strip()
    if not comment:
        raise BadInput("A comment needs some text.", details={"field": "comment"})
    made = ProjectComment.objects.create(
        project=project, author=author, author_name=author.get_username(), comment=comment
    )
    _tell(project, "project.comment", actor=made.author_name, comment_id=str(made.pk), comment=comment)
    _tell(project, "project.updated", actor=made.author_name, fields=["comments"])
    return made

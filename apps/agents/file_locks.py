"""Locks on files: taken, renewed by who has them, released, and gone when their time is over."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from apps.agents.forecast import paths_meet
from apps.agents.lock_models import FileLock
from apps.agents.models import Agent
from apps.beads.models import Bead
from apps.core.errors import BadInput, Conflict, NotFound
from apps.events.bus import emit
from apps.projects.models import Project

LASTS_S, MOST_S = 600, 86_400
MOST = 500  # live ones of a project


@transaction.atomic
def file_lock(
    *,
    project: Project,
    path: str,
    holder: str,
    agent: Agent | None,
    bead: Bead | None,
    seconds: int = LASTS_S,
) -> tuple[FileLock, bool]:
    """Keep a path; the lock, and whether it is new. Conflict while another keeps it, or a part of it."""
    path = path_checked(path)
    Project.objects.locked(project.pk)
    rows = FileLock.objects.filter(project=project)
    rows.filter(expires_at__lte=timezone.now()).delete()
    live = list(rows)
    other = next((one for one in live if one.holder != holder and paths_meet(one.file_path, path)), None)
    if other is not None:
        raise Conflict(
            f"{other.holder} keeps {other.file_path} until {other.expires_at:%H:%M:%S} UTC.",
            hint="Wait, or ask them to release it.",
        )
    if len(live) >= MOST:
        raise Conflict(f"A project has at most {MOST} locks.", hint="Lock folders instead of files.")
    lock, created = FileLock.objects.update_or_create(
        project=project,
        file_path=path,
        defaults={
            "holder": holder,
            "agent": agent,
            "bead": bead,
            "expires_at": timezone.now() + timedelta(seconds=seconds),
        },
    )
    _tell(lock, "file_lock.taken" if created else "file_lock.renewed", actor=holder)
    return lock, created


@transaction.atomic
def file_unlock(*, project: Project, path: str, holder: str, actor: str) -> None:
    """Release a path; NotFound if that holder does not keep it."""
    rows = FileLock.objects.filter(project=project, file_path=path_checked(path), holder=holder)
    lock = rows.live().select_related("project").first()
    if lock is None:
        raise NotFound(f"{holder} keeps no {path[:200]}.")
    _release([lock], actor)


@transaction.atomic
def agent_unlock(*, agent: Agent, actor: str) -> None:
    """Release all that an agent keeps, since it leaves."""
    _release(list(FileLock.objects.filter(agent=agent).select_related("project")), actor)


def _release(locks: Iterable[FileLock], actor: str) -> None:
    for lock in locks:
        _tell(lock, "file_lock.released", actor=actor)
        FileLock.objects.filter(pk=lock.pk).delete()


def path_checked(path: str) -> str:
    parts = [part for part in path.strip().split("/") if part not in {"", "."}]
    if not parts or ".." in parts or not path.isprintable() or len(path) > 1000:
        raise BadInput(f"{path[:200]!r} is no path in the repository.", details={"field": "file_path"})
    return "/".join(parts)


def _tell(lock: FileLock, kind: str, *, actor: str) -> None:
    emit(
        kind,
        organization_id=lock.project.organization_id,
        project_id=lock.project_id,
        bead_id=lock.bead_id,
        subject=f"file_lock:{lock.pk}",
        actor=actor,
        file_path=lock.file_path,
        holder=lock.holder,
        expires_at=lock.expires_at.isoformat(),
    )

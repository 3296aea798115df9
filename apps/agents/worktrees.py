"""Worktrees of sessions on this machine's disk: what they hold, bringing one back, and cleaning.

Cleaning never destroys work. What a worktree of an ended session holds beside its commit, ignored files
included, is put under a ref first; only what tools make anew (caches, installed packages) is let go.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from apps.agents.git import GitError
from apps.agents.hub import Hub
from apps.agents.models import Session
from apps.agents.places import checkout_path, hub_path, session_ref, worktree_path
from apps.agents.sandbox.owner import remove_tree
from apps.agents.workspace import KEPT, Workspace
from apps.core.errors import BadInput, Conflict, NotFound

CHECKOUT_SECONDS = 86_400.0  # no check takes as long
MANY_BYTES = 200_000_000  # of ignored files: a person looks at them


@dataclass(frozen=True)
class Worktree:
    """A session's place on the disk."""

    session_id: int
    root: Path
    session: Session | None

    @property
    def state(self) -> str:
        if self.session is None:
            return "unknown"
        return str(self.session.status)


def worktrees(project_id: int | None = None) -> Iterator[Worktree]:
    """Those on this machine's disk, by session."""
    folder = Path(settings.LOOM_DATA_DIR) / "worktrees"
    names = [one.name for one in os.scandir(folder)] if folder.is_dir() else []
    ids = sorted(int(name) for name in names if name.isdigit())
    rows = Session.objects.select_related("project", "bead").defer("opening").in_bulk(ids)
    for pk in ids:
        session = rows.get(pk)
        if project_id is None or (session is not None and session.project_id == project_id):
            yield Worktree(pk, worktree_path(pk), session)


def worktree_row(worktree: Worktree) -> dict[str, Any]:
    """For people: what it belongs to, what it holds, and whether anything of it is in no ref."""
    session = worktree.session
    row: dict[str, Any] = {
        "session": worktree.session_id,
        "project": session.project.slug if session else "",
        "bead": session.bead.key if session and session.bead else "",
        "state": worktree.state,
        "ended_at": session.ended_at.isoformat() if session and session.ended_at else None,
        "path": str(worktree.root),
        "bytes": _size(worktree.root),
        "refs": [],
        "dirty": None,
        "ignored": [],
    }
    if session is not None and worktree.root.is_dir():
        hub = Hub(hub_path(session.project_id))
        row["refs"] = sorted(_refs(hub, session.pk))
        with suppress(GitError, OSError):  # somebody works in it at this moment, or took it away
            space = _workspace(hub, worktree)
            row |= {"dirty": space.is_dirty(), "ignored": space.ignored()[:20]}
    return row


def worktree_restore(session_id: int, to: Path | None = None) -> tuple[Path, str]:
    """Write the newest files kept of a session to an empty directory; it and the ref they came from."""
    session = Session.objects.select_related("project").filter(pk=session_id).first()
    if session is None:
        raise NotFound(f"There is no session {session_id}.")
    hub = Hub(hub_path(session.project_id))
    patterns = (session_ref(session_id), f"{KEPT}/{session_id}-*")
    order = ("--sort=-committerdate", "--count=1", "--format=%(refname)")
    ref = hub.git.line("for-each-ref", *order, *patterns)
    commit = hub.ref(ref) if ref else session.head_commit or session.base_commit
    if not commit:
        raise NotFound(f"Nothing was kept of session {session_id}.", hint="It changed no file.")
    place = to or Path(settings.LOOM_DATA_DIR) / "restored" / str(session_id)
    hub.export(commit, place)
    return place, ref or commit


# -- cleaning ----------------------------------------------------------------------------------------


def worktrees_clean(*, keep: timedelta | None = None) -> dict[str, int]:
    """Remove worktrees of sessions that ended long enough ago; {"removed", "kept", "bytes"}."""
    keep = timedelta(hours=settings.LOOM_WORKTREE_HOURS) if keep is None else keep
    done = {"removed": 0, "kept": 0, "bytes": 0}
    for worktree in worktrees():
        if not _is_over(worktree, timezone.now() - keep):
            continue
        size = _size(worktree.root)
        try:
            worktree_remove(worktree)
        except (GitError, Conflict, OSError):
            done["kept"] += 1  # what cannot be kept is not removed
        else:
            done["removed"] += 1
            done["bytes"] += size
    return done


def checkouts_clean() -> int:
    """Remove clean checkouts and drafts of yesterday: whoever made them was killed; how many."""
    folder, before = checkout_path(""), time.time() - CHECKOUT_SECONDS
    left = [one for one in folder.iterdir() if one.lstat().st_mtime < before] if folder.is_dir() else []
    for place in left:
        if place.is_dir():
            remove_tree(place)
        else:
            place.unlink(missing_ok=True)
    return len(left)


def worktree_remove(worktree: Worktree) -> list[str]:
    """Take a worktree off the disk, after all that is in no ref was put under one; those refs."""
    session = worktree.session
    if session is None or session.status != Session.Status.ENDED:
        raise BadInput(f"Session {worktree.session_id} has not ended.", hint="Its worktree is in use.")
    refs = []
    if (worktree.root.with_name(f"{worktree.root.name}.state") / "state.json").exists():
        space = _workspace(Hub(hub_path(session.project_id)), worktree)
        ignored = space.ignored()
        if sum(_size(space.root / path) for path in ignored) > MANY_BYTES:
            raise Conflict(f"{worktree.root} holds many ignored files.", hint="Look at them and remove it.")
        refs = [ref for ref in (space.keep_ignored(ignored), space.discard()) if ref]
    with suppress(OSError):  # other places of the session
        worktree.root.parent.rmdir()
    return refs


def _is_over(worktree: Worktree, before: datetime) -> bool:
    session = worktree.session
    return (
        session is not None
        and session.status == Session.Status.ENDED
        and session.ended_at is not None
        and session.ended_at <= before
    )


def _workspace(hub: Hub, worktree: Worktree) -> Workspace:
    return Workspace.open(hub, worktree.root, worktree.session.base_commit if worktree.session else "")


def _refs(hub: Hub, session_id: int) -> list[str]:
    kept = [ref for ref in hub.refs(KEPT) if ref.startswith(f"{KEPT}/{session_id}-")]
    own = session_ref(session_id)
    return [own, *kept] if hub.ref(own) else kept


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a directory."""
    if not path.is_dir():
        with suppress(OSError):
            return path.lstat().st_size
        return 0
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += (Path(folder) / name).lstat().st_size
    return total

"""A person's draft: files changed through the API, kept as commits under a ref of their own.

It is written by the code that applies agents' patches, in a worktree made for it, and never touches a branch.
To become work it is committed (`apps.workflows.drafts`): then it is proven and merged like an agent's.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from apps.agents.actions.patching import PatchPlan
from apps.agents.editing.patch import parse_patch
from apps.agents.editing.text import MAX_BYTES
from apps.agents.git import GitError
from apps.agents.hub import Hub
from apps.agents.workspace import Workspace
from apps.core.errors import BadInput, Conflict, NotFound, TooLarge
from apps.events.bus import emit
from apps.projects.models import Project

NOTHING = "0" * 40


@dataclass
class _Files:
    """What a patch is applied to."""

    workspace: Workspace
    seen: set[str] = field(default_factory=set)

    @property
    def root(self) -> Path:
        return self.workspace.root

    def write(self, path: Path, data: bytes) -> None:
        self.workspace.write(path, data)


@dataclass(frozen=True)
class Draft:
    """Where a draft began, and where it stands."""

    base: str
    commit: str

    def changed(self, hub: Hub) -> list[dict[str, str]]:
        return [{"status": status, "path": path} for status, path in hub.changed(self.base, self.commit)]


def draft_ref(person_id: int) -> str:
    return f"refs/loom/drafts/{person_id}"


def draft_of(hub: Hub, project: Project, person_id: int) -> Draft | None:
    """The person's draft; None if nothing was changed since the last was committed."""
    commit = hub.ref(draft_ref(person_id))
    if commit is None:
        return None
    return Draft(hub.git.line("merge-base", _main(hub, project), commit), commit)


def draft_patch(
    *, hub: Hub, project: Project, person_id: int, patch: str, author: str, actor: str
) -> dict[str, Any]:
    """Apply a unified diff to the draft: all of it or nothing; what was done, and the draft's commit."""
    ref = draft_ref(person_id)
    start = hub.ref(ref) or _main(hub, project)
    kept = patch_keep(hub=hub, start=start, patch=patch, ref=ref, author=author, message="Draft")
    with transaction.atomic():
        emit(
            "draft.patched",
            organization_id=project.organization_id,
            project_id=project.pk,
            subject=f"project:{project.slug}",
            actor=actor,
            commit=kept.commit,
            paths=kept.paths,
        )
    return {
        "applied": kept.changed,
        "output": "\n".join(kept.told),
        "commit": kept.commit,
        "paths": kept.paths,
    }


@dataclass(frozen=True)
class Kept:
    """What became of a patch."""

    commit: str
    changed: bool
    told: list[str]
    paths: list[str]


def patch_keep(*, hub: Hub, start: str, patch: str, ref: str, author: str, message: str) -> Kept:
    """Apply a unified diff to a commit's files and keep the outcome under a ref: all of it or nothing."""
    if len(patch) > MAX_BYTES:
        raise TooLarge("The patch is too large.", hint="Send it in parts.")
    before = hub.ref(ref)
    scratch = Path(settings.LOOM_DATA_DIR) / "checkouts"
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="draft-", dir=scratch) as place:
        workspace = Workspace.open(hub, Path(place) / "tree", start)
        plan = PatchPlan(_Files(workspace))
        for part in parse_patch(patch):
            plan.add(part)
        plan.carry_out()
        told = [*plan.told, *(f"{name} does not parse now: {why}" for name, why in plan.findings())]
        try:
            commit, changed = workspace.snapshot(
                "\n".join([message, "", *plan.told]), ref, author, before=before or NOTHING
            )
        except GitError as error:
            if hub.ref(ref) == before:
                raise
            raise Conflict("The draft was changed at the same moment.", hint="Try again.") from error
    return Kept(commit, changed, told, list(plan.names()))


def draft_squash(*, hub: Hub, draft: Draft, message: str, author: str) -> str:
    """All of the draft as one commit on what it began with; no ref points at it yet."""
    if not message.strip():
        raise BadInput("A commit needs a message.", details={"field": "message"})
    return hub.commit_tree(hub.tree(draft.commit), [draft.base], message.strip(), author)


def draft_drop(hub: Hub, person_id: int) -> None:
    """Begin anew; the commits stay in the ref's history."""
    if hub.ref(draft_ref(person_id)) is not None:
        hub.delete_ref(draft_ref(person_id))


def _main(hub: Hub, project: Project) -> str:
    head = hub.head(project.branch)
    if head is None:
        raise NotFound(f"{project.branch} of {project.name} has no commit yet.")
    return head

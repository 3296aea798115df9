"""A project's repository and its remote, by hand: bring it up to date, push it, say where it stands."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.agents.browsing import hub_of
from apps.agents.deploy_keys import auth_method
from apps.agents.drafts import draft_of
from apps.agents.git import GitError
from apps.agents.hub import Hub
from apps.agents.merge_models import MergePolicy, policy_of
from apps.agents.places import hub_path
from apps.agents.remotes import main_sync, push_main
from apps.core.errors import BadInput, Conflict
from apps.events.bus import emit
from apps.events.models import Event
from apps.projects.models import Project

SYNCED, PUSHED = "project.synced", "project.pushed"


def hub_sync(*, project: Project, actor: str = "") -> dict[str, Any]:
    """Take over what the remote's branch has more; Conflict if both went different ways."""
    policy = _with_remote(project)
    hub = Hub(hub_path(project.pk))
    hub.create(project.branch)
    before = hub.head(project.branch)
    commit = main_sync(hub, policy, project.branch)
    event = _tell(SYNCED, project, actor, before=before or "", commit=commit)
    return {
        "success": True,
        "project_id": str(project.pk),
        "last_commit_hash": commit,
        "last_sync_at": event.created_at,
    }


def hub_push(*, project: Project, actor: str = "") -> dict[str, Any]:
    """Push the branch as it is in Loom; what merges has been proven, so nothing else is ever pushed."""
    policy = _with_remote(project)
    if policy.strategy == MergePolicy.Strategy.BRANCH_PR:
        raise Conflict(
            "This project merges by pull requests: its branch is moved on the remote, by a person.",
            hint="Merge the open pull request; GET /pull-requests lists them.",
        )
    hub = hub_of(project)
    head = main_sync(hub, policy, project.branch)  # what the remote has more is taken over first
    if not head:
        raise Conflict(f"{project.branch} has no commit yet.")
    if head != hub.ref(f"refs/loom/remote/{project.branch}") and not push_main(
        hub, policy, project.branch, head
    ):
        raise Conflict("The remote's branch moved at the same moment.", hint="Try again.")
    _tell(PUSHED, project, actor, commit=head)
    return {"success": True, "project_id": str(project.pk), "last_commit_hash": head}


def hub_status(project: Project, person_id: int) -> dict[str, Any]:
    """Where the branch stands, here and on the remote as it was seen last, and the person's draft."""
    if not (hub_path(project.pk) / "HEAD").exists():
        return {"project_id": str(project.pk), "has_git": False}
    hub, policy = Hub(hub_path(project.pk)), policy_of(project.pk)
    head = hub.head(project.branch)
    remote = hub.ref(f"refs/loom/remote/{project.branch}") if policy.remote else None
    ahead, behind = _apart(hub, head, remote)
    draft = draft_of(hub, project, person_id) if head else None
    synced = Event.objects.filter(project_id=project.pk, kind=SYNCED).order_by("-id").first()
    return {
        "project_id": str(project.pk),
        "has_git": True,
        "work_dir": "",  # nobody works in the hub itself
        "branch": project.branch,
        "git_repo": policy.remote or project.git_repo,
        "last_commit_hash": head or "",
        "last_sync_at": synced.created_at if synced else None,
        "git_auth_method": auth_method(policy),
        "remote_commit_hash": remote or "",
        "ahead": ahead,
        "behind": behind,
        "draft": {"commit": draft.commit, "base": draft.base, "files": draft.changed(hub)} if draft else None,
    }


def branches_of(project: Project) -> list[dict[str, Any]]:
    hub = hub_of(project)
    rows = hub.refs("refs/heads/")
    return [
        {
            "name": ref.removeprefix("refs/heads/"),
            "commit": commit,
            "is_main": ref == f"refs/heads/{project.branch}",
        }
        for ref, commit in sorted(rows.items())
    ]


def _apart(hub: Hub, head: str | None, remote: str | None) -> tuple[int | None, int | None]:
    """How many commits each has that the other has not; None where there is nothing to compare."""
    if not head or not remote:
        return None, None
    try:
        ahead, behind = hub.git.line("rev-list", "--left-right", "--count", f"{head}...{remote}").split()
    except GitError:
        return None, None
    return int(ahead), int(behind)


def _with_remote(project: Project) -> MergePolicy:
    policy = policy_of(project.pk)
    if not policy.remote:
        raise BadInput(
            f"{project.name} has no remote.", hint="Set one: PATCH /projects/{id}/merge-policy {remote}."
        )
    return policy


@transaction.atomic
def _tell(kind: str, project: Project, actor: str, **data: Any) -> Event:
    return emit(
        kind,
        organization_id=project.organization_id,
        project_id=project.pk,
        subject=f"project:{project.slug}",
        actor=actor,
        **data,
    )

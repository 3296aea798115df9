"""What GitHub tells of a project's remote: signed with the project's own secret, done once, in a durable run.

A push to the branch, or a merged pull request, brings Loom's repository up to date; a pull request of Loom's
that was closed there is answered for. All of it also becomes an event, which motivations may wait for.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from apps.agents.hub_services import hub_sync
from apps.agents.merge_models import MergePolicy, PullRequest
from apps.agents.pull_requests import REJECT, pulls_watch
from apps.core.errors import Conflict, Unauthenticated, Unavailable
from apps.core.signing import digest_of
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide
from apps.engine.flow import Handle, call, flow, step
from apps.engine.models import Run
from apps.engine.services import run_start
from apps.events.bus import emit
from apps.projects.models import Project
from apps.providers.errors import Unauthorized
from apps.providers.keys import seal, unseal

FLOW = "webhook.github"
CHARS = 2_000  # of one text of an event
_ADDRESS = re.compile(
    r"^(?:\w+://(?:[^@/]+@)?|[\w.-]+@)(?P<host>[^/:]+)(?::\d+)?[/:](?P<path>.+?)(?:\.git)?/?$"
)
PULLS = {
    "opened": "opened", "reopened": "reopened", "ready_for_review": "ready", "closed": "closed",
    "synchronize": "synchronized", "review_requested": "review_requested",
}  # fmt: skip


@dataclass(frozen=True)
class Told:
    """A delivery: its type in Loom's words, the kind of event it becomes, and what of it is kept."""

    type: str
    kind: str
    action: str
    data: dict[str, Any]


@transaction.atomic
def webhook_secret_make(*, project: Project, actor: str = "") -> str:
    """A new secret for the project's webhook; it is shown once, and replaces the one before."""
    Project.objects.locked(project.pk)
    secret = secrets.token_urlsafe(32)
    policy, _ = MergePolicy.objects.get_or_create(project=project)
    MergePolicy.objects.filter(pk=policy.pk).update(webhook_secret_sealed=seal(secret))
    emit(
        "project.webhook_secret",
        organization_id=project.organization_id,
        project_id=project.pk,
        subject=f"project:{project.slug}",
        actor=actor,
    )
    return secret


def projects_signed(body: bytes, signature: str, repository: dict[str, Any]) -> list[Project]:
    """The projects of this repository with whose secret the body is signed; Unauthenticated if none."""
    wanted = {_place(str(repository.get(name, ""))) for name in ("clone_url", "ssh_url", "html_url")} - {""}
    path = str(repository.get("full_name", ""))[:300]
    rows = MergePolicy.objects.exclude(webhook_secret_sealed="").select_related("project__organization")
    rows = rows.filter(remote__icontains=path) | rows.filter(project__git_repo__icontains=path)
    meant = [
        policy
        for policy in (rows if path else rows.none())
        if {_place(policy.remote), _place(policy.project.git_repo)} & wanted
    ]
    known = [(policy.project, _secret(policy)) for policy in meant]
    found = [project for project, secret in known if secret and _signed(body, signature, secret)]
    if not found and any(secret is None for _, secret in known):
        raise Unavailable(
            "The secret of this repository's webhook cannot be read: it was sealed with another key.",
            hint="Make a new one with POST /projects/{id}/webhook-secret, or bring back the old "
            "LOOM_ENCRYPTION_KEY or LOOM_SECRET_KEY; then have it delivered again.",
        )
    if not found:
        raise Unauthenticated(
            "The signature is of no project with this repository.",
            hint="Make a secret with POST /projects/{id}/webhook-secret and give it to the webhook.",
        )
    return found


def _secret(policy: MergePolicy) -> str | None:
    """None: it was sealed with a key that is lost."""
    try:
        return unseal(policy.webhook_secret_sealed)
    except Unauthorized:
        return None


def _signed(body: bytes, signature: str, secret: str) -> bool:
    return hmac.compare_digest(f"sha256={digest_of(body, secret)}".encode(), signature.encode())


def _place(address: str) -> str:
    """`host/owner/name` of an address in any form; empty if it is none."""
    match = _ADDRESS.match(address.strip())
    return f"{match['host']}/{match['path']}".lower() if match else ""


def told_by(kind: str, body: dict[str, Any]) -> Told | None:
    """What GitHub says; None for what Loom has no use for."""
    action = str(body.get("action", ""))
    if kind == "ping":
        return Told("ping", "external.webhook", "", {})
    if kind == "push":
        return Told("push", "external.webhook", "", {"ref": body.get("ref"), "commit": body.get("after")})
    if kind == "pull_request" and action in PULLS:
        event = "external.github_pr" if action in {"opened", "reopened"} else "external.github_pr_update"
        return Told(f"github_pr_{PULLS[action]}", event, action, _pull(_part(body, "pull_request")))
    if kind == "issues" and action in {"opened", "closed", "reopened", "edited"}:
        return Told(f"github_issue_{action}", "external.github_issue", action, _texts(_part(body, "issue")))
    if kind in {"issue_comment", "pull_request_review_comment"} and action == "created":
        comment = _part(body, "comment")
        return Told("github_comment_added", "external.github_comment", action, _texts(comment))
    if kind == "release" and action == "published":
        return Told("release_published", "external.release", action, _texts(_part(body, "release")))
    return None


def _part(body: dict[str, Any], name: str) -> dict[str, Any]:
    part = body.get(name)
    return part if isinstance(part, dict) else {}


def _texts(part: dict[str, Any]) -> dict[str, Any]:
    """What people read of an issue, a comment or a release, bounded."""
    names = ("number", "title", "body", "html_url", "state", "tag_name", "name")
    found = {name: part[name] for name in names if isinstance(part.get(name), str | int)}
    return {
        **{name: value[:CHARS] if isinstance(value, str) else value for name, value in found.items()},
        "author": str(_part(part, "user").get("login", ""))[:100],
    }


def _pull(part: dict[str, Any]) -> dict[str, Any]:
    return {
        **_texts(part),
        "branch": str(_part(part, "head").get("ref", ""))[:200],
        "target": str(_part(part, "base").get("ref", ""))[:200],
        "merged": part.get("merged") is True,
        "closed_by": str(_part(part, "merged_by").get("login", ""))[:100],
    }


@transaction.atomic
def webhook_take(*, project: Project, told: Told, repository: str, sender: str, delivery: str) -> None:
    """Keep a delivery as an event, and have done what follows from it. The same one again changes nothing."""
    key = f"{FLOW}:{project.pk}:{delivery}"
    Project.objects.locked(project.pk)
    if Run.objects.filter(key=key).exists():
        return
    run_start(
        flow=FLOW,
        key=key,
        input={"project_id": project.pk, "type": told.type, "data": told.data, "sender": sender},
        organization_id=project.organization_id,
        project_id=project.pk,
    )
    emit(
        told.kind,
        organization_id=project.organization_id,
        project_id=project.pk,
        subject=f"webhook:{delivery}",
        actor=f"github:{sender}" if sender else "github",
        webhook_id=delivery,
        webhook_type=told.type,
        repository=repository,
        action=told.action,
        **told.data,
    )


# -- the flow --------------------------------------------------------------------------------------


@flow(FLOW)
def webhook_follow(project_id: int, type: str, data: dict[str, Any], sender: str) -> dict[str, Any]:  # noqa: A002
    """Bring the repository up to date and answer for pull requests, as far as the delivery says so."""
    if type == "push":
        return dict(call(remote_look, project_id=project_id, ref=str(data.get("ref") or "")))
    if type == "github_pr_closed" and data.get("merged"):
        return dict(call(remote_look, project_id=project_id, ref=f"refs/heads/{data['target']}"))
    if type == "github_pr_closed":
        return step(pull_refuse, project_id=project_id, branch=data["branch"], sender=sender)
    return {"status": "noted"}


def remote_look(handle: Handle, project_id: int, ref: str) -> dict[str, Any]:
    """Take over what the remote has, and answer for pull requests that were merged there."""
    project = Project.objects.get(pk=project_id)
    if (
        ref != f"refs/heads/{project.branch}"
        or not MergePolicy.objects.filter(project=project, remote__gt="").exists()
    ):
        return {"status": "noted"}
    try:
        done = hub_sync(project=project, actor="github")
    except Conflict as conflict:  # both went on; the next merge says so to a person
        return {"status": "conflict", "error": conflict.message}
    return {"status": "synced", "commit": done["last_commit_hash"], "merged": pulls_watch(project_id)}


def pull_refuse(*, project_id: int, branch: str, sender: str) -> dict[str, Any]:
    """A pull request that was closed on GitHub without a merge is closed here."""
    rows = PullRequest.objects.filter(project=project_id, branch=branch, status=PullRequest.Status.OPEN)
    asked = Decision.objects.open().filter(pk__in=rows.values("decision_id")).select_related("project")
    for decision in asked:
        decision_decide(
            decision=decision,
            choice=REJECT,
            decider=f"github:{sender or 'somebody'}",
            rationale=f"Closed on GitHub by {sender or 'somebody'}.",
        )
    return {"status": "closed" if asked else "noted"}

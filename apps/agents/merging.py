"""The merge queue of a project: one merge at a time, and the turn handed on.

A place in the queue belongs to the run of its bead. The run whose turn has come merges (`landing`), its own
work and that of those who wait behind it, and on leaving hands the turn to the next by a signal; a constraint
of the database keeps it at one.
"""

from __future__ import annotations

from typing import Any

from apps.agents.letters import letters_unheard
from apps.agents.merge_models import MergePolicy, PullRequest, policy_of
from apps.agents.models import Claim, MergeRequest
from apps.core.states import move
from apps.decisions.models import Decision
from apps.engine.services import run_signal
from apps.events.bus import emit
from apps.projects.models import Project

MERGE = "merge"  # the answer of a person who merges a pull request
WAITING = {MergeRequest.Status.QUEUED, MergeRequest.Status.MERGING}
# A place that was left may still be told that its work landed: its batch was on its way to main.
MAY_LAND = WAITING | {MergeRequest.Status.CANCELED}


def merge_enqueue(*, claim_id: int, run_id: int) -> dict[str, Any]:
    """Take a place; {"id", "granted"}, or {"pull": true} if a person has to merge it. A database step.

    {"unheard": true} if people have said something to the author that it has not heard yet.
    """
    claim = Claim.objects.select_related("bead__project").get(pk=claim_id)
    if letters_unheard(claim.bead_id):
        return {"unheard": True}
    if _needs_pull_request(claim):
        return {"pull": True}
    project = Project.objects.select_for_update().get(pk=claim.bead.project_id)
    request, _ = MergeRequest.objects.get_or_create(
        claim=claim, defaults={"project": project, "bead": claim.bead, "run_id": run_id}
    )
    # One that left without an end, because its turn did not come or the platform failed, may come back.
    canceled = MergeRequest.objects.filter(pk=request.pk, run_id=run_id)
    move(canceled, to=MergeRequest.Status.QUEUED, allowed={MergeRequest.Status.CANCELED})
    _grant_next(project)
    request.refresh_from_db()
    _tell(request, "merge.queued")
    return {"id": request.pk, "granted": request.status == MergeRequest.Status.MERGING}


def _needs_pull_request(claim: Claim) -> bool:
    """The project merges by pull requests, and nobody has said yes to that of this claim."""
    if policy_of(claim.bead.project_id).strategy != MergePolicy.Strategy.BRANCH_PR:
        return False
    asked = PullRequest.objects.filter(claim=claim, status=PullRequest.Status.OPEN).values("decision_id")
    return not Decision.objects.filter(pk__in=asked, choice=MERGE).exists()


def merge_leave(*, request_id: int, status: str, commit: str = "", detail: str = "") -> dict[str, Any]:
    """Leave the queue and hand the turn on; {"status"} and what came of it. A database step.

    Who is told of an end that others brought about meanwhile has that end.
    """
    request = MergeRequest.objects.select_related("project", "bead").get(pk=request_id)
    project = Project.objects.select_for_update().get(pk=request.project_id)
    left = move(
        MergeRequest.objects.filter(pk=request_id),
        to=status,
        allowed=WAITING,
        commit=commit,
        detail=detail[:4000],
    )
    if left:
        _tell(request, f"merge.{status}", commit=commit, detail=detail[:500])
    _grant_next(project)
    request.refresh_from_db(fields=["status", "outcome"])
    return {**request.outcome, "status": request.status}


def merge_settle(*, request: MergeRequest, outcome: dict[str, Any]) -> None:
    """End the place of somebody else, whose work was verified with one's own, and tell its run."""
    status = outcome["status"]
    allowed = MAY_LAND if status == MergeRequest.Status.MERGED else WAITING
    detail = str(outcome.get("summary", ""))[:4000]
    commit = outcome.get("commit", "")
    settled = move(
        MergeRequest.objects.filter(pk=request.pk),
        to=status,
        allowed=allowed,
        commit=commit,
        detail=detail,
        outcome=outcome,
    )
    if settled:
        _tell(request, f"merge.{status}", commit=commit, detail=detail[:500])
        run_signal(run_id=request.run_id, name=f"merge:{request.pk}")


def merge_heed(*, bead_id: int) -> None:
    """Have who waits in the queue look up: something was said about its change."""
    for request in MergeRequest.objects.filter(bead_id=bead_id, status=MergeRequest.Status.QUEUED):
        run_signal(run_id=request.run_id, name=f"merge:{request.pk}")


def _grant_next(project: Project) -> None:
    """Give the turn to the longest waiting request if nobody has it; the project's row is locked."""
    requests = MergeRequest.objects.filter(project=project)
    if requests.filter(status=MergeRequest.Status.MERGING).exists():
        return
    following = requests.filter(status=MergeRequest.Status.QUEUED).order_by("id").first()
    if following is None:
        return
    if move(
        MergeRequest.objects.filter(pk=following.pk),
        to=MergeRequest.Status.MERGING,
        allowed={MergeRequest.Status.QUEUED},
    ):
        run_signal(run_id=following.run_id, name=f"merge:{following.pk}")


def _tell(request: MergeRequest, kind: str, **data: Any) -> None:
    emit(
        kind,
        organization_id=request.project.organization_id,
        project_id=request.project_id,
        bead_id=request.bead_id,
        subject=f"bead:{request.bead.key}",
        actor="merge queue",
        **data,
    )

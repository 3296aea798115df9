"""The merge queue: one merge of a project at a time, tested as it will be on main, then a fast-forward.

A place in the queue belongs to the run of its bead. The run whose turn has come merges, and on leaving hands
the turn to the next by a signal; a constraint of the database keeps it at one.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.agents.hub import Hub
from apps.agents.models import Claim, Evidence, MergeRequest
from apps.agents.places import hub_path
from apps.agents.proof import evidence_add
from apps.agents.verify import change_flags, commit_check
from apps.core.crash import crashpoint
from apps.core.states import move
from apps.engine.flow import Handle, joins
from apps.engine.services import run_signal
from apps.events.bus import emit
from apps.projects.models import Project

RACES = 5  # how often main may move under a merge, by somebody outside the queue


def merge_enqueue(*, claim_id: int, run_id: int) -> dict[str, Any]:
    """Take a place; {"id", "granted"}. A database step."""
    claim = Claim.objects.select_related("bead__project").get(pk=claim_id)
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


def merge_leave(*, request_id: int, status: str, commit: str = "", detail: str = "") -> None:
    """Leave the queue and hand the turn on. A database step."""
    request = MergeRequest.objects.select_related("project", "bead").get(pk=request_id)
    project = Project.objects.select_for_update().get(pk=request.project_id)
    left = move(
        MergeRequest.objects.filter(pk=request_id),
        to=status,
        allowed={MergeRequest.Status.QUEUED, MergeRequest.Status.MERGING},
        commit=commit,
        detail=detail[:4000],
    )
    if left:
        _tell(request, f"merge.{status}", commit=commit, detail=detail[:500])
    _grant_next(project)


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


@joins
def merge_attempt(handle: Handle, request_id: int) -> dict[str, Any]:
    """Put the claim on top of main, prove it there, and move main.

    {"status": merged|conflict|red, "commit", "tree", "conflicts", "summary"}
    """
    request = MergeRequest.objects.select_related("claim__bead__project", "claim__session__agent").get(
        pk=request_id
    )
    with transaction.atomic():
        handle.begin()
    hub = Hub(hub_path(request.project_id))
    branch = request.project.branch
    for _ in range(RACES):
        output = _try(hub, request.claim, branch, handle)
        if output is not None:
            return output
    raise RuntimeError(f"{branch} kept moving while {request.bead.key} was merged.")


def _try(hub: Hub, claim: Claim, branch: str, handle: Handle) -> dict[str, Any] | None:
    """One attempt; None if main moved meanwhile."""
    main = hub.head(branch) or ""
    merge = hub.merge(main, claim.commit)
    if merge.conflicts:
        output = {"status": "conflict", "conflicts": list(merge.conflicts), "tree": merge.tree, "main": main}
        return _finish(handle, output)
    if merge.tree == hub.tree(main):  # merged already, by an attempt that was killed; or nothing to merge
        commit = main
    else:
        commit = hub.commit_tree(merge.tree, [main], _message(claim), _author(claim))
    passed, summary = _prove(hub, claim, commit, merge.tree, main, handle)
    if not passed:
        return _finish(handle, {"status": "red", "summary": summary, "commit": commit, "main": main})
    with transaction.atomic():
        handle.begin()  # is the run still ours? Checks take long, and only one attempt may move main
    crashpoint("before_advance")
    if commit != main and not hub.advance(branch, commit, main):
        return None
    crashpoint("after_advance")
    return _finish(handle, {"status": "merged", "commit": commit, "tree": merge.tree, "summary": summary})


def _finish(handle: Handle, output: dict[str, Any]) -> dict[str, Any]:
    with transaction.atomic():
        handle.finish(output)
    return output


def _prove(hub: Hub, claim: Claim, commit: str, tree: str, main: str, handle: Handle) -> tuple[bool, str]:
    """Check the merged tree, unless this very tree was proven before."""
    proven = Evidence.objects.filter(claim=claim, tree=tree, kind=Evidence.Kind.CLAIM)
    rows = list(proven)
    if rows and all(row.passed for row in rows):
        with transaction.atomic():
            _begin_evidence(claim, handle)
            for row in rows:
                row.pk, row.kind, row.commit = None, Evidence.Kind.MERGE, commit
            Evidence.objects.bulk_create(rows)
        return True, "The same tree was proven before."
    report = commit_check(hub, claim, commit, handle)
    flags = change_flags(hub, main, commit)
    with transaction.atomic():
        _begin_evidence(claim, handle)
        evidence_add(
            claim=claim,
            kind=Evidence.Kind.MERGE,
            commit=commit,
            tree=tree,
            results=report.results,
            flags=flags,
            passed=report.passed,
        )
    return report.passed, report.summary()


def _begin_evidence(claim: Claim, handle: Handle) -> None:
    """Forget what an attempt that was killed, or overtaken by another merge, kept of its own commit."""
    handle.begin()
    Evidence.objects.filter(claim=claim, kind=Evidence.Kind.MERGE).delete()


def _message(claim: Claim) -> str:
    bead = claim.bead
    keys = ", ".join(bead.requirements.values_list("key", flat=True))
    trailers = [f"Bead: {bead.key}", f"Agent: {claim.session.agent.name}"]
    if keys:
        trailers.append(f"Requirements: {keys}")
    body = f"{claim.summary.strip()}\n\n" if claim.summary.strip() else ""
    return f"{bead.title}\n\n{body}" + "\n".join(trailers)


def _author(claim: Claim) -> str:
    agent = claim.session.agent
    return f"{agent.name} <{agent.role}@loom.invalid>"

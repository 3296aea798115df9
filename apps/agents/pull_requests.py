"""Pull requests: a proven branch on the project's remote that a person merges, in Loom or there."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.agents.conflicts import both_sides
from apps.agents.hub import Hub
from apps.agents.landing import commit_author, commit_message
from apps.agents.merge_models import PullRequest, policy_of
from apps.agents.merging import MERGE
from apps.agents.models import Claim, Evidence
from apps.agents.places import hub_path
from apps.agents.proof import evidence_add, evidence_text
from apps.agents.remotes import Remote, main_sync
from apps.agents.verify import claim_flags, commit_check
from apps.core.crash import crashpoint
from apps.core.errors import LoomError, Unavailable
from apps.core.states import move
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide, decision_request
from apps.engine.flow import Handle, joins
from apps.events.bus import emit
from apps.projects.models import Project

log = logging.getLogger(__name__)

THERE, CHANGE, REJECT = "merged", "change", "reject"
LONG = timedelta(days=365)  # people merge when they merge
OPTIONS = [
    {"key": MERGE, "label": "Merge", "detail": "Loom verifies it on the newest target and merges it there."},
    {"key": THERE, "label": "It is merged", "detail": "It was merged on the remote; Loom looks there."},
    {"key": CHANGE, "label": "Request changes", "detail": "Say in the rationale what must change."},
    {"key": REJECT, "label": "Close", "detail": "The bead is given up; its branch stays."},
]


@joins
def pull_publish(handle: Handle, claim_id: int) -> dict[str, Any]:
    """Put the claim on top of the target, prove it there, push it as a branch.

    {"status": open|conflict|red, "pull", and what `merge_attempt` gives of these}
    """
    claim = Claim.objects.select_related("bead__project", "session__agent").get(pk=claim_id)
    with transaction.atomic():
        handle.begin()
    project = claim.bead.project
    hub, policy = Hub(hub_path(project.pk)), policy_of(project.pk)
    main = main_sync(hub, policy, project.branch)
    merge = hub.merge(main, claim.commit)
    if merge.conflicts:
        sides = both_sides(hub, claim, main=main, merge=merge)
        output: dict[str, Any] = {
            "status": "conflict", "conflicts": list(merge.conflicts), "sides": sides,
            "tree": merge.tree, "main": main,
        }  # fmt: skip
        return _finish(handle, output)
    commit = hub.commit_tree(merge.tree, [main], commit_message(claim), commit_author(claim))
    report = commit_check(hub, claim, commit, handle)
    flags = claim_flags(hub, claim, main, commit)
    if report.passed:
        crashpoint("before_pull_push")
        _push(Remote(hub, policy), claim, commit)
        crashpoint("after_pull_push")
    output = (
        {"status": "open"} if report.passed else {"status": "red", "summary": report.summary(), "main": main}
    )
    with transaction.atomic():
        handle.begin()
        Evidence.objects.filter(claim=claim, kind=Evidence.Kind.MERGE).delete()
        evidence_add(
            claim=claim, kind=Evidence.Kind.MERGE, commit=commit, tree=merge.tree,
            results=report.results, flags=flags, passed=report.passed,
        )  # fmt: skip
        if report.passed:
            output["pull"] = _pull_open(claim, commit=commit, tree=merge.tree, base=main).pk
        handle.finish(output)
    return output


def branch_of(claim: Claim) -> str:
    return f"loom/{claim.bead.key}"


def _push(remote: Remote, claim: Claim, commit: str) -> None:
    """The bead's branch is Loom's own: an older claim on it is replaced."""
    branch = branch_of(claim)
    if not remote.push(commit, branch, before=remote.fetch(branch), forced=True):
        raise Unavailable(f"The branch {branch} moved on the remote while it was pushed.")


def _pull_open(claim: Claim, *, commit: str, tree: str, base: str) -> PullRequest:
    fields = {"commit": commit, "tree": tree, "base": base, "status": PullRequest.Status.OPEN}
    pull, _ = PullRequest.objects.update_or_create(
        claim=claim,
        defaults={
            "project": claim.bead.project,
            "bead": claim.bead,
            "branch": branch_of(claim),
            "target": claim.bead.project.branch,
            **fields,
        },
    )
    for older in PullRequest.objects.filter(bead=claim.bead, status=PullRequest.Status.OPEN).exclude(
        pk=pull.pk
    ):
        pull_close(pull_id=older.pk, status=PullRequest.Status.CLOSED, actor="loom")
    _tell(pull, "pull_request.opened", actor=claim.session.agent.name, commit=commit)
    return pull


def pull_ask(*, pull_id: int, run_id: int, again: int) -> dict[str, Any]:
    """Ask a person whether to merge it. A database step."""
    pull = PullRequest.objects.select_related("bead__project", "claim__session__agent").get(pk=pull_id)
    claim, bead = pull.claim, pull.bead
    context = [
        f"Branch {pull.branch} into {pull.target}, commit {pull.commit[:10]}.",
        f"{claim.session.agent.name} claims: {claim.summary}",
        f"Verified by the platform:\n{evidence_text(list(claim.evidence.all()))}",
        *([f"It is not on {pull.target} of the remote yet."] if again else []),
    ]
    decision = decision_request(
        project=bead.project,
        bead=bead,
        kind=Decision.Kind.APPROVAL,
        question=f"{bead.key} {bead.title}: merge {pull.branch}?",
        options=OPTIONS,
        context="\n\n".join(context),
        requester="loom",
        needs_person=True,
        run_id=run_id,
        origin=f"pull:{pull.pk}:{pull.commit[:12]}:{again}",
        deadline=LONG,
    )
    PullRequest.objects.filter(pk=pull.pk).update(decision_id=decision.pk)
    return {"decision": decision.pk}


def pull_look(handle: Handle, pull_id: int) -> dict[str, Any]:
    """Whether the remote's target holds it: {"status": merged|open, "commit", "tree"}."""
    pull = PullRequest.objects.select_related("bead__project").get(pk=pull_id)
    hub = Hub(hub_path(pull.project_id))
    target = main_sync(hub, policy_of(pull.project_id), pull.target)
    if not is_landed(hub, pull, target):
        return {"status": "open"}
    return {
        "status": "merged",
        "commit": target,
        "tree": hub.tree(target),
        "summary": "Merged on the remote.",
    }


def is_landed(hub: Hub, pull: PullRequest, target: str) -> bool:
    """Merged as it is, squashed or rebased: merging it once more would change nothing."""
    if target == pull.base:
        return False
    merge = hub.merge(target, pull.commit)
    return merge.clean and merge.tree == hub.tree(target)


def pull_close(*, pull_id: int, status: str, commit: str = "", actor: str = "") -> None:
    """A database step."""
    pull = PullRequest.objects.select_related("bead__project").get(pk=pull_id)
    closed = move(
        PullRequest.objects.filter(pk=pull_id),
        to=status,
        allowed={PullRequest.Status.OPEN},
        merged_commit=commit,
        closed_by=actor[:150],
        closed_at=timezone.now(),
    )
    if closed:
        _tell(pull, f"pull_request.{status}", actor=actor, commit=commit)


def pulls_watch(project_id: int | None = None) -> int:
    """Look at the remotes of open pull requests, and answer for those that were merged there; how many."""
    found = 0
    waiting = Decision.objects.open().values("pk")
    rows = PullRequest.objects.filter(status=PullRequest.Status.OPEN, decision_id__in=waiting)
    if project_id is not None:
        rows = rows.filter(project=project_id)
    for project in Project.objects.filter(pk__in=rows.values("project_id")).defer("prd"):
        hub, policy = Hub(hub_path(project.pk)), policy_of(project.pk)
        if not policy.remote:
            continue
        try:
            target = Remote(hub, policy).fetch(project.branch)
        except LoomError as error:  # of one project; the others are looked at
            log.warning("the remote of project %s: %s", project.pk, error.message)
            continue
        for pull in rows.filter(project=project):
            if target is not None and is_landed(hub, pull, target):
                decision = Decision.objects.select_related("project").get(pk=pull.decision_id)
                decision_decide(decision=decision, choice=THERE, decider="the remote")
                found += 1
    return found


def _finish(handle: Handle, output: dict[str, Any]) -> dict[str, Any]:
    with transaction.atomic():
        handle.finish(output)
    return output


def _tell(pull: PullRequest, kind: str, *, actor: str, **data: Any) -> None:
    emit(
        kind,
        organization_id=pull.bead.project.organization_id,
        project_id=pull.project_id,
        bead_id=pull.bead_id,
        subject=f"bead:{pull.bead.key}",
        actor=actor,
        branch=pull.branch,
        **data,
    )

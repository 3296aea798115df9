"""Landing work on main: claims on top of each other, verified together, and main moved by compare-and-swap.

Whoever has the turn takes those who wait behind along. The newest commit of the batch is checked; if it is
red, halving finds the first one that makes it so. Those before it land, it goes back to its author, and those
after it come with the next turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from apps.agents.conflicts import both_sides
from apps.agents.hub import Hub
from apps.agents.letters import letters_unheard
from apps.agents.merge_models import MergePolicy, policy_of
from apps.agents.merging import merge_settle
from apps.agents.models import Claim, Evidence, MergeRequest, Message
from apps.agents.places import hub_path
from apps.agents.proof import evidence_add
from apps.agents.remotes import main_sync, push_main
from apps.agents.results import CheckResult
from apps.agents.verify import claim_flags, commit_check
from apps.core.crash import crashpoint
from apps.engine.flow import Handle, joins
from apps.engine.models import Run
from apps.projects.models import Project

RACES = 5  # how often main may move under a merge, by somebody outside the queue
KNOWN = "claim__bead__project", "claim__session__agent", "bead", "project"


@dataclass(frozen=True)
class Link:
    """A claim as one commit on top of the one before it."""

    request: MergeRequest
    parent: str
    commit: str
    tree: str

    @property
    def claim(self) -> Claim:
        claim: Claim = self.request.claim
        return claim


@dataclass(frozen=True)
class Verdict:
    """What checking a commit gave; `earlier` is the evidence of the same tree, if it was proven before."""

    passed: bool
    summary: str
    results: Sequence[CheckResult] = ()
    earlier: Sequence[Evidence] = ()


@dataclass
class Attempt:
    handle: Handle
    hub: Hub
    policy: MergePolicy
    branch: str
    main: str
    chain: list[Link] = field(default_factory=list)
    verdicts: dict[int, Verdict] = field(default_factory=dict)  # by how many links are in
    flags: dict[int, list[dict[str, str]]] = field(default_factory=dict)  # by request


@joins
def merge_attempt(handle: Handle, request_id: int) -> dict[str, Any]:
    """Put the claim, and those that wait behind it, on top of main, prove them there, and move main.

    {"status": merged|conflict|red|canceled, "commit", "tree", "main", "conflicts", "sides", "summary"}
    """
    request = MergeRequest.objects.select_related(*KNOWN).get(pk=request_id)
    with transaction.atomic():
        handle.begin()
    hub, policy = Hub(hub_path(request.project_id)), policy_of(request.project_id)
    branch = request.project.branch
    for _ in range(RACES):
        main = main_sync(hub, policy, branch)
        if request.tip and hub.is_ancestor(request.tip, main):
            return _finish_landed(handle, request)  # by an attempt that was killed
        output = _try(Attempt(handle, hub, policy, branch, main), request)
        if output is not None:
            return output
    raise RuntimeError(f"{branch} kept moving while {request.bead.key} was merged.")


def _try(attempt: Attempt, request: MergeRequest) -> dict[str, Any] | None:
    """One attempt; None if main, or who waits in the queue, changed meanwhile."""
    if withdrawn := _withdrawn(request):
        return _finish(attempt.handle, withdrawn)
    if conflict := _link(attempt, request):
        return _finish(attempt.handle, conflict)
    for waiting in _behind(request, attempt.policy.batch_size - 1):
        _link(attempt, waiting)  # what conflicts waits for its own turn
    green = _first_red(attempt) - 1
    for link in attempt.chain[: green + 1]:
        attempt.flags[link.request.pk] = claim_flags(attempt.hub, link.claim, link.parent, link.commit)
    if not _plan(attempt, green):
        return None
    crashpoint("before_advance")
    tip = attempt.chain[green - 1].commit if green else attempt.main
    if tip != attempt.main and not _advance(attempt, tip):
        return None
    crashpoint("after_advance")
    return _finish_batch(attempt, green, tip)


def _advance(attempt: Attempt, tip: str) -> bool:
    """Move main, that of the remote first: what is on it is taken over by whoever comes next."""
    if attempt.policy.remote and not push_main(attempt.hub, attempt.policy, attempt.branch, tip):
        return False
    crashpoint("after_push")
    return attempt.hub.advance(attempt.branch, tip, attempt.main)


def _behind(request: MergeRequest, most: int) -> list[MergeRequest]:
    """Who waits behind, the longest waiting first."""
    waiting = _waiting().filter(project_id=request.project_id)
    return list(waiting.select_related(*KNOWN).order_by("id")[:most])


def _waiting() -> QuerySet[MergeRequest]:
    """Places in queues, without those of runs told to stop and of authors who are to hear something first."""
    stopped = Run.objects.filter(pk=OuterRef("run_id"), cancel_requested=True)
    unheard = Message.objects.filter(bead_id=OuterRef("bead_id"), delivered_at=None)
    return MergeRequest.objects.filter(~Exists(stopped), ~Exists(unheard), status=MergeRequest.Status.QUEUED)


def _withdrawn(request: MergeRequest) -> dict[str, Any] | None:
    """How one's own merge ends if people stopped it, or commented on the change, since it was queued."""
    if Run.objects.filter(pk=request.run_id, cancel_requested=True).exists():
        return {"status": MergeRequest.Status.CANCELED}
    if letters_unheard(request.bead_id):
        return {"status": MergeRequest.Status.CANCELED, "unheard": True}
    return None


def _link(attempt: Attempt, request: MergeRequest) -> dict[str, Any] | None:
    """Add a claim to the chain; the outcome if it conflicts with what it stands on."""
    hub, claim = attempt.hub, request.claim
    parent = attempt.chain[-1].commit if attempt.chain else attempt.main
    merge = hub.merge(parent, claim.commit)
    if merge.conflicts:
        return {
            "status": "conflict",
            "conflicts": list(merge.conflicts),
            "sides": both_sides(hub, claim, main=parent, merge=merge),
            "tree": merge.tree,
            "main": parent,
        }
    nothing_new = merge.tree == hub.tree(parent)
    commit = (
        parent
        if nothing_new
        else hub.commit_tree(merge.tree, [parent], commit_message(claim), commit_author(claim))
    )
    attempt.chain.append(Link(request, parent, commit, merge.tree))
    return None


# -- proving -----------------------------------------------------------------------------------------


def _first_red(attempt: Attempt) -> int:
    """The number of the first link that makes the checks fail; one more than there are if none does."""
    low, high = 0, len(attempt.chain)
    if _verdict(attempt, high).passed:
        return high + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _verdict(attempt, middle).passed else (low, middle)
    return high


def _verdict(attempt: Attempt, links: int) -> Verdict:
    """What the checks say of so many links, unless this very tree was proven before."""
    if links not in attempt.verdicts:
        link = attempt.chain[links - 1]
        proven = Evidence.objects.filter(claim=link.claim, tree=link.tree, kind=Evidence.Kind.CLAIM)
        rows = list(proven)
        if rows and all(row.passed for row in rows):
            verdict = Verdict(True, "The same tree was proven before.", earlier=rows)
        else:
            report = commit_check(attempt.hub, link.claim, link.commit, attempt.handle)
            verdict = Verdict(report.passed, report.summary(), report.results)
        attempt.verdicts[links] = verdict
    return attempt.verdicts[links]


def _evidence_keep(attempt: Attempt, link: Link, verdict: Verdict, at: Link) -> None:
    """Evidence of a link: what was verified is `at`, the newest commit of its batch."""
    # Of an attempt that was killed, or overtaken by another merge, and whose commit is not on main.
    Evidence.objects.filter(claim=link.claim, kind=Evidence.Kind.MERGE).delete()
    flags = attempt.flags[link.request.pk]
    if verdict.earlier:
        for row in verdict.earlier:
            row.pk, row.kind, row.commit = None, Evidence.Kind.MERGE, at.commit
            row.claim, row.bead, row.flags = link.claim, link.claim.bead, flags
        Evidence.objects.bulk_create(verdict.earlier)
        return
    evidence_add(
        claim=link.claim,
        kind=Evidence.Kind.MERGE,
        commit=at.commit,
        tree=at.tree,
        results=verdict.results,
        flags=flags,
        passed=verdict.passed,
    )


# -- writing -----------------------------------------------------------------------------------------


def _plan(attempt: Attempt, green: int) -> bool:
    """Keep the evidence and what is about to land, while all of it still waits; False if somebody left.

    An attempt that finds its plan on main knows that it landed.
    """
    chain = attempt.chain
    with transaction.atomic():
        attempt.handle.begin()  # is the run still ours? Checks take long, and only one attempt may move main
        Project.objects.locked(chain[0].request.project_id)
        others = [link.request.pk for link in chain[1 : green + 1]]
        if _waiting().filter(pk__in=others).count() != len(others) or _withdrawn(chain[0].request):
            return False
        for link in chain[:green]:
            tip = chain[green - 1]
            _evidence_keep(attempt, link, attempt.verdicts[green], tip)
            MergeRequest.objects.filter(pk=link.request.pk).update(commit=link.commit, tip=tip.commit)
        if green < len(chain):
            red = chain[green]
            _evidence_keep(attempt, red, attempt.verdicts[green + 1], red)
    return True


def _finish_batch(attempt: Attempt, green: int, tip: str) -> dict[str, Any]:
    outcomes = [_merged(link, attempt.verdicts[green].summary) for link in attempt.chain[:green]]
    if green < len(attempt.chain):
        red = attempt.chain[green]
        summary = attempt.verdicts[green + 1].summary
        outcomes.append({"status": "red", "summary": summary, "commit": red.commit, "main": tip})
    with transaction.atomic():
        attempt.handle.finish(outcomes[0])
        for link, outcome in list(zip(attempt.chain, outcomes, strict=False))[1:]:
            merge_settle(request=link.request, outcome=outcome)
    return outcomes[0]


def _merged(link: Link, summary: str) -> dict[str, Any]:
    return {"status": "merged", "commit": link.commit, "tree": link.tree, "summary": summary}


def _finish_landed(handle: Handle, request: MergeRequest) -> dict[str, Any]:
    """Main holds the whole batch already; only nobody was told."""
    batch = MergeRequest.objects.filter(project_id=request.project_id, tip=request.tip)
    outcomes = {
        row.pk: {"status": "merged", "commit": row.commit, "summary": "It landed."}
        for row in batch.select_related(*KNOWN)
    }
    with transaction.atomic():
        handle.finish(outcomes[request.pk])
        for row in batch.exclude(pk=request.pk).select_related(*KNOWN):
            merge_settle(request=row, outcome=outcomes[row.pk])
    return outcomes[request.pk]


def _finish(handle: Handle, output: dict[str, Any]) -> dict[str, Any]:
    with transaction.atomic():
        handle.finish(output)
    return output


def commit_message(claim: Claim) -> str:
    bead = claim.bead
    keys = ", ".join(bead.requirements.values_list("key", flat=True))
    trailers = [f"Bead: {bead.key}", f"Agent: {claim.session.agent.name}"]
    if keys:
        trailers.append(f"Requirements: {keys}")
    body = f"{claim.summary.strip()}\n\n" if claim.summary.strip() else ""
    return f"{bead.title}\n\n{body}" + "\n".join(trailers)


def commit_author(claim: Claim) -> str:
    agent = claim.session.agent
    return f"{agent.name} <{agent.role}@loom.invalid>"

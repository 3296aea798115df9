"""How the nodes of a workflow behave: work, verification, review, approval, the merge queue, waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.agents.acceptance import ACCEPT, REJECT, flags_ask, flags_text
from apps.agents.landing import merge_attempt
from apps.agents.loop import STOPPED_REASONS
from apps.agents.merging import merge_enqueue, merge_leave
from apps.agents.models import MergeRequest, Review
from apps.agents.story import HANDED_ON
from apps.agents.verify import verify_claim
from apps.beads.models import Bead
from apps.engine.errors import StepFailed
from apps.engine.flow import call, current, sleep, step, wait_for
from apps.workflows.approvals import APPROVE, approval_ask
from apps.workflows.graph_actions import ACTIONS, Outcome
from apps.workflows.graph_library import pinned
from apps.workflows.node_pull_requests import PullRequestTalk
from apps.workflows.node_steps import merge_turn, moment, put_on_main, review_open, review_result, work_open
from apps.workflows.talk import Dropped, Stopped, answer, session_close, stage, talk, tell

if TYPE_CHECKING:
    from apps.workflows.bead_flow import BeadWalk
    from apps.workflows.interpreter import Walk


def task(walk: BeadWalk, key: str, node: Any) -> Outcome:
    """An agent works until it claims to be done; what it asks meanwhile is answered."""
    _take_seat(walk, key)
    if walk.claimed is not None:
        walk.claim_id, walk.claimed = walk.claimed, None
        return Outcome("success", data={"claim": walk.claim_id})
    until = walk.until(node.timeout)
    while True:
        ending = talk(walk.session_id, project_id=walk.project_id, bead_id=walk.bead_id, until=until)
        if ending.reason == "wait" and ending.decision_id is not None:
            stage(walk.bead_id, Bead.Stage.ASKING)
            said = answer(ending.decision_id, project_id=walk.project_id, bead_id=walk.bead_id)
            why = f" - {said['rationale']}" if said.get("rationale") else ""
            tell(
                walk.session_id,
                f"Decision answered: {said.get('choice', '')}{why} (by {said.get('decider', '?')})",
            )
            stage(walk.bead_id, Bead.Stage.WORKING)
            # Waiting for an answer is not the agent's time.
            until = step(moment, step_name="clock", after=node.timeout) if until is not None else None
        elif ending.reason == "claim" and ending.claim_id is not None:
            walk.claim_id = ending.claim_id
            return Outcome("success", data={"claim": ending.claim_id})
        else:
            return _unfinished(walk, ending.reason, ending.detail)


def _take_seat(walk: BeadWalk, key: str) -> None:
    """Go on in the node's own session if it is open, else open one on what was handed over."""
    if walk.session_id and walk.owner == key:
        if walk.why:
            tell(walk.session_id, walk.why)
        return
    if walk.session_id:
        step(session_close, session_id=walk.session_id, reason=HANDED_ON)
        walk.session_id = 0
    opened = (
        walk.opened
        or call(
            work_open,
            bead_id=walk.bead_id,
            workflow=walk.sha256,
            node=key,
            why=walk.why,
        )["session"]
    )
    walk.session_id, walk.owner, walk.opened = opened, key, None


def _unfinished(walk: BeadWalk, reason: str, detail: str) -> Outcome:
    session_id, walk.session_id = walk.session_id, 0
    step(session_close, session_id=session_id, reason=reason, detail=detail)
    if reason == "timeout":
        return Outcome("timeout", detail, {"session": session_id})
    if reason in STOPPED_REASONS:
        return Outcome("failure", detail, {"session": session_id, "reason": reason})
    raise Stopped(reason, detail)


def verify(walk: BeadWalk, key: str, node: Any) -> Outcome:
    proof = call(verify_claim, claim_id=walk.claim_id)
    walk.flags = proof["flags"]
    if proof.get("held") and (refused := _flags_refused(walk, proof)):
        return refused
    if proof["passed"]:
        return Outcome("success", data={"claim": walk.claim_id, "summary": proof["summary"]})
    return Outcome("failure", f"Verification failed: {proof['summary']}", {"claim": walk.claim_id})


def _flags_refused(walk: BeadWalk, proof: dict[str, Any]) -> Outcome | None:
    """The author undoes what the project does not let pass, or a person accepts it: then None."""
    listed, data = flags_text(proof["held"]), {"claim": walk.claim_id, "flags": proof["held"]}
    if not proof["seen"]:
        return Outcome("failure", f"{FLAGGED}\n{listed}", data)
    asked = step(
        flags_ask,
        claim_id=walk.claim_id,
        flags=proof["held"],
        diff=proof["diff"],
        run_id=current().run.pk,
    )
    stage(walk.bead_id, Bead.Stage.ASKING)
    said = wait_for(f"decision:{asked['decision']}") or {}
    stage(walk.bead_id, Bead.Stage.VERIFYING)
    rationale = said.get("rationale", "")
    if said.get("choice") == ACCEPT:
        return None
    if said.get("choice") == REJECT:
        raise Dropped(f"The change to the tests was rejected: {rationale}")
    return Outcome("failure", f"Not accepted, undo it: {rationale}\n{listed}", data)


FLAGGED = (
    "The checks pass, but the change to the tests or checks themselves is not let pass here. Undo it and "
    "call done again. If it is really needed, leave it and say in the summary why: a person will be asked."
)


def review(walk: BeadWalk, key: str, node: Any) -> Outcome:
    opened = call(review_open, claim_id=walk.claim_id, flags=walk.flags, workflow=walk.sha256, node=key)
    session_id = walk.reviewing = opened["session"]
    ending = talk(
        session_id, project_id=walk.project_id, bead_id=walk.bead_id, until=walk.until(node.timeout)
    )
    step(session_close, session_id=session_id, reason=ending.reason, detail=ending.detail)
    if ending.reason == "timeout":
        return Outcome("timeout", "", {"session": session_id})
    if ending.reason != "review":
        return Outcome("failure", "", {"session": session_id, "ended": ending.reason})
    said = step(review_result, session_id=session_id)
    if said["verdict"] == Review.Verdict.APPROVE:
        return Outcome("approved", "", {"session": session_id, "by": said["by"]})
    return Outcome(
        "rejected",
        f"Review: changes requested by {said['by']}:\n{said['comments']}",
        {"session": session_id, "by": said["by"]},
    )


def approval(walk: Walk, key: str, node: Any) -> Outcome:
    """A decision: yes, back with what must change, or the end of it."""
    asked = step(
        approval_ask,
        project_id=walk.project_id,
        bead_id=walk.bead_id,
        workflow=walk.sha256,
        node=key,
        final=walk.gives_up(key),
        claim_id=walk.claim_id,
    )
    said = answer(asked["decision"], project_id=walk.project_id, bead_id=walk.bead_id)
    choice, rationale = said.get("choice", ""), said.get("rationale", "")
    data = {"decision": asked["decision"], "by": said.get("decider", ""), "choice": choice}
    if choice == APPROVE:
        return Outcome("approved", f"Approved: {rationale}" if rationale else "", data)
    if not choice and node.timeout is not None:
        return Outcome("timeout", "Nobody decided in time.", data)
    if choice == "reject" and not walk.gives_up(key):
        raise Dropped(f"{asked['subject']} was rejected: {rationale}")
    return Outcome("rejected", walk.refusal(rationale or "Change it."), data)


def merge(walk: BeadWalk, key: str, node: Any) -> Outcome:
    place, pull = step(merge_enqueue, claim_id=walk.claim_id, run_id=current().run.pk), None
    if place.get("unheard"):
        return _back_to_be_heard(walk)
    if place.get("pull"):
        pull = PullRequestTalk(walk)
        if (ended := pull.ended()) is not None:
            return _after_merge(walk, key, ended) if isinstance(ended, dict) else ended
        place = step(merge_enqueue, claim_id=walk.claim_id, run_id=current().run.pk)
        if place.get("unheard"):
            return _back_to_be_heard(walk)
    merged = _turn_await(place["id"], node.timeout)
    if merged["status"] == MergeRequest.Status.MERGING:
        merged = _merge_now(place["id"])
    if pull is not None and merged["status"] == MergeRequest.Status.MERGED:
        pull.close("merged", commit=merged["commit"])
    return _after_merge(walk, key, merged)


def _back_to_be_heard(walk: BeadWalk) -> Outcome:
    """People commented on what was about to be merged: its author hears them first, and nothing is missed."""
    walk.misses.clear()
    walk.cycles_since_help = 0
    return Outcome("failure", COMMENTED, {"commented": True})


COMMENTED = (
    "Nothing is merged yet: people commented on your change. Read what they say below, change what they "
    "ask for or say in the summary why not, then call done again."
)


def _after_merge(walk: BeadWalk, key: str, merged: dict[str, Any]) -> Outcome:
    if merged["status"] == MergeRequest.Status.MERGED:
        walk.merged = merged
        _close_after_merge(walk, key)
        return Outcome("success", data={"commit": merged["commit"]})
    if merged.get("unheard"):
        return _back_to_be_heard(walk)
    if merged["status"] == MergeRequest.Status.CANCELED:
        return Outcome("timeout", "The turn to merge did not come in time.")
    call(put_on_main, session_id=walk.session_id, main=merged["main"], tree=merged.get("tree", ""))
    return Outcome("failure", merge_trouble(merged), {"status": merged["status"]})


def _turn_await(request_id: int, timeout: float | None) -> dict[str, Any]:
    """Wait for the turn, or for what somebody else's turn brought."""
    while True:
        if wait_for(f"merge:{request_id}", timeout=timeout) is None:
            return dict(step(merge_leave, request_id=request_id, status=MergeRequest.Status.CANCELED))
        stands = dict(step(merge_turn, request_id=request_id))
        if stands["status"] != MergeRequest.Status.QUEUED:  # not a turn that was given, and then taken back
            return stands


def _merge_now(request_id: int) -> dict[str, Any]:
    try:
        merged: dict[str, Any] = call(merge_attempt, request_id=request_id)
    except StepFailed:  # the queue does not stand still for our trouble
        step(merge_leave, request_id=request_id, status=MergeRequest.Status.CANCELED)
        raise
    step(
        merge_leave,
        request_id=request_id,
        status=merged["status"],
        commit=merged.get("commit", ""),
        detail=merged.get("summary") or ", ".join(merged.get("conflicts", ())),
    )
    return merged


def _close_after_merge(walk: BeadWalk, key: str) -> None:
    """Work that goes on after the merge begins on the new main; at the end one step closes everything."""
    if walk.graph.way(key, "success", walk.labels) != "end":
        step(session_close, session_id=walk.session_id, reason="merged")
        walk.session_id = 0


def merge_trouble(merged: dict[str, Any]) -> str:
    if merged["status"] == MergeRequest.Status.CONFLICT:
        return (
            f"Merge conflict in {', '.join(merged['conflicts'])}: main has moved. Your worktree now holds "
            "the merge with conflict markers: between <<<<<<< and ======= stands main, below it yours. Keep "
            "what both sides meant, remove the markers, run the tests, then call done again."
            f"\n\n{merged.get('sides', '')}".rstrip()
        )
    return (
        "Verification failed on top of main, where others' work has been merged since. Your worktree now "
        f"holds the merge. {merged['summary']}"
    )


def wait(walk: Walk, key: str, node: Any) -> Outcome:
    if node.delay is not None:
        sleep(node.delay)
        return Outcome("success")
    said = wait_for(node.signal, timeout=node.timeout)
    if said is None:
        return Outcome("timeout", f"The signal {node.signal} did not come in time.")
    return Outcome("success", data={"signal": said})


def action(walk: Walk, key: str, node: Any) -> Outcome:
    found = ACTIONS[pinned(walk.sha256).subject].get(node.action)
    if found is None:
        return Outcome("failure", f"There is no action {node.action!r} in this version of Loom.")
    return found.run(walk, **node.given)

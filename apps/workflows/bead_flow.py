"""The flow of a bead: work, claim, verify, review, merge, close; with the ways back."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.agents.hub import Hub
from apps.agents.loop import STOPPED_REASONS
from apps.agents.merging import merge_attempt, merge_enqueue, merge_leave
from apps.agents.models import Claim, MergeRequest, Review, Session
from apps.agents.places import hub_path
from apps.agents.seat import forget, seat_of
from apps.agents.services import agent_acquire
from apps.agents.verify import verify_claim
from apps.beads.models import Bead
from apps.beads.services import bead_close, bead_reopen
from apps.engine.errors import Canceled, StepFailed
from apps.engine.flow import Handle, call, current, flow, joins, step, wait_for
from apps.workflows.briefing import Work, briefing_of, work_sessions
from apps.workflows.dispatch import role_of
from apps.workflows.sessions import review_session
from apps.workflows.talk import DROP, Dropped, Stopped, answer, ask_person, session_close, stage, talk, tell

MAX_FAILED_CLAIMS = 5
MAX_REJECTIONS = 4
MAX_MERGES = 6
FRESH_SESSIONS = 2  # tried before a person is asked


@flow("bead.work")
def bead_work(bead_id: int, project_id: int, session_id: int | None = None) -> dict[str, Any]:
    """Bring one bead to main, or to a person. `session_id` is the first session, if it is open already."""
    work = BeadWork(bead_id=bead_id, project_id=project_id)
    try:
        return work.run(session_id)
    except Dropped as dropped:
        step(bead_drop, bead_id=bead_id, reason=str(dropped))
        return {"status": "dropped"}
    except Canceled:
        step(bead_stop, bead_id=bead_id)
        raise


class BeadWork:
    """One execution of the flow; holds nothing that its steps do not say again."""

    def __init__(self, *, bead_id: int, project_id: int) -> None:
        self.bead_id, self.project_id = bead_id, project_id
        self.session_id = 0

    def run(self, opened: int | None) -> dict[str, Any]:
        fresh = 0
        while True:
            fresh += 1
            self.session_id = opened or call(work_open, bead_id=self.bead_id)["session"]
            opened = None
            try:
                merged = self.until_merged_or_helped()
            except Stopped as stopped:
                step(session_close, session_id=self.session_id, reason=stopped.reason, detail=stopped.detail)
                if stopped.reason in STOPPED_REASONS and fresh < FRESH_SESSIONS:
                    continue
                choice = ask_person(
                    str(stopped), project_id=self.project_id, bead_id=self.bead_id, reason=stopped.reason
                )
                if choice == DROP:
                    raise Dropped(str(stopped)) from stopped
                fresh = 0
            else:
                step(bead_finish, bead_id=self.bead_id, session_id=self.session_id, merged=merged)
                return {"status": "merged", "commit": merged["commit"]}

    def until_merged_or_helped(self) -> dict[str, Any]:
        """When the platform itself fails at a step, a person is asked, and the same session goes on."""
        while True:
            try:
                return self.until_merged()
            except StepFailed as failed:
                trouble = f"{failed.failure.message} {failed.failure.hint}".strip()
            if ask_person(trouble, project_id=self.project_id, bead_id=self.bead_id) == DROP:
                raise Dropped(trouble)
            self.send_back(
                f"Verification failed: the platform could not finish it ({trouble}). Call done again."
            )

    def until_merged(self) -> dict[str, Any]:
        """Round and round until main holds the work; Stopped when a limit says enough."""
        failed = rejected = merges = 0
        while True:
            claim_id = self.next_claim()
            stage(self.bead_id, Bead.Stage.VERIFYING)
            proof = call(verify_claim, claim_id=claim_id)
            if not proof["passed"]:
                failed += 1
                self.limit(failed, MAX_FAILED_CLAIMS, "verification", "claims failed their verification")
                self.send_back(f"Verification failed: {proof['summary']}")
                continue
            stage(self.bead_id, Bead.Stage.REVIEWING)
            review = self.review(claim_id, proof["flags"])
            if review["verdict"] != Review.Verdict.APPROVE:
                rejected += 1
                self.limit(rejected, MAX_REJECTIONS, "review", "reviews asked for changes")
                self.send_back(f"Review: changes requested by {review['by']}:\n{review['comments']}")
                continue
            merged = self.merge(claim_id)
            if merged["status"] == MergeRequest.Status.MERGED:
                return merged
            merges += 1
            self.limit(merges, MAX_MERGES, "merge", "merges did not succeed")
            call(put_on_main, session_id=self.session_id, main=merged["main"], tree=merged.get("tree", ""))
            self.send_back(_merge_trouble(merged))

    def next_claim(self) -> int:
        while True:
            ending = talk(self.session_id, project_id=self.project_id, bead_id=self.bead_id)
            if ending.reason == "wait" and ending.decision_id is not None:
                stage(self.bead_id, Bead.Stage.ASKING)
                said = answer(ending.decision_id, project_id=self.project_id, bead_id=self.bead_id)
                why = f" - {said['rationale']}" if said.get("rationale") else ""
                self.send_back(
                    f"Decision answered: {said.get('choice', '')}{why} (by {said.get('decider', '?')})"
                )
            elif ending.reason == "claim" and ending.claim_id is not None:
                return ending.claim_id
            else:
                raise Stopped(ending.reason, ending.detail)

    def send_back(self, text: str) -> None:
        tell(self.session_id, text)
        stage(self.bead_id, Bead.Stage.WORKING)

    def limit(self, count: int, most: int, reason: str, what: str) -> None:
        if count >= most:
            raise Stopped(reason, f"{count} {what}.")

    def review(self, claim_id: int, flags: list[dict[str, str]]) -> dict[str, Any]:
        """The verdict of a reviewer; a second one is asked if the first gives none."""
        for _ in range(FRESH_SESSIONS):
            opened = call(review_open, claim_id=claim_id, flags=flags)
            ending = talk(opened["session"], project_id=self.project_id, bead_id=self.bead_id)
            step(session_close, session_id=opened["session"], reason=ending.reason, detail=ending.detail)
            if ending.reason == "review":
                return step(review_result, session_id=opened["session"])
        raise Stopped("review", "No reviewer gave a verdict.")

    def merge(self, claim_id: int) -> dict[str, Any]:
        place = step(merge_enqueue, claim_id=claim_id, run_id=current().run.pk)
        stage(self.bead_id, Bead.Stage.QUEUED)
        wait_for(f"merge:{place['id']}")
        stage(self.bead_id, Bead.Stage.MERGING)
        result: dict[str, Any] = call(merge_attempt, request_id=place["id"])
        step(
            merge_leave,
            request_id=place["id"],
            status=result["status"],
            commit=result.get("commit", ""),
            detail=result.get("summary") or ", ".join(result.get("conflicts", ())),
        )
        return result


def _merge_trouble(merged: dict[str, Any]) -> str:
    if merged["status"] == MergeRequest.Status.CONFLICT:
        return (
            f"Merge conflict in {', '.join(merged['conflicts'])}: main has moved. Your worktree now holds "
            "the merge with conflict markers: between <<<<<<< and ======= stands main, below it yours. Keep "
            "what both sides meant, remove the markers, run the tests, then call done again."
        )
    return (
        "Verification failed on top of main, where others' work has been merged since. Your worktree now "
        f"holds the merge. {merged['summary']}"
    )


# -- steps ----------------------------------------------------------------------------------------


@joins
def work_open(handle: Handle, bead_id: int) -> dict[str, Any]:
    bead = Bead.objects.select_related("project").get(pk=bead_id)
    briefing = briefing_of(bead.project, [bead])
    with transaction.atomic():
        agent = agent_acquire(project=bead.project, role=role_of(bead), bead=bead)
        works = [Work(bead, agent, origin=handle.key)]
        (session,) = work_sessions(project=bead.project, works=works, briefing=briefing)
        handle.finish({"session": session.pk})
    return {"session": session.pk}


@joins
def review_open(handle: Handle, claim_id: int, flags: list[dict[str, str]]) -> dict[str, Any]:
    claim = Claim.objects.select_related("bead", "session").get(pk=claim_id)
    hub = Hub(hub_path(claim.bead.project_id))
    diff = hub.diff(claim.session.base_commit, claim.commit)
    with transaction.atomic():
        session_id = review_session(claim_id=claim_id, origin=handle.key, diff=diff, flags=flags)
        handle.finish({"session": session_id})
    return {"session": session_id}


def review_result(*, session_id: int) -> dict[str, Any]:
    review = Review.objects.select_related("session__agent").get(session_id=session_id)
    unmet = [
        f"- not met: {criterion['criterion']} {criterion.get('note', '')}".rstrip()
        for criterion in review.criteria
        if not criterion.get("met")
    ]
    return {
        "verdict": review.verdict,
        "comments": "\n".join([review.comments, *unmet]).strip(),
        "by": review.session.agent.name,
    }


def put_on_main(handle: Handle, session_id: int, main: str, tree: str) -> dict[str, Any]:
    """Put the session's work on top of main: the merged tree in its worktree, main as its parent."""
    seat = seat_of(session_id)
    # What the session had stays reachable: a ref of its own for each time it is moved.
    seat.hub.set_ref(f"refs/loom/kept/{session_id}-{main[:12]}", seat.head)
    seat.workspace().reset_to(tree or seat.hub.merge(main, seat.head).tree, main)
    commit = seat.keep("on top of main")
    Session.objects.filter(pk=session_id).update(base_commit=main, head_commit=commit)
    forget(session_id)
    return {"commit": commit}


def bead_finish(*, bead_id: int, session_id: int, merged: dict[str, Any]) -> None:
    bead = Bead.objects.select_related("project").get(pk=bead_id)
    session_close(session_id=session_id, reason="merged")
    bead_close(bead=bead, reason="Proven, reviewed and merged.", commit=merged["commit"], actor="merge queue")


def bead_drop(*, bead_id: int, reason: str) -> None:
    bead = Bead.objects.select_related("project").get(pk=bead_id)
    bead_close(bead=bead, reason=f"Dropped by a person: {reason}", actor="a person")


def bead_stop(*, bead_id: int) -> None:
    """The run was canceled: free the agents, leave the queue; the bead waits to be opened again."""
    bead = Bead.objects.select_related("project").get(pk=bead_id)
    for request in MergeRequest.objects.filter(bead=bead, status__in=["queued", "merging"]):
        merge_leave(request_id=request.pk, status=MergeRequest.Status.CANCELED)
    for session in Session.objects.filter(bead=bead, status=Session.Status.OPEN):
        session_close(session_id=session.pk, reason="canceled")
    if bead.status == Bead.Status.IN_PROGRESS:
        Bead.objects.filter(pk=bead_id).update(status=Bead.Status.DEFERRED)
        bead.status = Bead.Status.DEFERRED
        bead_reopen(bead=bead, reason="canceled", actor="loom")

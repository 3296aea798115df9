"""The flow of a bead: the walk through its workflow, to main, or to a person, or given up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from apps.agents.merging import merge_leave
from apps.agents.models import MergeRequest, Session
from apps.agents.seat import sessions_read
from apps.beads.models import Bead
from apps.beads.services import bead_close, bead_create, bead_reopen
from apps.engine.errors import Canceled
from apps.engine.flow import current, flow, step
from apps.engine.models import Run
from apps.workflows import nodes
from apps.workflows.execution_services import execution_end
from apps.workflows.graph import DROP as GIVE_UP
from apps.workflows.graph_actions import Outcome, graph_action
from apps.workflows.interpreter import Behavior, Walk
from apps.workflows.models import WorkflowExecution
from apps.workflows.taken_work import REASON, bead_taken, taker_of
from apps.workflows.talk import Dropped, session_close

STAGES = {
    "task": Bead.Stage.WORKING,
    "verify": Bead.Stage.VERIFYING,
    "review": Bead.Stage.REVIEWING,
    "approval": Bead.Stage.ASKING,
    "merge": Bead.Stage.QUEUED,
    "wait": Bead.Stage.WAITING,
    "action": Bead.Stage.WORKING,
}
# The words under which trouble is known elsewhere, and what a person is told of it.
REASONS = {"verify": "verification"}
TROUBLES = {
    "verify": "claims failed their verification.",
    "review": "reviews asked for changes.",
    "merge": "merges did not succeed.",
}


def sessions_prepare(runs: Sequence[Run]) -> dict[int, dict[str, Any]]:
    """The sessions that runs begin with."""
    opened = {run.pk: run.input["session_id"] for run in runs if run.input.get("session_id")}
    read = sessions_read(list(opened.values()))
    return {pk: read.get(session_id, {}) for pk, session_id in opened.items()}


@flow("bead.work", version=2, prepare=sessions_prepare)
def bead_work(
    bead_id: int,
    project_id: int,
    session_id: int | None = None,
    begun: dict[str, Any] | None = None,
    claim_id: int | None = None,
) -> dict[str, Any]:
    """Bring one bead through its workflow.

    `session_id` is the first session, if it is open already; `begun` the execution that was begun with it;
    `claim_id` what was claimed in that session before, by a person.
    """
    walk = BeadWalk(bead_id=bead_id, project_id=project_id, opened=session_id)
    walk.claimed = claim_id
    try:
        return walk.to_its_end(begun)
    except Dropped as dropped:
        walk.drop(f"Dropped by a person: {dropped}", "a person")
        return {"status": "dropped"}
    except Canceled:
        step(bead_stop, bead_id=bead_id, execution_id=walk.execution_id, left=walk.left)
        raise


class BeadWalk(Walk):
    """A bead's way: one session works on it at a time, and its newest claim is what is proven and merged."""

    bead_id: int
    behaviors: ClassVar[dict[str, Behavior]] = {
        "task": nodes.task,
        "verify": nodes.verify,
        "review": nodes.review,
        "approval": nodes.approval,
        "merge": nodes.merge,
        "wait": nodes.wait,
        "action": nodes.action,
    }

    def __init__(self, *, bead_id: int, project_id: int, opened: int | None) -> None:
        super().__init__(project_id=project_id, bead_id=bead_id)
        self.opened = opened
        self.claimed: int | None = None  # the first task node's claim, if it was made before
        self.session_id = self.reviewing = 0
        self.owner = ""  # the task node whose session is open
        self.flags: list[dict[str, str]] = []
        self.merged: dict[str, Any] = {}

    def to_its_end(self, begun: dict[str, Any] | None) -> dict[str, Any]:
        if self.run(begun=begun) == GIVE_UP:
            how = self.left or {}
            reason = f"Given up at {how['key']} ({how['condition']}): {how['detail']}".rstrip(": ")
            self.drop(reason, "loom")
            return {"status": "dropped"}
        step(
            bead_finish,
            bead_id=self.bead_id,
            session_id=self.session_id,
            merged=self.merged,
            execution_id=self.execution_id,
            left=self.left,
        )
        return {"status": "merged", "commit": self.merged["commit"]}

    def drop(self, reason: str, actor: str) -> None:
        step(
            bead_drop,
            bead_id=self.bead_id,
            reason=reason,
            actor=actor,
            execution_id=self.execution_id,
            left=self.left,
        )

    def stage_of(self, node: Any) -> str:
        return STAGES[node.kind]

    def session_of(self, node: Any) -> int | None:
        if node.kind == "review":
            return self.reviewing
        return self.session_id or None

    def stopped(self, reason: str, why: str) -> None:
        if self.session_id:
            step(session_close, session_id=self.session_id, reason=reason, detail=why)
            self.session_id = 0

    def reason_of(self, key: str, outcome: Outcome) -> str:
        kind = self.graph.nodes[key].kind
        return REASONS.get(kind) or super().reason_of(key, outcome)

    def trouble_of(self, key: str, outcome: Outcome) -> str:
        kind = self.graph.nodes[key].kind
        if kind in TROUBLES and outcome.condition in {"failure", "rejected"} and outcome.detail:
            return f"{self.misses[key]} {TROUBLES[kind]}"
        if kind == "review":
            return "No reviewer gave a verdict."
        return super().trouble_of(key, outcome)

    def refusal(self, rationale: str) -> str:
        return f"Not approved, change this and call done again: {rationale}"


# -- steps ----------------------------------------------------------------------------------------


def bead_finish(
    *,
    bead_id: int,
    session_id: int,
    merged: dict[str, Any],
    execution_id: int,
    left: dict[str, Any] | None,
) -> None:
    bead = Bead.objects.select_related("project").get(pk=bead_id)
    if session_id:
        session_close(session_id=session_id, reason="merged")
    execution_end(execution_id=execution_id, status=WorkflowExecution.Status.COMPLETED, left=left)
    bead_close(bead=bead, reason="Proven, reviewed and merged.", commit=merged["commit"], actor="merge queue")


def bead_drop(
    *, bead_id: int, reason: str, actor: str, execution_id: int, left: dict[str, Any] | None
) -> None:
    bead = Bead.objects.select_related("project").get(pk=bead_id)
    for session in Session.objects.filter(bead=bead, status=Session.Status.OPEN):
        session_close(session_id=session.pk, reason="dropped")
    execution_end(execution_id=execution_id, status=WorkflowExecution.Status.FAILED, left=left)
    bead_close(bead=bead, reason=reason, actor=actor)


def bead_stop(*, bead_id: int, execution_id: int, left: dict[str, Any] | None) -> None:
    """The run was canceled: free the agents, leave the queue; the bead waits to be opened again.

    If a person takes the work over, it is theirs from now on.
    """
    bead = Bead.objects.select_related("project").get(pk=bead_id)
    taker = taker_of(bead, [current().run.pk])
    for request in MergeRequest.objects.filter(bead=bead, status__in=["queued", "merging"]):
        merge_leave(request_id=request.pk, status=MergeRequest.Status.CANCELED)
    for session in Session.objects.filter(bead=bead, status=Session.Status.OPEN):
        session_close(session_id=session.pk, reason=REASON if taker else "canceled")
    if execution_id:
        execution_end(execution_id=execution_id, status=WorkflowExecution.Status.FAILED, left=left)
    if taker:
        bead_taken(bead=bead, person=taker)
    elif bead.status == Bead.Status.IN_PROGRESS:
        Bead.objects.filter(pk=bead_id).update(status=Bead.Status.DEFERRED)
        bead.status = Bead.Status.DEFERRED
        bead_reopen(bead=bead, reason="canceled", actor="loom")


# -- actions of nodes -----------------------------------------------------------------------------


@graph_action("bead.follow-up", takes=("title", "type", "role", "description", "label"))
def follow_up(walk: Walk, **given: str) -> Outcome:
    """Open another bead that stands on its own."""
    made = step(follow_up_create, bead_id=walk.bead_id or 0, given=given)
    return Outcome("success", data=made)


def follow_up_create(*, bead_id: int, given: dict[str, str]) -> dict[str, Any]:
    bead = Bead.objects.select_related("project").get(pk=bead_id)
    title = (
        given.get("title", "Look again at {title}").replace("{title}", bead.title).replace("{key}", bead.key)
    )
    made = bead_create(
        project=bead.project,
        title=title,
        type=given.get("type", Bead.Type.TASK),
        description=given.get("description", f"Follows from {bead.key} {bead.title}."),
        role=given.get("role", ""),
        labels=[given["label"]] if given.get("label") else [],
        origin=f"follow-up:{current().run.pk}:{current().seq}",
        actor="loom",
    )
    return {"bead": made.key}

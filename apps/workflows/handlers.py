"""Reactions to events: work becomes ready, a place becomes free, everything is done."""

from __future__ import annotations

from apps.beads.models import Bead
from apps.beads.services import bead_resume, objects_to_reopen
from apps.core.errors import Conflict
from apps.decisions.models import Decision
from apps.engine.models import Run
from apps.engine.services import objects_to_resume, objects_to_retry
from apps.events.bus import on, on_all
from apps.events.models import Event
from apps.workflows.decision_flow import answer_start
from apps.workflows.dispatch import dispatch
from apps.workflows.escalation import before_ceo_refuse, escalations_withdraw
from apps.workflows.handing import closed_work_end
from apps.workflows.prd_flow import finished_tell
from apps.workflows.remarks import remark_pass_on


@on_all("bead.ready", urgent=True)
def start_ready(events: list[Event]) -> None:
    for project_id in {event.project_id for event in events if event.project_id}:
        dispatch(project_id)


@on("bead.closed", "bead.blocked", "bead.reopened", "file_lock.released")
def fill_free_place(event: Event) -> None:
    if event.project_id:
        dispatch(event.project_id)
        finished_tell(event.project_id)


@on("decision.created", "decision.escalated")
def let_agents_answer(event: Event) -> None:
    """Agents answer what people ask and what is passed on to them; a run that asks does that itself."""
    asked = Decision.objects.open().filter(pk=event.data["decision_id"], needs_person=False)
    decision = asked.select_related("project").first()
    if decision is not None and (event.kind == "decision.escalated" or decision.run_id is None):
        answer_start(decision=decision)


@on("comment.created")
def let_agents_hear(event: Event) -> None:
    remark_pass_on(comment_id=int(event.data["comment_id"]))


@objects_to_retry
def bead_is_over(run: Run) -> None:
    """Not one of a bead that somebody closed meanwhile; what merged it itself may have more to do."""
    over = Bead.objects.filter(pk=run.bead_id or 0, status=Bead.Status.CLOSED, merged_commit="")
    if run.flow == "bead.work" and (bead := over.first()) is not None:
        raise Conflict(
            f"{bead.key} was closed meanwhile, so there is nothing to go on with.",
            hint="Reopen it to have it worked on.",
        )


@objects_to_resume
@objects_to_retry
def work_is_before_ceo(run: Run) -> None:
    if run.bead_id:
        before_ceo_refuse(run.bead_id)


@objects_to_reopen
def bead_is_before_ceo(bead: Bead) -> None:
    before_ceo_refuse(bead.pk)


@on("run.retried")
def resume_bead(event: Event) -> None:
    """With a failed run its bead goes on, whoever retried it; not one that waits for an answer by now."""
    runs = Run.objects.filter(key=event.subject.removeprefix("run:"), bead_id=event.bead_id, parent=None)
    going = runs.filter(
        status__in=[Run.Status.READY, Run.Status.RUNNING], cancel_requested=False, pause_requested=False
    ).exists()
    bead = Bead.objects.select_related("project").filter(pk=event.bead_id or 0).first()
    if going and bead is not None:
        bead_resume(bead=bead, actor=event.actor)


@on("bead.closed")
def withdraw_questions(event: Event) -> None:
    """What was asked about a bead needs no answer once the bead is closed."""
    if event.bead_id:
        closed_work_end(bead_id=event.bead_id, actor=event.actor)
        escalations_withdraw(bead_id=event.bead_id, actor=event.actor)

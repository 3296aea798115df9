"""Parts of flows that every kind of work shares: run a session, ask a person, get a decision."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.agents.loop import Ending, session_run, session_tell
from apps.agents.models import Agent, Session
from apps.agents.services import session_end
from apps.agents.troubles import AGAIN, DROP, RETRY, Report, trouble_report
from apps.beads.models import Bead
from apps.beads.services import bead_resume, bead_stage
from apps.core.states import move
from apps.decisions.models import Decision
from apps.engine.errors import StepFailed
from apps.engine.flow import Handle, call, current, joins, step, wait_for
from apps.projects.models import Project
from apps.workflows.briefing import main_commit
from apps.workflows.sessions import decide_session


class Dropped(Exception):
    """A person decided that this work is given up."""


class Stopped(Exception):
    """A session ended without what it was for."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{detail or reason}")
        self.reason, self.detail = reason, detail


def talk(session_id: int, *, project_id: int, bead_id: int | None = None) -> Ending:
    """Run a session; when the model cannot be reached or paid, wait for a person and go on right there."""
    while True:
        try:
            return session_run(session_id)
        except StepFailed as failed:
            trouble = f"{failed.failure.message} {failed.failure.hint}".strip()
        if ask_person(trouble, project_id=project_id, bead_id=bead_id, session_id=session_id) == DROP:
            step(session_close, session_id=session_id, reason="dropped", detail=trouble)
            raise Dropped(trouble)


def ask_person(
    trouble: str, *, project_id: int, bead_id: int | None, session_id: int | None = None, reason: str = ""
) -> str:
    """Stop here until a person says how to go on; their choice.

    `reason` is what the work itself stopped for; none means that the platform failed, which may stop others
    too.
    """
    choice = AGAIN
    while choice == AGAIN:
        asked = step(
            person_ask,
            trouble=trouble,
            project_id=project_id,
            bead_id=bead_id,
            session_id=session_id,
            reason=reason,
        )
        answer = wait_for(f"decision:{asked['decision']}") or {}
        choice = str(answer.get("choice", RETRY))
    step(person_answered, bead_id=bead_id, session_id=session_id, choice=choice)
    return choice


def person_ask(
    *, trouble: str, project_id: int, bead_id: int | None, session_id: int | None, reason: str
) -> dict[str, Any]:
    bead = Bead.objects.select_related("project").filter(pk=bead_id).first() if bead_id else None
    execution = current()
    report = Report(
        project=bead.project if bead else Project.objects.get(pk=project_id),
        text=trouble,
        run_id=execution.run.pk,
        origin=f"run:{execution.run.pk}:{execution.seq}",
        bead=bead,
        reason=reason,
    )
    decision_id = trouble_report(report)
    if session_id is not None:
        _agent_move(session_id, Agent.Status.BLOCKED, Agent.Status.WORKING)
    return {"decision": decision_id}


def person_answered(*, bead_id: int | None, session_id: int | None, choice: str) -> None:
    if bead_id is not None and choice == RETRY:
        bead_resume(bead=Bead.objects.select_related("project").get(pk=bead_id), actor="loom")
    if session_id is not None:
        _agent_move(session_id, Agent.Status.WORKING, Agent.Status.BLOCKED)


def _agent_move(session_id: int, to: str, was: str) -> None:
    agent_id = Session.objects.values_list("agent_id", flat=True).get(pk=session_id)
    move(Agent.objects.filter(pk=agent_id), to=to, allowed={was})


def session_close(*, session_id: int, reason: str, detail: str = "") -> None:
    session = Session.objects.select_related("project", "agent").get(pk=session_id)
    session_end(session=session, reason=reason, detail=detail)


def stage(bead_id: int, to: str) -> None:
    """A step that says where a bead stands."""
    step(stage_set, step_name=f"stage:{to}", bead_id=bead_id, to=to)


def stage_set(*, bead_id: int, to: str) -> None:
    bead_stage(bead=Bead.objects.select_related("project").get(pk=bead_id), stage=to)


def tell(session_id: int, text: str) -> None:
    step(session_tell, session_id=session_id, text=text)


def answer(decision_id: int, *, project_id: int, bead_id: int | None = None) -> dict[str, Any]:
    """Have a decision made: by the decision-maker persona, or by a person where one is wanted; the answer."""
    if not step(decision_needs_person, decision_id=decision_id):
        opened = call(decide_open, decision_id=decision_id, project_id=project_id)
        ending = talk(opened["session"], project_id=project_id)
        step(session_close, session_id=opened["session"], reason=ending.reason, detail=ending.detail)
        if ending.reason != "decide":
            step(decision_to_person, decision_id=decision_id)
    return wait_for(f"decision:{decision_id}") or {}


def decision_needs_person(*, decision_id: int) -> bool:
    return Decision.objects.values_list("needs_person", flat=True).get(pk=decision_id)


def decision_to_person(*, decision_id: int) -> None:
    Decision.objects.open().filter(pk=decision_id).update(needs_person=True)


@joins
def decide_open(handle: Handle, decision_id: int, project_id: int) -> dict[str, Any]:
    base = main_commit(Project.objects.get(pk=project_id))
    with transaction.atomic():
        session_id = decide_session(decision_id=decision_id, origin=handle.key, base=base)
        handle.finish({"session": session_id})
    return {"session": session_id}

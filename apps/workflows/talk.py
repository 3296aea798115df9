"""Parts of flows that every kind of work shares: run a session, ask a person, get a decision."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import transaction

from apps.agents.authority import autonomy_of
from apps.agents.first_commit import main_commit
from apps.agents.loop import Ending, session_run, session_tell
from apps.agents.models import Agent, Persona, Session
from apps.agents.org_chart import superiors_of
from apps.agents.personas import role_resolve, roles_of
from apps.agents.services import session_end
from apps.agents.troubles import AGAIN, DROP, RETRY, Report, trouble_report
from apps.beads.models import Bead
from apps.beads.services import bead_resume, bead_stage
from apps.core.states import move
from apps.decisions.authority import may_decide
from apps.decisions.deadlines import decision_escalate
from apps.decisions.models import Decision
from apps.engine.errors import StepFailed
from apps.engine.flow import Handle, call, current, joins, step, wait_for
from apps.projects.models import Project
from apps.workflows.sessions import DECIDER, decide_session


class Dropped(Exception):
    """A person decided that this work is given up."""


class Stopped(Exception):
    """A session ended without what it was for."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{detail or reason}")
        self.reason, self.detail = reason, detail


def talk(session_id: int, *, project_id: int, bead_id: int | None = None, until: str | None = None) -> Ending:
    """Run a session; when the model cannot be reached or paid, wait for a person and go on right there.

    After the moment `until` it ends for the reason "timeout".
    """
    while True:
        try:
            return session_run(session_id, until=until)
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
    is_over = step(person_answered, bead_id=bead_id, session_id=session_id, choice=choice)
    return DROP if is_over else choice


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


def person_answered(*, bead_id: int | None, session_id: int | None, choice: str) -> bool:
    """Let the work go on; True if there is none, as the bead was closed while the answer was on its way."""
    bead = Bead.objects.select_related("project").filter(pk=bead_id).first() if bead_id else None
    if bead is not None and choice == RETRY:
        bead_resume(bead=bead, actor="loom")
    if session_id is not None:
        _agent_move(session_id, Agent.Status.WORKING, Agent.Status.BLOCKED)
    return bead is not None and bead.status == Bead.Status.CLOSED and not bead.merged_commit


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
    """Have a decision made by whoever may: agents with the authority, or a person; the answer."""
    agents_ask(decision_id, project_id=project_id, speak=partial(talk, project_id=project_id))
    return wait_for(f"decision:{decision_id}") or {}


def agents_ask(decision_id: int, *, project_id: int, speak: Callable[[int], Ending]) -> None:
    """Put a decision before the agents who may answer it; if they do not, pass it on to the next."""
    asked = step(decision_roles, decision_id=decision_id)
    answered = False
    for role in asked["roles"]:
        opened = call(decide_open, decision_id=decision_id, project_id=project_id, role=role)
        ending = speak(opened["session"])
        step(session_close, session_id=opened["session"], reason=ending.reason, detail=ending.detail)
        answered = ending.reason == "decide"
    if not answered and asked["pass_on"]:
        step(decision_pass_on, decision_id=decision_id, roles=asked["roles"])


def decision_roles(*, decision_id: int) -> dict[str, Any]:
    """The roles that are to answer an open decision or to vote, and whether nobody else is asked yet."""
    decision = Decision.objects.select_related("project").get(pk=decision_id)
    if decision.status != Decision.Status.OPEN or decision.needs_person:
        return {"roles": [], "pass_on": False}
    team = Persona.objects.for_organization(decision.project.organization_id)
    personas = {persona.role: persona for persona in team.defer("body")}
    roles = roles_of(personas.values())
    if decision.voters:
        named = [role_resolve(voter, roles) for voter in decision.voters]
        return {"roles": list(dict.fromkeys(role for role in named if role)), "pass_on": False}
    wanted = role_resolve(decision.asked_of, roles) if not decision.escalated_to else None
    for role in (wanted, *superiors_of(decision.project_id, wanted or ""), DECIDER):
        if role and role in personas and may_decide(autonomy_of(personas[role]), decision):
            return {"roles": [role], "pass_on": True}
    return {"roles": [], "pass_on": True}


def decision_pass_on(*, decision_id: int, roles: list[str]) -> bool:
    why = f"{', '.join(roles)} did not answer." if roles else "No agent has the authority."
    to = "" if roles else Decision.Rung.CEO.value
    return decision_escalate(decision=Decision.objects.get(pk=decision_id), reason=why, actor="loom", to=to)


@joins
def decide_open(handle: Handle, decision_id: int, project_id: int, role: str = DECIDER) -> dict[str, Any]:
    base = main_commit(Project.objects.get(pk=project_id))
    with transaction.atomic():
        session_id = decide_session(decision_id=decision_id, origin=handle.key, base=base, role=role)
        handle.finish({"session": session_id})
    return {"session": session_id}

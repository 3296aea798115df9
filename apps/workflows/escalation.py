"""A bead that cannot go on is put before the CEO, a person; what they choose is carried out.

`approve` closes the bead, `deny` returns it to whoever shall try again, `needs_more_info` asks them and puts
the bead before the CEO again with what they say. Meanwhile work on it is paused; see docs/decisions.md.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.db import transaction

from apps.accounts.models import User
from apps.agents.authority import voice_find
from apps.agents.models import Evidence, Persona
from apps.agents.personas import role_resolve, roles_of
from apps.agents.proof import evidence_text
from apps.beads.models import Bead
from apps.beads.services import bead_block, bead_close, bead_reopen, bead_resume, bead_update
from apps.core.errors import BadInput, Conflict
from apps.decisions.models import Decision
from apps.decisions.services import decision_cancel, decision_request
from apps.engine.flow import current, flow, sleep, step, wait_for
from apps.engine.models import Run
from apps.engine.services import run_cancel, run_pause, run_resume, run_start
from apps.projects.models import Project
from apps.workflows.handing import work_hold
from apps.workflows.talk import answer

ESCALATION_FLOW = "bead.escalation"
APPROVE, DENY, MORE = "approve", "deny", "needs_more_info"
OPTIONS = [
    {"key": APPROVE, "label": "Approve", "detail": "The bead is closed as it is; work on it ends."},
    {"key": DENY, "label": "Deny", "detail": "The bead goes back and is tried again; say what must change."},
    {"key": MORE, "label": "Needs more information", "detail": "Ask; you get the answer, then decide."},
]
POLL_S = 2.0


@transaction.atomic
def bead_escalate(*, bead: Bead, reason: str, returned_to: str = "", actor: str = "") -> Decision:
    """Put a bead before the CEO; the open escalation, if it is there already.

    `returned_to` is a role, an agent or a person: who is asked for more information and gets the bead back.
    """
    work_hold(bead)
    bead = Bead.objects.select_related("project").get(pk=bead.pk)
    if bead.status in {Bead.Status.CLOSED, Bead.Status.DEFERRED}:
        raise Conflict(f"{bead.key} is {bead.status}; there is no work on it to escalate.")
    if known := before_ceo(bead.pk):
        return known
    earlier = Decision.objects.filter(bead=bead, kind=Decision.Kind.ESCALATION)
    _returnee(bead.project, returned_to)
    reason = reason.strip() or "No reason was given."
    origin = f"escalation:{bead.pk}:{earlier.count() + 1}"
    run = run_start(
        flow=ESCALATION_FLOW,
        key=origin,
        input={"bead_id": bead.pk, "origin": origin, "returned_to": returned_to, "reason": reason},
        organization_id=bead.project.organization_id,
        project_id=bead.project_id,
    )
    for at_work in Run.objects.unfinished().filter(bead_id=bead.pk):
        with suppress(Conflict), transaction.atomic():  # it ends or is set aside already
            run_pause(run_id=at_work.pk, actor=actor)
    if bead.priority != 0:
        bead_update(bead=bead, priority=0, actor=actor)
    bead_block(bead=bead, reason=f"Escalated to the CEO: {reason}", actor=actor)
    return _put_before_ceo(bead, reason, run_id=run.pk, origin=origin, returned_to=returned_to, actor=actor)


def before_ceo(bead_id: int) -> Decision | None:
    """What is asked while a bead is before the CEO: how it goes on, or what the CEO wants to know."""
    under_way = Run.objects.unfinished().filter(flow=ESCALATION_FLOW)
    asked = Decision.objects.open().filter(bead_id=bead_id, run_id__in=under_way.values("pk"))
    return asked.select_related("project", "bead").order_by("-pk").first()


def before_ceo_refuse(bead_id: int) -> None:
    """Conflict while a bead is before the CEO: its work costs nothing until they have answered."""
    if (asked := before_ceo(bead_id)) is not None:
        key = asked.bead.key if asked.bead else ""
        raise Conflict(
            f"{key} is before the CEO.", hint="Its work goes on, or ends, by the answer to that question."
        )


def _put_before_ceo(
    bead: Bead, reason: str, *, run_id: int, origin: str, returned_to: str, actor: str, told: str = ""
) -> Decision:
    latest = Evidence.objects.filter(bead=bead).order_by("-id").first()
    context = [
        f"Why it is put before you: {reason}",
        *([told] if told else []),
        f"The bead: {bead.description or bead.title}",
        *([f"Latest evidence:\n{evidence_text([latest])}"] if latest else []),
    ]
    return decision_request(
        project=bead.project,
        bead=bead,
        kind=Decision.Kind.ESCALATION,
        priority=0,
        question=f"How shall {bead.key} go on: {bead.title}",
        options=OPTIONS,
        context="\n\n".join(context),
        requester=actor or "system",
        needs_person=True,
        run_id=run_id,
        origin=origin,
        details={"bead_id": bead.key, "reason": reason, "returned_to": returned_to},
    )


# -- the flow --------------------------------------------------------------------------------------


@flow(ESCALATION_FLOW)
def bead_escalation(bead_id: int, origin: str, returned_to: str, reason: str = "") -> dict[str, Any]:
    """Wait for the CEO and do as they say, once. (Runs that older versions began know no `reason`.)"""
    asked = step(escalation_find, origin=origin)
    while True:
        said = wait_for(f"decision:{asked['decision']}") or {}
        choice = said.get("choice")
        if choice is None:
            while step(escalation_withdrawn, bead_id=bead_id):
                sleep(POLL_S)
            return {"status": "withdrawn"}
        if choice != MORE:
            break
        question = step(more_ask, bead_id=bead_id, returned_to=returned_to, said=said)
        told = answer(question["decision"], project_id=asked["project"], bead_id=bead_id)
        asked = step(
            escalate_again,
            bead_id=bead_id,
            origin=origin,
            returned_to=returned_to,
            told=told,
            reason=reason,
        )
    step(work_cancel, bead_id=bead_id)
    while step(work_goes_on, bead_id=bead_id):
        sleep(POLL_S)
    if choice == APPROVE:
        step(bead_approve, bead_id=bead_id, said=said)
    else:
        step(bead_return, bead_id=bead_id, returned_to=returned_to, said=said)
    return {"status": "approved" if choice == APPROVE else "denied", "by": said.get("decider", "")}


def _bead(bead_id: int) -> Bead:
    return Bead.objects.select_related("project").get(pk=bead_id)


def escalation_find(*, origin: str) -> dict[str, Any]:
    decision = Decision.objects.get(run_id=current().run.pk, origin=origin)
    return {"decision": decision.pk, "project": decision.project_id}


def more_ask(*, bead_id: int, returned_to: str, said: dict[str, Any]) -> dict[str, Any]:
    """Send the bead back with the CEO's question; it stays blocked until that is answered."""
    bead, execution = _bead(bead_id), current()
    role, person = _returnee(bead.project, returned_to)
    question = said.get("rationale") or f"More must be known about {bead.key} before it can be decided."
    decision = decision_request(
        project=bead.project,
        bead=bead,
        kind=Decision.Kind.INFORMATION,
        priority=1,
        question=question,
        context=f"The CEO asks this about {bead.key} {bead.title}.\n\n{bead.description}",
        requester=said.get("decider", ""),
        asked_of=role or bead.role,
        needs_person=bool(person),
        run_id=execution.run.pk,
        origin=f"run:{execution.run.pk}:{execution.seq}",
    )
    return {"decision": decision.pk}


def escalate_again(
    *, bead_id: int, origin: str, returned_to: str, told: dict[str, Any], reason: str
) -> dict[str, Any]:
    bead, execution = _bead(bead_id), current()
    words = f"You asked for more; {told.get('decider') or 'nobody'} says: {told.get('choice') or '(nothing)'}"
    why = f"\n{told['rationale']}" if told.get("rationale") else ""
    decision = _put_before_ceo(
        bead,
        reason or bead.blocked_reason.removeprefix("Escalated to the CEO: "),
        run_id=execution.run.pk,
        origin=f"{origin}:{execution.seq}",
        returned_to=returned_to,
        actor="",
        told=words + why,
    )
    return {"decision": decision.pk, "project": bead.project_id}


def work_cancel(*, bead_id: int, actor: str = "the CEO") -> None:
    for run in Run.objects.unfinished().filter(bead_id=bead_id, parent=None, cancel_requested=False):
        with suppress(Conflict), transaction.atomic():  # it has ended meanwhile
            run_cancel(run_id=run.pk, actor=actor)


def work_goes_on(*, bead_id: int) -> bool:
    return Run.objects.unfinished().filter(bead_id=bead_id).exists()


def bead_approve(*, bead_id: int, said: dict[str, Any]) -> None:
    why = said.get("rationale") or "no reason given"
    who = said.get("decider", "")
    bead_close(bead=_bead(bead_id), reason=f"Approved by {who}, without a merge: {why}", actor=who)


def bead_return(*, bead_id: int, returned_to: str, said: dict[str, Any]) -> None:
    """Make the bead workable again for a role, or let it wait for the person it is returned to."""
    bead = _bead(bead_id)
    if bead.status == Bead.Status.CLOSED:
        return
    role, person = _returnee(bead.project, returned_to)
    who, why = said.get("decider", ""), said.get("rationale", "")
    changes: dict[str, Any] = {"role": role} if role else {}
    if why:
        changes["description"] = f"{bead.description}\n\nSent back by {who}: {why}".strip()
    bead_update(bead=bead, actor=who, **changes)
    if bead.status != Bead.Status.OPEN:
        bead_reopen(bead=bead, reason=f"Denied by {who}: {why}", actor=who)
    if person:
        bead_block(bead=bead, reason=f"Returned to {person}: {why}", actor=who)


def escalation_withdrawn(*, bead_id: int) -> bool:
    """Nobody decides any more: the work goes on where it was paused, or ends if somebody closed the bead.

    True if work that was canceled meanwhile still stops: the bead is opened again after that.
    """
    work_hold(_bead(bead_id))
    bead = _bead(bead_id)
    if bead.status == Bead.Status.CLOSED and not bead.merged_commit:
        work_cancel(bead_id=bead_id, actor="loom")
        return False
    runs = Run.objects.unfinished().filter(bead_id=bead_id)
    for run in runs:
        with suppress(Conflict), transaction.atomic():  # it was not paused
            run_resume(run_id=run.pk, actor="loom")
    asks_else = Decision.objects.open().filter(bead=bead, kind=Decision.Kind.STUCK).exists()
    if bead.status != Bead.Status.BLOCKED or asks_else:
        return False
    if runs.filter(cancel_requested=False).exists():
        bead_resume(bead=bead, actor="loom")
    elif runs.exists():
        return True
    else:
        bead_reopen(bead=bead, reason="The escalation was withdrawn.", actor="loom")
    return False


def escalations_withdraw(*, bead_id: int, actor: str = "") -> None:
    """The bead is closed: there is nothing left to decide."""
    asked = Decision.objects.open().filter(bead_id=bead_id, kind=Decision.Kind.ESCALATION)
    for decision in asked.select_related("project"):
        decision_cancel(decision=decision, actor=actor)


def _returnee(project: Project, name: str) -> tuple[str, str]:
    """The role or else the person that is meant; BadInput for a name that nobody has."""
    wanted = name.strip()
    if not wanted:
        return "", ""
    team = Persona.objects.for_organization(project.organization_id)
    if role := role_resolve(wanted, roles_of(team.defer("body"))):
        return role, ""
    if agent := voice_find(project.pk, wanted):
        return agent.role, ""
    members = User.objects.filter(memberships__organization_id=project.organization_id)
    if person := members.filter(username__iexact=wanted.removeprefix("user-")).first():
        return "", person.username
    raise BadInput(
        f"The bead cannot be returned to {wanted[:80]!r}: there is no such role, agent or person.",
        details={"field": "returned_to"},
    )

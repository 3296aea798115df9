"""A bead given to somebody: to an agent, who begins at once, to a person, or back to dispatch."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.agents.models import Agent
from apps.beads.changing import bead_release
from apps.beads.models import Bead
from apps.beads.services import bead_claim, bead_reopen, bead_tell, bead_update, beads_announce
from apps.core.errors import BadInput, Conflict
from apps.decisions.models import Decision
from apps.decisions.services import decision_cancel
from apps.engine.models import Run
from apps.engine.services import run_cancel
from apps.projects.models import Project
from apps.workflows.dispatch import bead_start, readings_of


def bead_give(*, bead: Bead, agent: Agent, actor: str) -> None:
    """Start work on a ready bead with this agent; nothing happens if it has it already. Reads git."""
    if _held_by(bead, agent.name):
        return
    if not Bead.objects.ready().filter(pk=bead.pk).exists():
        raise Conflict(f"{bead.key} is not ready: it is {bead.status}, or waits for others.")
    readings = readings_of(bead)
    role = readings.begins[bead.pk].role
    if agent.role != role:
        raise BadInput(
            f"{agent.name} is {agent.role}; work on {bead.key} begins with {role}.",
            details={"field": "agent_id"},
        )
    with transaction.atomic():
        Bead.objects.filter(pk=bead.pk).update(assigned_to=agent.name)
        bead.assigned_to = agent.name
        _, session = bead_start(bead=bead, readings=readings)
        if session.agent_id != agent.pk:
            raise Conflict(f"{agent.name} is {agent.status} and cannot begin now.", hint="Try again later.")
        bead_tell(bead, "bead.given", actor=actor, agent=agent.name)


def bead_take(*, bead: Bead, person: str) -> None:
    """A person takes a ready bead: no agent will work on it until it is given back."""
    if not _held_by(bead, person) and not bead_claim(bead=bead, agent=person):
        raise Conflict(f"{bead.key} is not ready: it is {bead.status}, or waits for others.")


def _held_by(bead: Bead, name: str) -> bool:
    if bead.status != Bead.Status.IN_PROGRESS:
        return False
    if bead.assigned_to != name:
        raise Conflict(f"{bead.key} is claimed by {bead.assigned_to or 'somebody else'}.")
    return True


def work_hold(bead: Bead) -> None:
    """Lock the runs at work on a bead, then its project: as their steps do, else both might wait for ever."""
    list(Run.objects.locked().unfinished().filter(bead_id=bead.pk).values_list("pk"))
    Project.objects.locked(bead.project_id)


@transaction.atomic
def bead_redispatch(*, bead: Bead, reason: str, actor: str) -> bool:
    """Have a bead worked on anew; False if the work under way ends first, which takes it a moment."""
    work_hold(bead)
    bead = Bead.objects.select_related("project").get(pk=bead.pk)
    runs = Run.objects.unfinished().filter(bead_id=bead.pk, parent=None)
    at_work = list(runs.filter(cancel_requested=False))
    told: dict[str, Any] = {
        "redispatch_requested": "true",
        "redispatch_requested_at": timezone.now().isoformat(),
        "redispatch_reason": reason,
    }
    bead_update(bead=bead, context={**bead.context, **told}, actor=actor)
    bead_tell(bead, "bead.redispatched", actor=actor, reason=reason)
    if bead.status == Bead.Status.IN_PROGRESS and at_work:
        for run in at_work:
            run_cancel(run_id=run.pk, actor=actor)  # what it leaves is taken back, then the bead is open
        return False
    if bead.status == Bead.Status.IN_PROGRESS:
        bead_release(bead=bead, reason=reason, actor=actor)
    elif bead.status == Bead.Status.OPEN:
        beads_announce(bead_ids=[bead.pk])
    else:
        bead_reopen(bead=bead, reason=reason, actor=actor)
    return True


@transaction.atomic
def closed_work_end(*, bead_id: int, actor: str = "") -> None:
    """Somebody closed a bead whose work waits or is paused: nobody needs that any more, and the run ends.

    Else the answer, which may be another bead's as well, or the end of the pause would set to work on what
    is closed. A run that closes its bead itself is at it just now.
    """
    if not Bead.objects.filter(pk=bead_id, status=Bead.Status.CLOSED, merged_commit="").exists():
        return
    left = Run.objects.unfinished().filter(bead_id=bead_id, parent=None, cancel_requested=False)
    left = left.exclude(status=Run.Status.RUNNING, pause_requested=False)
    runs = list(left.order_by("pk").values_list("pk", flat=True))
    for run_id in runs:
        with suppress(Conflict), transaction.atomic():  # it has ended meanwhile
            run_cancel(run_id=run_id, actor=actor)
    asked = Decision.objects.open().filter(bead_id=bead_id).exclude(kind=Decision.Kind.ESCALATION)
    for decision in asked.filter(Q(run_id__in=runs) | Q(kind=Decision.Kind.STUCK)).select_related("project"):
        decision_cancel(decision=decision, actor=actor)

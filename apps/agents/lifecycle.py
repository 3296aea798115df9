"""The life of an agent: spawned, paused, resumed, stopped. Who works on what is for `services` to say."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from apps.agents.models import Agent, Session
from apps.agents.services import (
    BUSY,
    Post,
    agent_fact,
    agent_release,
    agents_spawn,
    personas_of,
    status_fact,
)
from apps.core.errors import Conflict, NotFound
from apps.events.bus import emit_all
from apps.projects.models import Project

TAKES_PART = BUSY | {Agent.Status.IDLE, Agent.Status.PAUSED}


@transaction.atomic
def agent_spawn(*, project: Project, role: str, paused: bool = False, actor: str = "") -> Agent:
    """A new member of a project's team, which waits for work, or paused for somebody to resume it."""
    status = Agent.Status.PAUSED if paused else Agent.Status.IDLE
    return agents_spawn(project, [Post(role)], personas_of({role}), status=status, actor=actor)[0]


@transaction.atomic
def agent_pause(*, agent_id: int, actor: str = "") -> Agent:
    """Give it no more work; what it has in hand it finishes. Pausing a paused agent changes nothing."""
    agent = _held(agent_id)
    if agent.status == Agent.Status.STOPPED:
        raise Conflict(f"{agent.name} was stopped.", hint="Resume it instead.")
    if agent.status != Agent.Status.PAUSED:
        _set(agent, Agent.Status.PAUSED, actor=actor)
    return agent


@transaction.atomic
def agent_resume(*, agent_id: int, actor: str = "") -> Agent:
    """Let a paused or stopped agent take work again."""
    agent = _held(agent_id)
    if agent.status not in {Agent.Status.PAUSED, Agent.Status.STOPPED}:
        raise Conflict(f"{agent.name} is {agent.status}, not paused.")
    at_work = Session.objects.filter(agent_id=agent.pk, status=Session.Status.OPEN).exists()
    _set(agent, Agent.Status.WORKING if at_work else Agent.Status.IDLE, actor=actor, hands_over=False)
    return agent


@transaction.atomic
def agent_stop(*, agent_id: int, hand_over: bool = False, actor: str = "") -> Agent:
    """Take an agent out of the team: it finishes the session in hand, or hands it over at its next turn.

    Asked again with `hand_over`, one that is still finishing hands over.
    """
    agent = _held(agent_id)
    at_work = Session.objects.filter(agent_id=agent.pk, status=Session.Status.OPEN).exists()
    if agent.status == Agent.Status.STOPPED and not (hand_over and at_work):
        raise Conflict(f"{agent.name} was stopped already.")
    if agent.status != Agent.Status.STOPPED:
        _set(agent, Agent.Status.STOPPED, actor=actor)
    if hand_over and at_work:
        Agent.objects.filter(pk=agent.pk).update(hands_over=True, updated_at=timezone.now())
    if not at_work:
        emit_all([agent_fact(agent, "agent.completed", actor=actor or "loom", reason="stopped")])
    return agent


@transaction.atomic
def agent_reset(*, agent_id: int) -> bool:
    """Free an agent that counts as busy though no session of its own is open; False if all is well."""
    agent = _held(agent_id)
    if agent.status not in BUSY or agent.sessions.filter(status=Session.Status.OPEN).exists():
        return False
    agent_release(agent_id=agent.pk)
    emit_all([agent_fact(agent, "agent.reset", project_id=agent.project_id, reason="no open session")])
    return True


@transaction.atomic
def agent_heartbeat(*, agent_id: int) -> None:
    """Say that an agent at work is alive."""
    agent = _held(agent_id)
    bead_id = agent.current_bead_id
    emit_all([agent_fact(agent, "agent.heartbeat", bead_id=bead_id, provider_id=None, status=agent.status)])


def _held(agent_id: int) -> Agent:
    """The agent with its row locked: sessions of it open and close under the same lock."""
    rows = Agent.objects.select_related("project", "current_bead").filter(pk=agent_id)
    agent = rows.select_for_update(of=("self",), no_key=True).first()
    if agent is None:
        raise NotFound(f"There is no agent {agent_id}.")
    found: Agent = agent
    return found


def _set(agent: Agent, status: str, *, actor: str, **fields: object) -> None:
    was, agent.status = agent.status, status
    Agent.objects.filter(pk=agent.pk).update(status=status, updated_at=timezone.now(), **fields)
    emit_all([status_fact(agent, was=was, actor=actor)])

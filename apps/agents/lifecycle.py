"""The life of an agent: spawned, paused, resumed, stopped. Who works on what is for `services` to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.agents.file_locks import agent_unlock
from apps.agents.models import Agent, Persona, Session
from apps.agents.persona_services import persona_clone, persona_edit
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
from apps.core.prepared import Prepared
from apps.events.bus import emit_all
from apps.projects.models import Project

MAX_AGENTS = 200  # of a project
TAKES_PART = BUSY | {Agent.Status.IDLE, Agent.Status.PAUSED}


def _work(agent_id: int) -> QuerySet[Session]:
    """Its own work that is under way; that people talk with it is none."""
    open_ones = Session.objects.filter(agent_id=agent_id, status=Session.Status.OPEN)
    return open_ones.exclude(kind=Session.Kind.PAIR).order_by()


_SHOWN = ("name", "role", "status", "project__organization_id", "project__status", "current_bead__key")
_WORK: Prepared[int] = Prepared(lambda agent_id: _work(agent_id).values_list("pk", flat=True))
_WATCHED: Prepared[Agent] = Prepared(
    lambda pk: (
        Agent.objects.filter(pk=pk)
        .select_related("project", "current_bead")
        .only(*_SHOWN)
        .select_for_update(of=("self",), no_key=True)
        .order_by()
    )
)


@transaction.atomic
def agent_spawn(
    *,
    project: Project,
    role: str = "",
    persona: Persona | None = None,
    name: str = "",
    paused: bool = False,
    actor: str = "",
) -> Agent:
    """A new member of a project's team, which waits for work, or paused for somebody to resume it.

    It works as `persona`, or as the one of its role.
    """
    if project.status == Project.Status.CLOSED:
        raise Conflict(f"{project.name} is closed.", hint="Reopen it first.")
    role = role or (persona.role if persona else "")
    if Agent.objects.filter(project=project, retired_at=None).count() >= MAX_AGENTS:
        raise Conflict(f"{project.name} has {MAX_AGENTS} agents; no more are taken.", hint="Delete some.")
    if name and Agent.objects.filter(project=project, name__iexact=name).exists():
        raise Conflict(f"There is an agent named {name!r} in this project already.")
    status = Agent.Status.PAUSED if paused else Agent.Status.IDLE
    personas = {role: persona} if persona else personas_of({role}, project)
    return agents_spawn(project, [Post(role, name=name)], personas, status=status, actor=actor)[0]


@transaction.atomic
def agent_clone(
    *,
    agent: Agent,
    persona_name: str,
    source: Persona | None = None,
    name: str = "",
    replace: bool = True,
    changes: Mapping[str, Any] | None = None,
    actor: str = "",
) -> Agent:
    """A new agent with a persona of its own, which begins as the agent's (or as `source`).

    With `replace` it takes the agent's place, who leaves the team and hands over what it has in hand.
    """
    project, origin = agent.project, source or agent.persona
    path = f"projects/{project.pk}/{origin.role}/{persona_name}"
    persona = persona_clone(
        persona=origin,
        organization=project.organization,
        name=path if "/" not in persona_name else persona_name,
        author=actor,
        changes=changes,
    )
    made = agent_spawn(
        project=project,
        persona=persona,
        name=name,
        paused=replace and agent.status == Agent.Status.PAUSED,
        actor=actor,
    )
    if replace:
        agent_retire(agent_id=agent.pk, actor=actor)
    return made


@transaction.atomic
def agent_update(
    *, agent: Agent, name: str = "", changes: Mapping[str, Any] | None = None, actor: str = ""
) -> Agent:
    """Rename an agent, or change its persona: as others may work as that too, it gets one of its own."""
    name = name.strip()[:120]
    if name and name != agent.name:
        others = Agent.objects.filter(project_id=agent.project_id, name__iexact=name).exclude(pk=agent.pk)
        if others.exists():
            raise Conflict(f"There is an agent named {name!r} in this project already.")
        Agent.objects.filter(pk=agent.pk).update(name=name, updated_at=timezone.now())
    if changes:
        persona = _own_persona(agent, changes, actor)
        Agent.objects.filter(pk=agent.pk).update(persona=persona, updated_at=timezone.now())
    if name or changes:
        agent = Agent.objects.select_related("project__organization", "persona", "current_bead").get(
            pk=agent.pk
        )
        fields = [*(["name"] if name else []), *sorted(changes or ())]
        emit_all([agent_fact(agent, "agent.updated", actor=actor, fields=fields)])
    return agent


def _own_persona(agent: Agent, changes: Mapping[str, Any], actor: str) -> Persona:
    organization, persona = agent.project.organization, agent.persona
    is_own = persona.name.startswith(f"projects/{agent.project_id}/")
    if is_own and not persona.agents.exclude(pk=agent.pk).exists():
        return persona_edit(persona=persona, organization=organization, changes=changes, author=actor)
    return persona_clone(
        persona=persona,
        organization=organization,
        name=f"projects/{agent.project_id}/{agent.role}/agent-{agent.pk}",
        author=actor,
        changes=changes,
    )


@transaction.atomic
def agent_retire(*, agent_id: int, actor: str = "") -> None:
    """Take an agent out of the team for good; what it has in hand it hands over. Its history stays."""
    agent = _held(agent_id)
    if agent.retired_at is not None:
        raise NotFound(f"There is no agent {agent_id}.")
    if agent.status != Agent.Status.STOPPED:
        agent_stop(agent_id=agent_id, hand_over=True, actor=actor)
    Agent.objects.filter(pk=agent_id).update(retired_at=timezone.now(), updated_at=timezone.now())
    agent_unlock(agent=agent, actor=actor)
    emit_all([agent_fact(agent, "agent.retired", actor=actor)])


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
    if agent.retired_at is not None:
        raise Conflict(f"{agent.name} has left the team.", hint="Spawn a new agent.")
    if agent.status not in {Agent.Status.PAUSED, Agent.Status.STOPPED}:
        raise Conflict(f"{agent.name} is {agent.status}, not paused.")
    at_work = _has_work(agent)
    _set(agent, Agent.Status.WORKING if at_work else Agent.Status.IDLE, actor=actor, hands_over=False)
    return agent


@transaction.atomic
def agent_stop(*, agent_id: int, hand_over: bool = False, actor: str = "") -> Agent:
    """Take an agent out of the team: it finishes the session in hand, or hands it over at its next turn.

    Asked again with `hand_over`, one that is still finishing hands over.
    """
    agent = _held(agent_id)
    at_work = _has_work(agent)
    if agent.status == Agent.Status.STOPPED and not (hand_over and at_work):
        raise Conflict(f"{agent.name} was stopped already.")
    if agent.status != Agent.Status.STOPPED:
        _set(agent, Agent.Status.STOPPED, actor=actor)
    if hand_over and at_work:
        Agent.objects.filter(pk=agent.pk).update(hands_over=True, updated_at=timezone.now())
    if not at_work:
        emit_all([agent_fact(agent, "agent.completed", actor=actor or "loom", reason="stopped")])
    return agent


def agent_watch(*, agent_id: int) -> tuple[Agent, bool] | None:
    """Have an agent at work send its heartbeat, and free one that is busy without a session of its own.

    The agent as it is then, with few of its columns, and whether its own work is under way; None if it is not
    there, or its project is closed. Inside a transaction. A team is watched all the time: few statements.
    """
    agent = next(iter(_WATCHED(agent_id)), None)
    if agent is None or agent.project.status == Project.Status.CLOSED:
        return None
    at_work = bool(_WORK(agent_id, limit=1))
    if at_work:
        bead_id = agent.current_bead_id
        emit_all(
            [agent_fact(agent, "agent.heartbeat", bead_id=bead_id, provider_id=None, status=agent.status)]
        )
    elif agent.status in BUSY:
        agent_release(agent_id=agent_id)
        emit_all([agent_fact(agent, "agent.reset", project_id=agent.project_id, reason="no open session")])
        agent.refresh_from_db(fields=["status", "current_bead"])
    return agent, at_work


def _has_work(agent: Agent) -> bool:
    return _work(agent.pk).exists()


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

"""Writes to agents, sessions and turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.agents.lessons import lessons_used
from apps.agents.letters import letters_ahead, letters_deliver
from apps.agents.memory_models import Output
from apps.agents.models import Agent, Persona, Session, Turn
from apps.agents.org_chart import personas_placed
from apps.agents.pins import PLATFORM
from apps.agents.secrets import project_masker
from apps.agents.statements import close_turn, open_turn
from apps.agents.succession import go_on_from_earlier
from apps.beads.models import Bead
from apps.core.errors import Conflict, NotFound
from apps.core.prepared import Prepared
from apps.core.sql import execute_rows, insert_all, keys_ahead
from apps.core.states import move
from apps.core.together import Sent
from apps.events.bus import Fact, emit_all
from apps.projects.models import Project
from apps.providers.gateway import Payer, takes_tools

BUSY = {Agent.Status.WORKING, Agent.Status.DECIDING, Agent.Status.BLOCKED}


_TEAM: Prepared[Persona] = Prepared(
    lambda organization_id, roles, names: (
        Persona.objects.for_organization(organization_id)
        .filter(Q(role__in=roles) | Q(name__in=names))
        .order_by("-name")
    )
)
_FREE: Prepared[Agent] = Prepared(
    lambda project_id, roles: (
        Agent.objects.filter(project=project_id, role__in=roles, status=Agent.Status.IDLE)
        .select_related("persona")
        .select_for_update(of=("self",), skip_locked=True)
        .order_by("-id")
    )
)
_SPAWNING: Prepared[int] = Prepared(
    lambda pk: (
        Project.objects.select_for_update(no_key=True).filter(pk=pk).order_by().values_list("pk", flat=True)
    )
)
_ROLES: Prepared[str] = Prepared(
    lambda project_id, roles: (
        Agent.objects.filter(project=project_id, role__in=roles).order_by().values_list("role", flat=True)
    )
)
_OPENED: Prepared[Session] = Prepared(lambda origins: Session.objects.filter(origin__in=origins))


@dataclass(frozen=True)
class Post:
    """Work for one agent of a role; `name` is what a new one is called, empty: after its role."""

    role: str
    bead: Bead | None = None
    name: str = ""


def agent_acquire(*, project: Project, role: str, bead: Bead | None = None) -> Agent:
    """An idle agent of that role, set to working; a new one joins the team when all of them are busy."""
    return agents_acquire(project=project, posts=[Post(role, bead)])[0]


@transaction.atomic(savepoint=False)
def agents_acquire(
    *, project: Project, posts: Sequence[Post], personas: Mapping[str, Persona] | None = None
) -> list[Agent]:
    """An agent for each post, with its persona: an idle one set to working, else a new member of the team.

    An agent to whom a bead is assigned gets it if it is idle. The caller limits how many work at once; this
    only makes sure that no agent does two things.
    """
    roles = sorted({post.role for post in posts})
    idle: dict[str, list[Agent]] = {role: [] for role in roles}
    for agent in _FREE(project.pk, tuple(roles)):
        agent.project = project
        idle[agent.role].append(agent)
    found = _chosen(posts, idle)
    _set_to_work([(agent, post.bead) for agent, post in zip(found, posts, strict=True) if agent is not None])
    missing = [post for agent, post in zip(found, posts, strict=True) if agent is None]
    spawned = iter(agents_spawn(project, missing, personas or personas_of(roles, project)) if missing else ())
    return [agent or next(spawned) for agent in found]


def agents_ahead(project_id: int, roles: Collection[str]) -> None:
    """Ask ahead what acquiring agents of these roles reads."""
    wanted = tuple(sorted(roles))
    _FREE.ahead(project_id, wanted)
    _SPAWNING.ahead(project_id)
    _ROLES.ahead(project_id, wanted)


def _chosen(posts: Sequence[Post], idle: dict[str, list[Agent]]) -> list[Agent | None]:
    """An idle agent for each post as far as there are some: first those who are named by the bead."""
    found: list[Agent | None] = []
    for post in posts:
        wanted = post.bead.assigned_to if post.bead else ""
        named = next((agent for agent in idle[post.role] if wanted and agent.name == wanted), None)
        if named is not None:
            idle[post.role].remove(named)
        found.append(named)
    return [
        agent or (idle[post.role].pop() if idle[post.role] else None)
        for agent, post in zip(found, posts, strict=True)
    ]


def _set_to_work(taken: Sequence[tuple[Agent, Bead | None]]) -> None:
    if not taken:
        return
    now = timezone.now()

    def check(moved: Sent) -> None:
        if moved.count != len(taken):
            raise Conflict("An idle agent was taken by somebody else.", hint="Try again.")

    execute_rows(
        "UPDATE agents_agent SET status = 'working', current_bead_id = CAST(taken.column2 AS bigint),"
        " last_active_at = %s, updated_at = %s FROM {rows} AS taken"
        " WHERE id = taken.column1 AND status = 'idle'",
        [now, now],
        [(agent.pk, bead.pk if bead else None) for agent, bead in taken],
        then=check,
    )
    for agent, bead in taken:
        agent.status, agent.current_bead = Agent.Status.WORKING, bead
    emit_all(status_fact(agent, was=Agent.Status.IDLE) for agent, _ in taken)


def status_fact(agent: Agent, *, was: str, actor: str = "") -> Fact:
    """The agent's project and current bead are read, its status is the new one."""
    bead = agent.current_bead
    return agent_fact(
        agent,
        "agent.status_change",
        actor=actor or agent.name,
        bead_id=bead.pk if bead else None,
        old_status=was,
        new_status=agent.status,
        provider_id=None,  # agents draw on the pool
        current_bead=bead.key if bead else "",
    )


def agent_fact(
    agent: Agent, kind: str, *, actor: str = "loom", bead_id: int | None = None, **data: Any
) -> Fact:
    return Fact(
        kind,
        organization_id=agent.project.organization_id,
        project_id=agent.project_id,
        bead_id=bead_id,
        subject=f"agent:{agent.pk}",
        actor=actor,
        data={"agent_id": agent.pk, "name": agent.name, "role": agent.role, **data},
    )


def agents_spawn(
    project: Project,
    posts: Sequence[Post],
    personas: Mapping[str, Persona],
    *,
    status: str = Agent.Status.WORKING,
    actor: str = "loom",
) -> list[Agent]:
    roles = {post.role for post in posts}
    for role in sorted(roles - personas.keys()):
        raise NotFound(
            f"There is no persona for the role {role!r}.", hint="Add personas/<group>/<name>/SKILL.md."
        )
    # Two spawns at once must not take the same name.
    _SPAWNING(project.pk)
    counts = Counter(_ROLES(project.pk, tuple(sorted(roles))))
    agents = []
    for post in posts:
        counts[post.role] += 1
        persona, number = personas[post.role], counts[post.role]
        title = persona.metadata.get("title") or post.role.replace("-", " ").capitalize()
        agent = Agent(
            project=project,
            persona=persona,
            role=post.role,
            name=post.name or (title if number == 1 else f"{title} {number}"),
            status=status,
            current_bead=post.bead,
            last_active_at=timezone.now(),
        )
        agents.append(agent)
    insert_all(agents)
    emit_all(
        agent_fact(agent, "agent.spawned", actor=actor, persona_name=agent.persona.name, status=agent.status)
        for agent in agents
    )
    return agents


def personas_of(roles: Collection[str], project: Project) -> dict[str, Persona]:
    """The persona of each role that has one: that of its position, else of several the first by name."""
    placed = personas_placed(project.pk, roles)
    rows = _TEAM(project.organization_id, tuple(roles), tuple(placed.values()))
    by_name = {persona.name: persona for persona in rows}
    named = {role: by_name[path] for role, path in placed.items() if path in by_name}
    return {**{persona.role: persona for persona in rows}, **named}


@transaction.atomic
def agent_release(*, agent_id: int) -> None:
    """The agent has nothing to do any more; a paused one stays paused, a stopped one is done now."""
    rows = Agent.objects.select_related("project", "current_bead").filter(pk=agent_id)
    before = rows.select_for_update(of=("self",), no_key=True).get()
    freed = move(rows, to=Agent.Status.IDLE, allowed=BUSY, current_bead=None, current_action="")
    if freed:
        emit_all([status_fact(rows.get(), was=before.status)])
        return
    rows.update(current_bead=None, current_action="", hands_over=False, updated_at=timezone.now())
    if before.status == Agent.Status.STOPPED:
        emit_all([agent_fact(before, "agent.completed", reason="stopped")])


@dataclass(frozen=True)
class Opening:
    """A session to open; `origin` makes it repeatable, `messages` are the pinned ones it begins with."""

    agent: Agent
    kind: str
    origin: str
    messages: list[dict[str, Any]]
    actions: Sequence[str]
    base_commit: str
    bead: Bead | None = None
    decision_id: int | None = None
    lessons: Sequence[int] = ()
    native_tools: bool | None = None  # None: as the model takes them that is asked first, as far as known


def sessions_ahead(project_id: int, origins: Sequence[str]) -> None:
    """Ask ahead what opening sessions of these origins reads, in their order."""
    _OPENED.ahead(tuple(origins))
    letters_ahead(project_id)
    keys_ahead(Session, len(origins))


@transaction.atomic(savepoint=False)
def sessions_open(*, project: Project, openings: Sequence[Opening]) -> list[Session]:
    """Open sessions; one whose origin was used before is the session opened then."""
    origins = [opening.origin for opening in openings]
    known = {session.origin: session for session in _OPENED(tuple(origins))}
    takes = _takes_tools(project, openings)
    fresh = [
        Session(
            project=project,
            bead=opening.bead,
            agent=opening.agent,
            kind=opening.kind,
            origin=opening.origin,
            opening=project_masker(project.pk).value(opening.messages),
            actions=list(opening.actions),
            base_commit=opening.base_commit,
            decision_id=opening.decision_id,
            lessons=list(opening.lessons),
            native_tools=takes[opening.kind, opening.agent.role]
            if opening.native_tools is None
            else opening.native_tools,
        )
        for opening in openings
        if opening.origin not in known
    ]
    go_on_from_earlier(fresh)
    insert_all(fresh)
    letters_deliver(fresh)
    emit_all(
        _fact(session, "session.opened", project.organization_id, session.agent.name) for session in fresh
    )
    known |= {session.origin: session for session in fresh}
    return [known[origin] for origin in origins]


def _takes_tools(project: Project, openings: Sequence[Opening]) -> dict[tuple[str, str], bool]:
    """Whether the model that would be asked for each kind of session and role takes native tools."""
    wanted = {(opening.kind, opening.agent.role) for opening in openings}
    return {
        (kind, role): takes_tools(Payer(project.organization_id, project.pk, purpose=kind, role=role))
        for kind, role in wanted
    }


@transaction.atomic
def session_end(*, session: Session, reason: str, detail: str = "") -> bool:
    """End a session for a named reason and free its agent; False if it had ended already."""
    ended = move(
        Session.objects.filter(pk=session.pk),
        to=Session.Status.ENDED,
        allowed={Session.Status.OPEN},
        reason=reason[:40],
        reason_detail=detail,
        ended_at=timezone.now(),
    )
    if ended:
        if reason == "merged":
            lessons_used(session.lessons)
        _tell(session, "session.ended", session.project.organization_id, session.agent.name, reason=reason)
        if session.kind != Session.Kind.PAIR:  # talking with people is not the agent's work
            agent_release(agent_id=session.agent_id)
    return ended


def _tell(session: Session, kind: str, organization_id: int, actor: str, **data: Any) -> None:
    emit_all([_fact(session, kind, organization_id, actor, **data)])


def _fact(session: Session, kind: str, organization_id: int, actor: str, **data: Any) -> Fact:
    return Fact(
        kind,
        organization_id=organization_id,
        project_id=session.project_id,
        bead_id=session.bead_id,
        subject=f"session:{session.pk}",
        actor=actor,
        data={"session_kind": session.kind, **data},
    )


def turn_add(*, session: Session, turn: Turn, organization_id: int, doing: str) -> None:
    """Append a reply to the conversation, with what its actions gave if they were taken at once.

    Inside the transaction that settles its cost.
    """
    open_turn(session, turn, doing)
    replied = _fact(
        session,
        "turn.replied",
        organization_id,
        session.agent.name,
        turn=turn.number,
        actions=[action["name"] for action in turn.actions],
        error=turn.error[:500],
    )
    acted = () if turn.results is None else (_acted(session, turn.number, turn.outcome, organization_id),)
    emit_all([replied, *acted])


def turn_finish(
    *,
    session: Session,
    number: int,
    results: list[dict[str, Any]],
    outcome: list[dict[str, Any]],
    commit: str,
    organization_id: int,
) -> None:
    """Keep what the actions of a turn gave; inside the transaction that finishes its step."""
    close_turn(session.pk, number, results, outcome, commit)
    if commit:
        Session.objects.filter(pk=session.pk).update(head_commit=commit)
    emit_all([_acted(session, number, outcome, organization_id)])


def _acted(session: Session, number: int, outcome: list[dict[str, Any]], organization_id: int) -> Fact:
    told = [{"name": one["name"], "ok": one["ok"]} for one in outcome]
    return _fact(session, "turn.acted", organization_id, session.agent.name, turn=number, outcome=told)


def session_say(*, session_id: int, text: str) -> None:
    """Append words of the platform to a conversation; inside the transaction of a step.

    Who holds the session's seat forgets it, since the conversation has changed.
    """
    session = Session.objects.select_for_update().get(pk=session_id)
    turn = session.turns.order_by("-number").first()
    told = project_masker(session.project_id).text(text)
    if turn is None:
        opening = [*session.opening, {"role": "user", "content": told}]
        Session.objects.filter(pk=session_id).update(opening=opening)
        return
    Turn.objects.filter(pk=turn.pk).update(results=[*(turn.results or []), {"say": told, "by": PLATFORM}])


def outputs_keep(*, session: Session, turn: int, texts: Mapping[int, str]) -> None:
    """Keep outputs whole that were shown in parts, by the place of their action in the turn, from 1."""
    rows = [Output(session=session, turn=turn, number=number, text=text) for number, text in texts.items()]
    Output.objects.bulk_create(rows, ignore_conflicts=True)

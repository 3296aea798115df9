"""System flows: the life of each agent, and the master heartbeat that says how the whole house is.

An agent's life is one durable run from the day it joins to the day it is stopped. It costs nothing while
nothing happens: it wakes when somebody tells it something, and now and then to see that all is well.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.agents.lifecycle import (
    agent_pause,
    agent_resume,
    agent_spawn,
    agent_stop,
    agent_watch,
)
from apps.agents.models import Agent, Session
from apps.beads.models import Bead
from apps.core.errors import BadInput, Conflict, NotFound
from apps.core.health import EXTRAS
from apps.decisions.models import Decision
from apps.engine.flow import answers, flow, step, wait_for
from apps.engine.generations import continue_as_new
from apps.engine.models import Run
from apps.engine.queries import run_query
from apps.engine.services import Start, run_signal, runs_start
from apps.events.bus import Fact, emit_all, on
from apps.events.log import log_message
from apps.events.models import Event
from apps.projects.models import Project
from apps.providers.models import Provider

LIFE = "agent.life"
ROUNDS = 100  # of one generation of a life
BUSY_BEAT, IDLE_BEAT = 60.0, 900.0  # seconds
PATIENCE = 600.0  # seconds a stopped agent gets to finish what it has in hand
LONGEST_PATIENCE = 7 * 86_400.0
COMMANDS = ("look", "pause", "resume", "stop")
EVERY = timedelta(seconds=55)  # between two master heartbeats that are kept
TOO_LONG = 120.0  # seconds that work may wait for a worker


# -- the life of an agent ---------------------------------------------------------------------------


@flow(LIFE)
def agent_life(agent_id: int, patience: float | None = None) -> dict[str, Any]:
    """From spawned to stopped. The signal "agent" carries {"command", "actor", "patience"}.

    Asked for its "status" it tells what the agent is doing at that moment.
    """
    answers("status", lambda: agent_now(agent_id))
    for _ in range(ROUNDS):
        seen: dict[str, Any] = step(agent_look, agent_id=agent_id)
        if seen["over"]:
            return seen
        stopping = seen["status"] == Agent.Status.STOPPED
        waits = (PATIENCE if patience is None else patience) if stopping else seen["beat"]
        told = wait_for("agent", timeout=waits)
        if told is not None:
            command = str(told.get("command", "look"))
            obeyed = step(agent_obey, step_name=f"told:{command}"[:60], agent_id=agent_id, told=told)
            patience = obeyed.get("patience", patience)
        elif stopping:
            step(agent_hurry, agent_id=agent_id)
            patience = BUSY_BEAT
    return continue_as_new(agent_id=agent_id, patience=patience)


def agent_look(*, agent_id: int) -> dict[str, Any]:
    """Where the agent stands; one at work sends its heartbeat, one that lost its session is set free."""
    watched = agent_watch(agent_id=agent_id)
    if watched is None:
        return {"over": True, "status": "gone"}
    agent, at_work = watched
    return {
        "over": agent.status == Agent.Status.STOPPED and not at_work,
        "status": agent.status,
        "at_work": at_work,
        "bead": agent.current_bead.key if agent.current_bead else "",
        "beat": BUSY_BEAT if at_work else IDLE_BEAT,
    }


def agent_obey(*, agent_id: int, told: dict[str, Any]) -> dict[str, Any]:
    """Do what was said; what makes no sense (any more) is answered, not failed."""
    try:
        _command(agent_id, str(told.get("command", "look")), actor=str(told.get("actor", "")))
        return {"patience": _seconds(told["patience"])} if told.get("patience") is not None else {}
    except (BadInput, Conflict, NotFound) as refused:
        return {"refused": refused.message}


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST_PATIENCE:
        return float(value)
    raise BadInput(f"Patience is 0 to {LONGEST_PATIENCE:.0f} seconds, not {value!r}.")


def agent_hurry(*, agent_id: int) -> None:
    """Its patience is over: what it has in hand goes to somebody else at the next turn."""
    agent_obey(agent_id=agent_id, told={"command": "hand_over", "actor": "loom"})


def _command(agent_id: int, command: str, *, actor: str) -> None:
    if command == "pause":
        agent_pause(agent_id=agent_id, actor=actor)
    elif command == "resume":
        agent_resume(agent_id=agent_id, actor=actor)
    elif command in {"stop", "hand_over"}:
        agent_stop(agent_id=agent_id, hand_over=command == "hand_over", actor=actor)
    elif command != "look":
        raise BadInput(f"{command!r} is nothing an agent can be told.", hint=f"Use {', '.join(COMMANDS)}.")


def agent_tell(*, agent_id: int, command: str, actor: str, patience: float | None = None) -> None:
    """Pause, resume or stop an agent now, and let its life know; `patience` is what a stop may take.

    The change does not wait for a worker; what follows from it (a hand-over, the end of its life) does.
    """
    if patience is not None:
        _seconds(patience)
    with transaction.atomic():
        _command(agent_id, command, actor=actor)
        if (life := life_of(agent_id)) is None:
            _lives_start([agent_id])
            life = life_of(agent_id)  # maybe one that another process has just started
        said = {"command": "look", "actor": actor, **({} if patience is None else {"patience": patience})}
        if life is not None:
            run_signal(run_id=life.pk, name="agent", data=said)


def agent_add(*, project: Project, role: str, paused: bool = False, actor: str = "") -> Agent:
    """A new agent and its life."""
    with transaction.atomic():
        agent = agent_spawn(project=project, role=role, paused=paused, actor=actor)
        _lives_start([agent.pk])
    return agent


def life_of(agent_id: int) -> Run | None:
    lives = Run.objects.unfinished().filter(flow=LIFE, key__startswith=_life_key(agent_id, ""))
    return lives.order_by("-id").first()


def agent_query(*, agent_id: int) -> dict[str, Any]:
    """What an agent is doing right now, and how its life stands."""
    life = life_of(agent_id)
    return {**agent_now(agent_id), "life": run_query(run_id=life.pk) if life else None}


def agent_now(agent_id: int) -> dict[str, Any]:
    agent = Agent.objects.select_related("current_bead").filter(pk=agent_id).first()
    if agent is None:
        raise NotFound(f"There is no agent {agent_id}.")
    return {
        "agent_id": agent.pk,
        "name": agent.name,
        "role": agent.role,
        "status": agent.status,
        "bead": agent.current_bead.key if agent.current_bead else "",
        "action": agent.current_action,
        "last_active_at": agent.last_active_at.isoformat() if agent.last_active_at else None,
    }


def _life_key(agent_id: int, number: int | str) -> str:
    return f"agent:{agent_id}:life:{number}"


def lives_start() -> int:
    """A life for every agent of an open project that has none; how many were started."""
    team = Agent.objects.exclude(status=Agent.Status.STOPPED).exclude(project__status=Project.Status.CLOSED)
    living = Run.objects.unfinished().filter(flow=LIFE).values_list("input__agent_id", flat=True)
    missing = sorted(set(team.values_list("pk", flat=True)) - set(living))
    return len(_lives_start(missing)) if missing else 0


@transaction.atomic
def _lives_start(agent_ids: Iterable[int]) -> list[Run]:
    teams: defaultdict[Project, list[int]] = defaultdict(list)
    for agent in Agent.objects.filter(pk__in=list(agent_ids)).select_related("project").order_by("pk"):
        teams[agent.project].append(agent.pk)
    started: list[Run] = []
    for project, team in sorted(teams.items(), key=lambda one: one[0].pk):  # no two starters wait in a circle
        lived = Run.objects.filter(flow=LIFE, project_id=project.pk)
        lives = Counter(lived.values_list("input__agent_id", flat=True))
        started += runs_start(
            flow=LIFE,
            starts=[Start(_life_key(pk, lives[pk] + 1), {"agent_id": pk}) for pk in team],
            organization_id=project.organization_id,
            project_id=project.pk,
        )
    return started


@on("agent.completed")
def end_life(event: Event) -> None:
    """A stopped agent has put down its work: its life need not wait out its patience."""
    if life := life_of(int(event.data["agent_id"])):
        run_signal(run_id=life.pk, name="agent", data={"command": "look", "actor": event.actor})


# -- the master heartbeat ---------------------------------------------------------------------------


def heartbeat(now: datetime | None = None) -> dict[str, Any] | None:
    """Count what there is, keep it as an event, and say so once when work waits too long for a worker."""
    now = now or timezone.now()
    last = last_heartbeat()
    if last is not None and now - last.created_at < EVERY:
        return None
    seen = house_counts(now)
    late = seen["oldest_waiting_seconds"] > TOO_LONG
    with transaction.atomic():
        emit_all([Fact("loom.heartbeat", None, subject="loom", actor="loom", data=seen)])
        if late and not (last and last.data["oldest_waiting_seconds"] > TOO_LONG):
            log_message(
                "warning",
                f"Work waits for a worker since {seen['oldest_waiting_seconds']:.0f} s; is one running?",
                queue_depth=seen["queue_depth"],
            )
    return seen


def last_heartbeat() -> Event | None:
    return Event.objects.filter(kind="loom.heartbeat").order_by("-id").first()


def house_counts(now: datetime) -> dict[str, Any]:
    due = Run.objects.filter(status=Run.Status.READY)
    oldest = due.order_by("updated_at").values_list("updated_at", flat=True).first()
    waiting = Bead.objects.ready().exclude(project__status=Project.Status.CLOSED)
    return {
        "projects": Project.objects.exclude(status=Project.Status.CLOSED).count(),
        "agents": _counted(Agent.objects.exclude(project__status=Project.Status.CLOSED)),
        "runs": _counted(Run.objects.unfinished()),
        "sessions": Session.objects.filter(status=Session.Status.OPEN).count(),
        "beads_ready": waiting.count(),
        "beads_blocked": Bead.objects.filter(status=Bead.Status.BLOCKED).count(),
        "decisions": Decision.objects.open().count(),
        "providers": _counted(Provider.objects.filter(enabled=True)),
        "queue_depth": due.count(),
        "oldest_waiting_seconds": round((now - oldest).total_seconds(), 1) if oldest else 0.0,
    }


def _counted(rows: Any) -> dict[str, int]:
    return dict(sorted(Counter(rows.order_by().values_list("status", flat=True)).items()))


def heartbeat_shown(*, everything: bool) -> dict[str, Any]:
    """The last heartbeat for the health page; strangers see its age and the queue, not what there is."""
    last = last_heartbeat()
    if last is None:
        return {"at": None}
    data: dict[str, Any] = last.data
    age = (timezone.now() - last.created_at).total_seconds()
    shown = data if everything else {key: data[key] for key in ("queue_depth", "oldest_waiting_seconds")}
    return {"at": last.created_at.isoformat(), "age_seconds": round(age, 1), **shown}


EXTRAS["heartbeat"] = heartbeat_shown

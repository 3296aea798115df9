"""Agents come, rest and go: who gets no work, what a stop waits for, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from apps.accounts.services import organization_ensure
from apps.agents.lifecycle import agent_pause, agent_resume, agent_spawn, agent_stop, agent_watch
from apps.agents.models import Agent, Session
from apps.agents.persona_services import personas_sync
from apps.agents.services import Opening, agent_acquire, session_end, sessions_open
from apps.core.errors import Conflict, NotFound
from apps.events.models import Event
from apps.projects.models import Project
from apps.projects.services import project_create
from tests.engine.flows import at_once

ROLE = "qa-engineer"


@pytest.fixture
def project(transactional_db: None) -> Project:
    personas_sync()
    return project_create(organization=organization_ensure(name="acme"), name="Links")


def told(agent: Agent) -> list[tuple[str, str]]:
    """Kinds with the new status, if there is one."""
    events = Event.objects.filter(subject=f"agent:{agent.pk}").order_by("id")
    return [(event.kind, event.data.get("new_status", "")) for event in events]


def status(agent: Agent) -> str:
    return str(Agent.objects.values_list("status", flat=True).get(pk=agent.pk))


def session(project: Project, agent: Agent, origin: str = "one") -> Session:
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": ""}]
    opening = Opening(agent, Session.Kind.EXPAND, origin, messages, ["done"], "")
    return sessions_open(project=project, openings=[opening])[0]


def test_a_new_agent_waits_for_work(project: Project) -> None:
    first = agent_spawn(project=project, role=ROLE, actor="ann")
    second = agent_spawn(project=project, role=ROLE, paused=True)
    assert (first.name, first.status, second.name, second.status) == (
        "QA engineer",
        "idle",
        "QA engineer 2",
        "paused",
    )
    event = Event.objects.get(kind="agent.spawned", subject=f"agent:{first.pk}")
    assert (event.actor, event.data) == (
        "ann",
        {
            "agent_id": first.pk,
            "name": "QA engineer",
            "role": ROLE,
            "persona_name": "default/qa-engineer",
            "status": "idle",
        },
    )
    with pytest.raises(NotFound, match="no persona for the role 'plumber'"):
        agent_spawn(project=project, role="plumber")


def test_a_paused_agent_gets_no_work_until_it_is_resumed(project: Project) -> None:
    agent = agent_spawn(project=project, role=ROLE)
    agent_pause(agent_id=agent.pk)
    agent_pause(agent_id=agent.pk)
    other = agent_acquire(project=project, role=ROLE)
    assert (other.pk != agent.pk, status(agent)) == (True, "paused")
    agent_resume(agent_id=agent.pk)
    assert agent_acquire(project=project, role=ROLE).pk == agent.pk
    assert told(agent) == [
        ("agent.spawned", ""),
        ("agent.status_change", "paused"),
        ("agent.status_change", "idle"),
        ("agent.status_change", "working"),
    ]
    with pytest.raises(Conflict, match="is working, not paused"):
        agent_resume(agent_id=agent.pk)


def test_one_paused_at_work_finishes_and_stays_paused(project: Project) -> None:
    agent = agent_acquire(project=project, role=ROLE)
    work = session(project, agent)
    agent_pause(agent_id=agent.pk)
    session_end(session=work, reason="done")
    agent.refresh_from_db()
    assert (agent.status, agent.current_action) == ("paused", "")


def test_one_paused_and_resumed_at_work_is_at_work(project: Project) -> None:
    agent = agent_acquire(project=project, role=ROLE)
    work = session(project, agent)
    agent_pause(agent_id=agent.pk)
    agent_resume(agent_id=agent.pk)
    assert status(agent) == "working"
    session_end(session=work, reason="done")
    assert status(agent) == "idle"


def test_an_idle_agent_stops_at_once(project: Project) -> None:
    agent = agent_spawn(project=project, role=ROLE)
    agent_stop(agent_id=agent.pk, actor="ann")
    assert told(agent)[1:] == [("agent.status_change", "stopped"), ("agent.completed", "")]
    assert Event.objects.get(kind="agent.completed").data["reason"] == "stopped"
    with pytest.raises(Conflict, match="was stopped already"):
        agent_stop(agent_id=agent.pk)
    with pytest.raises(Conflict, match="was stopped"):
        agent_pause(agent_id=agent.pk)
    assert agent_acquire(project=project, role=ROLE).pk != agent.pk
    agent_resume(agent_id=agent.pk)
    assert status(agent) == "idle"


def test_one_stopped_at_work_is_done_when_its_session_is(project: Project) -> None:
    agent = agent_acquire(project=project, role=ROLE)
    work = session(project, agent)
    agent_stop(agent_id=agent.pk)
    assert not Event.objects.filter(kind="agent.completed").exists()
    agent_stop(agent_id=agent.pk, hand_over=True)
    agent.refresh_from_db()
    assert agent.hands_over
    session_end(session=work, reason="handed_over")
    session_end(session=work, reason="handed_over")
    agent.refresh_from_db()
    assert (agent.status, agent.hands_over) == ("stopped", False)
    assert told(agent).count(("agent.completed", "")) == 1


@transaction.atomic
def watch(agent: Agent) -> tuple[str, bool]:
    seen = agent_watch(agent_id=agent.pk)
    assert seen is not None
    return seen[0].status, seen[1]


def test_only_an_agent_without_a_session_of_its_own_is_reset(project: Project) -> None:
    agent = agent_acquire(project=project, role=ROLE)
    work = session(project, agent)
    watch(agent)
    assert status(agent) == "working"
    Session.objects.filter(pk=work.pk).update(status="ended")
    assert [watch(agent), watch(agent)] == [("idle", False)] * 2
    assert status(agent) == "idle"
    data = Event.objects.get(kind="agent.reset").data
    assert (data["agent_id"], data["project_id"], data["reason"]) == (
        agent.pk,
        project.pk,
        "no open session",
    )


def test_of_many_who_stop_an_agent_at_once_one_does(project: Project) -> None:
    agent = agent_spawn(project=project, role=ROLE)
    refused: list[str] = []

    def stop() -> None:
        try:
            agent_stop(agent_id=agent.pk)
        except Conflict as error:
            refused.append(error.message)

    at_once(*[stop for _ in range(5)])
    assert (len(refused), told(agent).count(("agent.completed", ""))) == (4, 1)


def test_an_agent_is_not_paused_and_given_work_at_once(project: Project) -> None:
    """Whatever comes first: it is paused in the end, and works only if somebody gave it work before."""
    agent = agent_spawn(project=project, role=ROLE)
    taken: list[Any] = []
    calls: list[Callable[[], object]] = [partial(agent_pause, agent_id=agent.pk)]
    calls += [lambda: taken.append(agent_acquire(project=project, role=ROLE).pk) for _ in range(3)]
    at_once(*calls)
    assert status(agent) == "paused"
    assert len(set(taken)) == len(taken) == 3


def test_nobody_stops_an_agent_that_is_not_there(project: Project) -> None:
    for service in (agent_pause, agent_resume, agent_stop):
        with pytest.raises(NotFound):
            service(agent_id=424242)

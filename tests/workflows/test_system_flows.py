"""The life of an agent from spawned to stopped, and the heartbeat of the house."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from celery import current_app
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.agents.lifecycle import agent_spawn
from apps.agents.models import Agent, Session
from apps.beads.models import Bead
from apps.core.errors import BadInput
from apps.engine import runner
from apps.engine.models import Run
from apps.engine.queries import run_query
from apps.engine.services import run_signal, run_start
from apps.events.models import Event
from apps.projects.services import project_close
from apps.workflows import system_flows
from apps.workflows.system_flows import (
    LIFE,
    agent_add,
    agent_query,
    agent_tell,
    heartbeat,
    house_counts,
    life_of,
    lives_start,
)
from tests.workflows.studio import APPROVE, Answer, Studio, done, replies, write

Open = Callable[..., Studio]
Messages = list[dict[str, Any]]
ROLE = "engineering-manager"


def good(kind: str, title: str, messages: Messages) -> Answer:
    return APPROVE if kind == "review" else [write("a.txt", "x\n"), done()]


def life(agent: Agent) -> Run:
    return Run.objects.filter(flow=LIFE, input__agent_id=agent.pk).latest("id")


def status(agent: Agent) -> str:
    return str(Agent.objects.values_list("status", flat=True).get(pk=agent.pk))


def told(kind: str) -> list[dict[str, Any]]:
    return [event.data for event in Event.objects.filter(kind=kind).order_by("id")]


def time_passes(run: Run) -> None:
    """Whatever the run waits for by the clock is due."""
    past = timezone.now() - timedelta(seconds=1)
    run.steps.filter(status="waiting").update(wake_at=past)
    Run.objects.filter(pk=run.pk).update(wake_at=past)
    runner.drain()


# -- the life of an agent --------------------------------------------------------------------------


def test_an_agent_lives_from_spawned_to_stopped(open_studio: Open) -> None:
    studio = open_studio(good)
    agent = agent_add(project=studio.project, role=ROLE, actor="ann")
    studio.run()
    run = life(agent)
    assert run.status == Run.Status.WAITING
    assert run_query(run_id=run.pk, name="status")["status"] == "idle"

    bead = studio.bead()
    studio.run()
    assert studio.refreshed(bead).assigned_to == agent.name, "who waits gets the work"
    changes = [(one["old_status"], one["new_status"], one["current_bead"]) for one in _changes(agent)]
    assert changes == [("idle", "working", bead.key), ("working", "idle", "")]

    agent_tell(agent_id=agent.pk, command="stop", actor="ann")
    studio.run()
    run.refresh_from_db()
    assert (run.status, run.output["status"]) == (Run.Status.DONE, "stopped")
    assert [one["agent_id"] for one in told("agent.completed")] == [agent.pk]


def _changes(agent: Agent) -> list[dict[str, Any]]:
    return [one for one in told("agent.status_change") if one["agent_id"] == agent.pk]


def test_one_stopped_at_work_finishes_what_it_has_in_hand(open_studio: Open) -> None:
    stopped: list[int] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if replies(messages) == 0:
            stopped.append(Session.objects.get(kind="work").agent_id)
            agent_tell(agent_id=stopped[0], command="stop", actor="ann")
            return [write("a.txt", "x\n")]
        return [done()]

    studio = open_studio(model)
    bead = studio.bead()
    studio.run()
    (session,) = studio.sessions("work")
    assert (session.agent_id, session.reason) == (stopped[0], "merged")
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert status(session.agent) == "stopped"
    assert life_of(session.agent_id) is None
    other = studio.bead("Another")
    studio.run()
    assert studio.refreshed(other).assigned_to != session.agent.name


def test_after_its_patience_another_goes_on_with_its_files(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if "## Earlier sessions" in str(messages[1]["content"]):
            assert "handed over" in str(messages[1]["content"])
            return [done("The file is there.")]
        if replies(messages) == 0:
            agent = Session.objects.get(kind="work").agent
            agent_tell(agent_id=agent.pk, command="stop", actor="ann", patience=0)
            runner.advance(life(agent).pk)
            return [write("a.txt", "half\n")]
        raise AssertionError("It has no patience left.")

    studio = open_studio(model)
    bead = studio.bead()
    studio.run()
    first, second = studio.sessions("work")
    assert (first.reason, second.reason) == ("handed_over", "merged")
    assert first.agent_id != second.agent_id
    assert (status(first.agent), status(second.agent)) == ("stopped", "idle")
    assert studio.main_file("a.txt") == "half\n"
    assert studio.refreshed(bead).status == Bead.Status.CLOSED


def test_whoever_may_signal_its_life_can_pause_and_resume_it(open_studio: Open) -> None:
    studio = open_studio(good)
    agent = agent_add(project=studio.project, role=ROLE)
    studio.run()
    for command, wanted in (("pause", "paused"), ("pause", "paused"), ("resume", "idle"), ("dance", "idle")):
        run_signal(run_id=life(agent).pk, name="agent", data={"command": command, "actor": "ann"})
        studio.run()
        assert status(agent) == wanted
    run_signal(run_id=life(agent).pk, name="agent", data={"command": "look", "patience": "for ever"})
    studio.run()
    steps = list(life(agent).steps.filter(name__startswith="told:").order_by("seq"))
    assert [bool((one.output or {}).get("refused")) for one in steps] == [False, False, False, True, True]
    assert life(agent).status == Run.Status.WAITING


def test_an_agent_at_work_sends_heartbeats_and_an_idle_one_does_not(open_studio: Open) -> None:
    studio = open_studio(lambda kind, title, messages: [("ask_question", {"question": "Which color?"})])
    bead = studio.bead()
    studio.run()
    session = studio.sessions("work")[0]
    assert lives_start() >= 1
    studio.run()
    beats = told("agent.heartbeat")
    assert [one["agent_id"] for one in beats] == [session.agent_id]
    assert Event.objects.get(kind="agent.heartbeat").bead_id == bead.pk
    time_passes(life(session.agent))
    assert len(told("agent.heartbeat")) == 2
    idle = agent_add(project=studio.project, role="qa-engineer")
    studio.run()
    assert idle.pk not in {one["agent_id"] for one in told("agent.heartbeat")}


def test_one_that_lost_its_session_is_set_free_by_its_life(open_studio: Open) -> None:
    studio = open_studio(good)
    agent = agent_add(project=studio.project, role=ROLE)
    Agent.objects.filter(pk=agent.pk).update(status="working")
    studio.run()
    assert (status(agent), [one["agent_id"] for one in told("agent.reset")]) == ("idle", [agent.pk])


def test_every_agent_of_an_open_project_has_one_life(open_studio: Open) -> None:
    studio = open_studio(good)
    agents = [agent_spawn(project=studio.project, role=ROLE) for _ in range(3)]
    assert (lives_start(), lives_start()) == (3, 0)
    studio.run()
    agent_tell(agent_id=agents[0].pk, command="stop", actor="ann")
    studio.run()
    assert (lives_start(), life_of(agents[0].pk)) == (0, None)
    agent_tell(agent_id=agents[0].pk, command="resume", actor="ann")
    assert life_of(agents[0].pk) is not None, "who comes back lives again"
    project_close(project=studio.project, reason="Done.")
    for agent in agents:
        if run := life_of(agent.pk):
            time_passes(run)
    assert not Run.objects.unfinished().filter(flow=LIFE).exists()
    assert lives_start() == 0


def test_a_long_life_has_a_short_history(open_studio: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_flows, "ROUNDS", 3)
    studio = open_studio(good)
    agent = agent_add(project=studio.project, role=ROLE)
    studio.run()
    for _ in range(10):
        time_passes(life(agent))
    run = life(agent)
    assert run.generation >= 3
    assert run.steps.count() <= 7
    agent_tell(agent_id=agent.pk, command="stop", actor="ann")
    studio.run()
    run.refresh_from_db()
    assert run.status == Run.Status.DONE


def test_a_restart_in_the_middle_of_a_life_changes_nothing(open_studio: Open) -> None:
    studio = open_studio(good)
    agent = agent_add(project=studio.project, role=ROLE)
    studio.run()
    agent_tell(agent_id=agent.pk, command="pause", actor="ann")
    # The worker dies before it hears of that; the sweep of the next finds the run.
    Run.objects.filter(flow=LIFE).update(status="running", lease_until=timezone.now() - timedelta(minutes=5))
    runner.sweep()
    studio.run()
    assert (status(agent), life(agent).status) == ("paused", Run.Status.WAITING)
    assert [one["new_status"] for one in _changes(agent)] == ["paused"]


@pytest.mark.parametrize("patience", [-1, float("nan"), 1e9, True])
def test_senseless_patience_is_refused(open_studio: Open, patience: float) -> None:
    studio = open_studio(good)
    agent = agent_spawn(project=studio.project, role=ROLE)
    with pytest.raises(BadInput, match="Patience is"):
        agent_tell(agent_id=agent.pk, command="stop", actor="ann", patience=patience)
    assert status(agent) == "idle"


# -- the command -----------------------------------------------------------------------------------


def agents(*words: str) -> str:
    out = StringIO()
    call_command("agents", *words, "--org", "studio", stdout=out)
    return out.getvalue()


def test_the_command_lists_and_changes_agents(open_studio: Open) -> None:
    studio = open_studio(good)
    assert "no agent yet" in agents()
    assert "Engineering manager: idle" in agents("add", studio.project.slug, ROLE)
    agent = Agent.objects.get()
    key = str(agent.pk)
    assert agents("pause", key).strip() == f"{key}  {agent.name}: paused"
    (listed,) = json.loads(agents("list", "--json"))
    assert (listed["agent_id"], listed["status"], listed["life"]["flow"]) == (agent.pk, "paused", LIFE)
    assert agents("resume", key).endswith("idle\n")
    assert agents("stop", key, "--patience", "5").endswith("stopped\n")
    studio.run()
    assert agent_query(agent_id=agent.pk)["life"] is None
    assert "stopped" in agents("list", "--project", studio.project.slug)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pause"], "Say which agent"),
        (["pause", "x"], "Say which agent"),
        (["stop", "424242"], "There is no agent 424242"),
        (["add", "calculator"], "Say the project"),
        (["add", "nowhere", ROLE], "There is no project nowhere"),
        (["add", "calculator", "plumber"], "no persona for the role 'plumber'"),
    ],
)
def test_the_command_says_what_is_wrong(open_studio: Open, words: list[str], message: str) -> None:
    open_studio(good)
    with pytest.raises(CommandError, match=message):
        agents(*words)


def test_the_command_of_another_organization_finds_nobody(open_studio: Open) -> None:
    studio = open_studio(good)
    agent = agent_spawn(project=studio.project, role=ROLE)
    with pytest.raises(CommandError, match="There is no agent"):
        call_command("agents", "stop", str(agent.pk), "--org", "rivals")
    assert status(agent) == "idle"


# -- the heartbeat of the house --------------------------------------------------------------------


def test_the_house_counts_what_it_holds(open_studio: Open) -> None:
    studio = open_studio(lambda kind, title, messages: "What?")
    studio.bead()
    studio.run()
    seen = house_counts(timezone.now())
    assert (seen["projects"], seen["agents"], seen["beads_blocked"], seen["decisions"]) == (
        1,
        {"idle": 1},
        1,
        1,
    )
    assert (seen["queue_depth"], seen["oldest_waiting_seconds"]) == (0, 0.0)
    assert seen["runs"]["waiting"] >= 1
    run_start(flow=LIFE, key="late", input={"agent_id": 0})
    Run.objects.filter(key="late").update(updated_at=timezone.now() - timedelta(minutes=10))
    seen = house_counts(timezone.now())
    assert seen["queue_depth"] == 1
    assert seen["oldest_waiting_seconds"] == pytest.approx(600, abs=5)


def test_it_beats_once_a_minute_and_says_once_that_no_worker_comes(open_studio: Open) -> None:
    open_studio(good)
    run_start(flow=LIFE, key="late", input={"agent_id": 0})
    Run.objects.filter(key="late").update(updated_at=timezone.now() - timedelta(minutes=10))
    assert (heartbeat() is not None, heartbeat()) == (True, None)
    for _ in range(2):
        Event.objects.filter(kind="loom.heartbeat").update(created_at=timezone.now() - timedelta(minutes=1))
        assert heartbeat() is not None
    assert len(told("loom.heartbeat")) == 3
    (warning,) = told("log.message")
    assert (warning["level"], warning["queue_depth"]) == ("warning", 1)
    assert "Work waits for a worker since 600 s" in warning["message"]


def test_the_health_page_shows_strangers_its_age_and_staff_all(open_studio: Open, client: Client) -> None:
    studio = open_studio(good)
    studio.bead()
    heartbeat()
    shown = client.get("/api/v1/health").json()["heartbeat"]
    assert set(shown) == {"at", "age_seconds", "queue_depth", "oldest_waiting_seconds"}
    client.force_login(User.objects.create_user("root", password="x", is_staff=True))
    everything = client.get("/api/v1/health").json()["heartbeat"]
    assert (everything["projects"], everything["runs"]) == (1, {"ready": 1})


def test_the_beat_schedule_knows_the_tasks() -> None:
    current_app.loader.import_default_modules()
    scheduled = {entry["task"] for entry in current_app.conf.beat_schedule.values()}
    assert {"workflows.heartbeat", "workflows.dispatch_sweep", "providers.sweep"} <= scheduled
    assert scheduled <= set(current_app.tasks)

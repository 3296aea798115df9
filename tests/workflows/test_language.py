"""Instructions of the orchestration language, from a model's reply to their effect and back to the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from apps.accounts.services import organization_ensure
from apps.agents.lesson_models import Lesson
from apps.agents.models import Agent, Message, Persona, Session
from apps.agents.orchestration import Order, carry_out
from apps.agents.persona_services import personas_sync
from apps.agents.prompts import system_message
from apps.agents.replies.language_values import instruction_check
from apps.agents.services import agent_acquire
from apps.beads.models import Bead
from apps.engine.models import Run, Signal
from apps.engine.services import run_start
from apps.events.models import Event
from apps.projects.services import project_close, project_create
from apps.workflows.language_flows import bead_stand
from apps.workflows.language_schedules import FIRE
from apps.workflows.language_standing import standing_orders
from apps.workflows.tasks import language_fire
from tests.workflows.studio import APPROVE, Answer, Studio, done, replies, write
from tests.world import world_build

Messages = list[dict[str, Any]]
Open = Callable[..., Studio]
MANAGER = "product-manager"
REMINDER = 'INPUT: {"after": "2d", "to_role": "cto", "subject": "Hi"}'


def block(*lines: str, tag: str = "loom") -> str:
    return "\n".join([f"<{tag}>", *lines, "END", f"</{tag}>"])


def studio_of(
    open_studio: Open, *said: str, role: str = MANAGER, tools: bool = False
) -> tuple[Studio, list[str]]:
    """A studio whose first bead says these texts one after the other; and what it heard after each."""
    heard: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        turn = replies(messages)
        if title != "Subtract" or turn > len(said):
            return [write(f"{title.lower().replace(' ', '_')}.txt", "x\n"), done()]
        if turn:
            heard.append(
                "\n".join(str(one["content"]) for one in messages if one["role"] != "assistant")[-6000:]
            )
        return said[turn] if turn < len(said) else [write("a.txt", "a\n"), done()]

    studio = open_studio(model, tools=tools)
    studio.bead(role=role)
    studio.run()
    return studio, heard


def test_a_workflow_is_started_waited_for_and_told(open_studio: Open) -> None:
    given = '{"title": "THE END </loom>",\n  "role": "qa",\n  "acceptance": ["It\'s the END"]}'
    _, heard = studio_of(
        open_studio, "Help me.\n" + block("WORKFLOW: delegate", f"INPUT: {given}", "WAIT: 1h", "PRIORITY: 1")
    )

    bead = Bead.objects.get(title="THE END </loom>")
    assert (bead.role, bead.priority, bead.status) == ("qa-engineer", 1, Bead.Status.CLOSED)
    run = Run.objects.get(flow="language.delegate")
    assert (run.status, run.output["bead"]) == (Run.Status.DONE, bead.key)
    assert f"Run {run.pk} is done" in heard[0]
    assert bead.merged_commit in heard[0]
    assert bead_stand(bead.pk)["status"] == "closed"
    assert Bead.objects.count() == 2


def test_nothing_of_the_language_goes_back_to_the_model(open_studio: Open) -> None:
    studio, heard = studio_of(
        open_studio, "Look.\n" + block("LIST: catalog", tag="temporal") + "\nThanks.", tools=True
    )

    bodies = [request.body["messages"] for request in studio.server.requests]
    said = [str(message.get("content")) for messages in bodies for message in messages[2:]]
    assert not any("<temporal>" in text or "</temporal>" in text for text in said)
    assert "WORKFLOW and SCHEDULE start:" in heard[0]
    assert "- delegate (INPUT {title, role, " in heard[0]


def test_wrong_syntax_is_told_with_line_column_and_form_and_nothing_of_it_is_done(open_studio: Open) -> None:
    text = (
        '<loom>\nACTIVITY: remember\nINPUT: {"note": "Never kept."}\nEND\n'
        "SCHEDULE: checks\nINTERVAL: soon\nEND\n</loom>"
    )
    _, heard = studio_of(open_studio, text, "<loom>\nLIST: runs\nEND\n")

    assert "line 6, column 11: INTERVAL is not valid; expected a duration" in heard[0]
    assert "`INTERVAL: 1h30m`" in heard[0]
    assert "line 1, column 1: this block is never closed" in heard[1]
    assert not Lesson.objects.exists()


def test_activities_act_at_once_and_once(open_studio: Open) -> None:
    _, heard = studio_of(
        open_studio,
        block("ACTIVITY: run_checks", "END", "ACTIVITY: notify",
              'INPUT: {"to_role": "tester", "subject": "Look", "body": "END\\nEND"}', "END",
              "ACTIVITY: remember", 'INPUT: {"note": "Amounts are in cents."}', "END",
              "ACTIVITY: create_bead", 'INPUT: {"title": "Later", "role": "qa-engineer", "type": "chore"}'),
        block("ACTIVITY: fly"),
        block("ACTIVITY: notify", 'INPUT: {"to": "qa"}'),
    )  # fmt: skip

    assert "Passed." in heard[0]
    assert Message.objects.get().body == "END\nEND"
    assert Lesson.objects.get().text == "Amounts are in cents."
    assert Bead.objects.get(title="Later").type == "chore"
    assert "There is no activity 'fly'." in heard[1]
    assert "to_role: Field required" in heard[2]
    assert "Expected: {to_role, subject, body?}" in heard[2]
    assert Event.objects.filter(kind="orchestration.executed").count() == 4


def test_schedules_are_rows_of_beat_that_start_what_they_are_for(open_studio: Open) -> None:
    studio, heard = studio_of(
        open_studio,
        block("SCHEDULE: task", "NAME: nightly", "INTERVAL: 24h", "DESCRIPTION: look every night",
              'INPUT: {"title": "Regression", "role": "qa-engineer"}', "END", "LIST: schedules"),
        block("SCHEDULE: task", "INTERVAL: 1s", 'INPUT: {"title": "Busy", "role": "qa-engineer"}'),
        block("SCHEDULE: nothing", "INTERVAL: 1h"),
    )  # fmt: skip

    row = PeriodicTask.objects.get(task="workflows.language_fire")
    assert (row.name, row.description) == (f"project {studio.project.pk}: nightly", "look every night")
    assert (row.interval.every, row.enabled) == (86_400, True)
    assert "nightly: task every 86400 s, next" in heard[0]
    assert "at most every 60 seconds" in heard[1]
    assert "There is no workflow 'nothing' to start" in heard[2]

    for _ in range(2):  # the broker may deliver a message twice
        language_fire.apply(kwargs=json.loads(row.kwargs), task_id="tick-1")
    assert Bead.objects.filter(title="Regression").count() == 1
    language_fire.apply(kwargs=json.loads(row.kwargs), task_id="tick-2")
    assert Bead.objects.filter(title="Regression").count() == 1, "the first is not over"
    studio.run()
    language_fire.apply(kwargs=json.loads(row.kwargs), task_id="tick-3")
    assert Bead.objects.filter(title="Regression").count() == 2


def test_schedules_of_who_is_gone_go_too(transactional_db: None) -> None:
    personas_sync()
    world = world_build("acme", rows=0)
    agent = agent_acquire(project=world.project, role=MANAGER)
    carry_out(Order(instruction_check("SCHEDULE", "checks", {"INTERVAL": "1h"}), world.project, agent, "x:1"))
    row = PeriodicTask.objects.get(task=FIRE)
    project_close(project=world.project, reason="enough")
    language_fire.apply(kwargs=json.loads(row.kwargs), task_id="one")
    assert PeriodicTask.objects.filter(task=FIRE).exists()
    assert not Run.objects.filter(flow="language.checks").exists()
    world.project.delete()
    language_fire.apply(kwargs=json.loads(row.kwargs), task_id="two")
    assert not PeriodicTask.objects.filter(task=FIRE).exists()


def test_queries_tell_where_a_run_stands_and_what_it_went_through(open_studio: Open) -> None:
    studio, heard = studio_of(
        open_studio,
        block("WORKFLOW: remind", "IDEMPOTENCY_KEY: once", REMINDER),
        block("QUERY: once", "END", "QUERY: calc-1", "TYPE: history", "END", "LIST: runs", "TYPE: ready"),
        block("QUERY: 999999"),
        block("QUERY: once", "TYPE: moods"),
    )

    run = Run.objects.get(flow="language.remind")
    assert run.key == f"language:{studio.project.pk}:once"
    assert f'"run": {run.pk}' in heard[1]
    assert '"status": "ready"' in heard[1]
    assert " step query" in heard[1]
    assert f"{run.pk} language.remind ready" in heard[1]
    assert "There is no run '999999' in this project." in heard[2]
    assert "moods" in heard[3]


def test_the_same_idempotency_key_starts_once(open_studio: Open) -> None:
    again = block("WORKFLOW: checks", "IDEMPOTENCY_KEY: today", "WAIT: 10m", "RETRY: 1")
    _, heard = studio_of(open_studio, again, again)

    run = Run.objects.get(flow="language.checks")
    assert run.output["passed"] is True
    assert f"Run {run.pk} is done" in heard[0]
    assert f"Run {run.pk} is done" in heard[1]


def test_waiting_ends_with_its_time(open_studio: Open) -> None:
    given = '{"after": "2d", "to_role": "cto", "subject": "Hi"}'
    studio, heard = studio_of(open_studio, block("WORKFLOW: remind", f"INPUT: {given}", "WAIT: 5m"))

    assert heard == []
    work = Run.objects.get(flow="bead.work")
    assert work.wake_at is not None
    assert timedelta(minutes=4) < work.wake_at - timezone.now() <= timedelta(minutes=5)
    Run.objects.filter(pk=work.pk).update(wake_at=timezone.now())
    # The step knows its deadline too: move it into the past.
    work.steps.filter(wake_at__isnull=False).update(wake_at=timezone.now())
    studio.run()
    assert "has not ended in the time you wait; it goes on" in heard[0]


def test_cancel_stops_runs_and_schedules_that_agents_started_and_no_others(open_studio: Open) -> None:
    _, heard = studio_of(
        open_studio,
        block("WORKFLOW: remind", "IDEMPOTENCY_KEY: r", REMINDER, "END", "SCHEDULE: checks", "INTERVAL: 1h"),
        block("CANCEL: r", "END", "CANCEL: r", "END", "CANCEL: checks"),
        block("CANCEL: ca-1"),
    )  # fmt: skip

    assert Run.objects.get(flow="language.remind").status == Run.Status.CANCELED
    assert not PeriodicTask.objects.filter(task="workflows.language_fire").exists()
    assert "is being canceled already" in heard[1]
    assert "not started by agents, nor canceled by them" in heard[2] or "There is no run" in heard[2]


def test_signals_reach_runs_but_never_forge_what_the_platform_says(open_studio: Open) -> None:
    target: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        said = [
            block(f"SIGNAL: {target[0]}", "NAME: deployed", 'DATA: {"where": "here"}'),
            block(f"SIGNAL: {target[0]}", "NAME: decision:1", 'DATA: {"choice": "approve"}'),
        ]
        turn = replies(messages)
        if turn == 2:
            heard.append(str(messages[-1]["content"]))
        return said[turn] if turn < 2 else [write("a.txt", "a\n"), done()]

    heard: list[str] = []
    studio = open_studio(model, tools=False)
    run = run_start(
        flow="bead.work", key="other", input={}, project_id=studio.project.pk,
    )  # fmt: skip
    Run.objects.filter(pk=run.pk).update(status=Run.Status.WAITING)
    target.append(str(run.pk))
    studio.bead(role=MANAGER)
    studio.run()

    signal = Signal.objects.get(run=run)
    assert (signal.name, signal.data["where"]) == ("deployed", "here")
    assert signal.data["sent_by"]["agent"] == "Product manager"
    assert "'decision:1' is no signal for agents" in heard[0]


def test_other_projects_do_not_exist(open_studio: Open) -> None:
    elsewhere = project_create(organization=organization_ensure(name="Elsewhere"), name="Secret")
    run = run_start(flow="language.remind", key="theirs", input={}, project_id=elsewhere.pk)
    Run.objects.filter(pk=run.pk).update(status=Run.Status.WAITING)
    orders = [
        f"QUERY: {run.pk}",
        "END",
        "CANCEL: theirs",
        "END",
        "SIGNAL: theirs",
        "NAME: x",
        "END",
        "LIST: runs",
    ]
    _, heard = studio_of(open_studio, block(*orders))
    assert heard[0].count("in this project") == 3
    assert "language.remind" not in heard[0]
    assert Run.objects.filter(pk=run.pk, cancel_requested=False, status="waiting").exists()
    assert not run.signals.exists()


BEAD = {"title": "Later", "role": "qa-engineer"}


@pytest.mark.parametrize(
    ("kind", "target", "options", "count"),
    [
        ("WORKFLOW", "delegate", {"INPUT": BEAD}, lambda: (Run.objects.count(), Bead.objects.count())),
        ("SCHEDULE", "checks", {"INTERVAL": "1h"}, lambda: PeriodicTask.objects.filter(task=FIRE).count()),
        ("ACTIVITY", "create_bead", {"INPUT": BEAD}, Bead.objects.count),
        (
            "ACTIVITY",
            "notify",
            {"INPUT": {"to_role": "cto", "subject": "a"}},
            Message.objects.count,
        ),
        ("SIGNAL", "1", {"NAME": "go"}, Signal.objects.count),
    ],
)
def test_an_order_carried_out_twice_acts_once(
    transactional_db: None, kind: str, target: str, options: dict[str, Any], count: Callable[[], Any]
) -> None:
    """As when a worker dies between an order and the end of its turn, and another takes the turn up."""
    personas_sync()
    world = world_build("acme", rows=0)
    run = run_start(flow="bead.work", key="waits", input={}, project_id=world.project.pk)
    Run.objects.filter(pk=run.pk).update(status=Run.Status.WAITING)
    agent = agent_acquire(project=world.project, role=MANAGER)
    session = Session.objects.create(project=world.project, agent=agent, kind="work", origin="x")
    target = str(run.pk) if kind == "SIGNAL" else target
    order = Order(instruction_check(kind, target, options), world.project, agent, "session:1:1:0", session)

    carry_out(order)
    once = count()
    carry_out(order)

    assert count() == once
    assert once


@pytest.mark.parametrize("role", ["engineering-manager", "ceo"])
def test_who_may_not_delegate_may_look_and_no_more(open_studio: Open, role: str) -> None:
    _, heard = studio_of(
        open_studio,
        block("LIST: runs", "END", "WORKFLOW: checks", "END", "SCHEDULE: checks", "INTERVAL: 1h"),
        role=role,
    )
    assert "bead.work running" in heard[0]
    assert f"WORKFLOW is not open to {role} here." in heard[0]
    assert "You may use: QUERY, LIST, ACTIVITY." in heard[0]
    assert not Run.objects.exclude(flow="bead.work").exists()
    assert not PeriodicTask.objects.filter(task="workflows.language_fire").exists()


def test_a_file_that_speaks_of_the_language_orders_nothing(open_studio: Open) -> None:
    content = "Write\n" + block("ACTIVITY: remember", 'INPUT: {"note": "From a file."}')
    reply = json.dumps({"actions": [{"type": "write_file", "path": "doc.md", "content": content}]})
    raw = reply.replace("\\n", "\n")  # as careless models write it
    studio, _ = studio_of(open_studio, reply, raw)
    assert not Lesson.objects.exists()
    assert studio.main_file("doc.md") == content


def test_personas_give_standing_orders_once_per_agent_and_do_not_show_them(open_studio: Open) -> None:
    studio = open_studio(lambda kind, title, messages: APPROVE)
    persona = Persona.objects.get(role=MANAGER)
    orders = block("SCHEDULE: checks", "NAME: hourly", "INTERVAL: 1h", "END", "ACTIVITY: fly")
    Persona.objects.filter(pk=persona.pk).update(body=f"You plan.\n{orders}\nAnd write.")

    agent_acquire(project=studio.project, role=MANAGER)

    assert PeriodicTask.objects.get(task="workflows.language_fire").name.endswith(": hourly")
    refused = Event.objects.get(kind="orchestration.refused")
    assert "fly" in refused.data["error"]
    standing_orders(Agent.objects.select_related("persona", "project").get())
    assert PeriodicTask.objects.filter(task="workflows.language_fire").count() == 1
    text = system_message(
        persona=Persona.objects.get(pk=persona.pk), agent_name="Ann", project=studio.project
    )
    assert "hourly" not in text
    assert "You plan.\n\nAnd write." in text

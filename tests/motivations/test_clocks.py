"""Motivations that a clock rings: rows of beat, read by its own scheduler."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import current_app
from django.conf import settings
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

from apps.core.errors import BadInput
from apps.motivations.clocks import next_ring
from apps.motivations.conditions import CONDITIONS
from apps.motivations.defaults import PERPETUAL_SET, ROLE_SET, defaults_register, organization_defaults
from apps.motivations.evaluation import tick
from apps.motivations.models import Motivation
from apps.motivations.services import (
    motivation_create,
    motivation_delete,
    motivation_switch,
    motivation_update,
)
from apps.motivations.tasks import ring, sweep
from apps.projects.models import Project
from apps.projects.services import project_close, project_create, project_reopen

Make = Callable[..., Motivation]


def clock_of(motivation: Motivation) -> Any:
    motivation.refresh_from_db()
    assert motivation.clock is not None
    return PeriodicTask.objects.get(pk=motivation.clock_id)


def schedule_of(motivation: Motivation) -> str:
    clock = clock_of(motivation)
    return str(clock.interval or clock.crontab or clock.clocked)


@pytest.mark.parametrize(
    ("condition", "parameters", "shown"),
    [
        ("scheduled_interval", {"minutes": 90}, "every 5400 seconds"),
        ("scheduled_interval", {"cron": "30 8 * * 1"}, "30 8 * * 1"),
        ("quarter_boundary", {}, "0 9 1 1,4,7,10 *"),
        ("month_boundary", {}, "0 9 1 * *"),
        ("time_reached", {"at": "2031-01-02T03:04:05"}, "2031-01-02 03:04:05"),
    ],
)
def test_each_clock_is_a_row_of_beat(
    make: Make, condition: str, parameters: dict[str, Any], shown: str
) -> None:
    motivation = make(condition, parameters=parameters)
    assert shown in schedule_of(motivation)
    clock = clock_of(motivation)
    assert (clock.enabled, clock.task, clock.one_off) == (
        True,
        "motivations.ring",
        condition == "time_reached",
    )
    assert json.loads(clock.kwargs) == {"motivation_id": motivation.pk}
    ring_at = next_ring(motivation)
    assert ring_at is not None
    assert ring_at > timezone.now()


@pytest.mark.parametrize(
    ("condition", "parameters", "says"),
    [
        ("time_reached", {}, "needs the parameter at"), ("time_reached", {"at": "soon"}, "a moment such as"),
        ("scheduled_interval", {}, "either minutes or a cron line"),
        ("scheduled_interval", {"minutes": 5, "cron": "* * * * *"}, "either minutes or a cron line"),
        ("scheduled_interval", {"minutes": 0}, "from 1 to"),
        ("scheduled_interval", {"minutes": True}, "a number"),
        ("scheduled_interval", {"cron": "* * * *"}, "five fields"),
        ("scheduled_interval", {"cron": "61 * * * *"}, "five fields"),
        ("scheduled_interval", {"cron": f"{'1,' * 200}1 * * * *"}, "five fields"),
        ("time_reached", {"at": "0001-01-01T00:00:00+14:00"}, "a moment such as"),
        ("time_reached", {"at": "9999-12-31T23:00:00-10:00"}, "a moment such as"),
        ("month_boundary", {"day": 2}, "takes no parameter 'day'"), ("scheduled_interval", [], "JSON object"),
    ],
)  # fmt: skip
def test_clocks_that_make_no_sense(make: Make, condition: str, parameters: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        make(condition, parameters=parameters)
    assert not PeriodicTask.objects.filter(task="motivations.ring").exists()


def test_a_ring_makes_a_bead_once_however_often_it_is_delivered(make: Make) -> None:
    motivation = make("scheduled_interval", parameters={"minutes": 60}, cooldown_minutes=50)
    kwargs = json.loads(clock_of(motivation).kwargs)
    for _ in range(2):
        ring.apply(kwargs=kwargs, task_id="one")
    assert tick() == 1
    ring.apply(kwargs=kwargs, task_id="one")
    ring.apply(kwargs=kwargs, task_id="two")
    assert tick() == 0, "it rests"
    assert tick(timezone.now() + timedelta(minutes=50)) == 1
    sweep.apply()
    assert motivation.triggers.count() == 2


def test_a_clock_whose_motivation_went_with_its_project_goes_at_its_next_ring(
    make: Make, project: Project
) -> None:
    clock = clock_of(make("month_boundary"))
    project.delete()
    assert PeriodicTask.objects.filter(pk=clock.pk).exists()
    ring.apply(kwargs=json.loads(clock.kwargs), task_id="one")
    assert not PeriodicTask.objects.filter(pk=clock.pk).exists()


def test_changes_move_the_clock(project: Project, make: Make) -> None:
    motivation = make("scheduled_interval", parameters={"minutes": 60})
    clock = clock_of(motivation).pk
    motivation_update(motivation=motivation, parameters={"cron": "0 6 * * *"}, name="Dawn")
    assert (schedule_of(motivation)[:9], clock_of(motivation).pk) == ("0 6 * * *", clock)
    assert clock_of(motivation).name.endswith(": Dawn")
    assert clock_of(motivation).interval is None
    for change, enabled in (
        (lambda: motivation_switch(motivation=motivation, active=False), False),
        (lambda: motivation_switch(motivation=motivation, active=True), True),
        (lambda: project_close(project=project, reason="x"), False),
        (lambda: project_reopen(project=project), True),
    ):
        change()
        assert clock_of(motivation).enabled is enabled
    motivation_delete(motivation=motivation)
    assert not PeriodicTask.objects.filter(pk=clock).exists()


def test_what_an_operator_deletes_in_the_admin_is_not_missed(make: Make) -> None:
    motivation = make("scheduled_interval", parameters={"minutes": 60})
    clock_of(motivation).delete()
    motivation.refresh_from_db()
    assert (motivation.clock, next_ring(motivation)) == (None, None)
    motivation_update(motivation=motivation, priority=1)
    assert clock_of(motivation).enabled


def test_beats_own_scheduler_sends_clocks_and_the_fixed_sweeps(make: Make) -> None:
    due = make("scheduled_interval", parameters={"minutes": 1})
    PeriodicTask.objects.filter(pk=due.clock_id).update(last_run_at=timezone.now() - timedelta(minutes=2))
    make("month_boundary")
    current_app.loader.import_default_modules()
    scheduler = DatabaseScheduler(app=current_app, lazy=True)
    scheduler.setup_schedule()
    assert set(settings.CELERY_BEAT_SCHEDULE) <= set(scheduler.schedule)
    sent = {entry.task: (entry.kwargs, entry.is_due().is_due) for entry in scheduler.schedule.values()}
    assert sent["motivations.ring"] is not None
    ringing = [entry for entry in scheduler.schedule.values() if entry.task == "motivations.ring"]
    assert [entry.kwargs for entry in ringing if entry.is_due().is_due] == [{"motivation_id": due.pk}]
    assert {"motivations.sweep", "engine.sweep", "events.sweep"} <= set(sent)
    assert all(task in current_app.tasks for task in ("motivations.sweep", "motivations.ring"))


def test_the_default_sets_are_whole_and_registered_once(project: Project) -> None:
    assert (len(ROLE_SET), len(PERPETUAL_SET)) == (33, 15)
    assert {default.condition for default in ROLE_SET} >= CONDITIONS.keys() - {
        "time_reached", "bead_created", "decision_resolved", "webhook_received", "agent_idle"
    }  # fmt: skip
    project_create(organization=project.organization, name="Sister")
    Project.objects.filter(pk=project.pk).update(is_perpetual=True)
    assert organization_defaults(organization=project.organization) == 33 + 15 + 33
    assert organization_defaults(organization=project.organization) == 0
    assert defaults_register(project=project, roles=True) == 0
    names = Motivation.objects.filter(project=project).values_list("name", flat=True)
    assert len(set(names)) == 48
    everyday = Motivation.objects.get(project=project, name="Daily maintenance")
    assert everyday.cooldown_minutes == 1440
    assert PeriodicTask.objects.filter(task="motivations.ring").count() == 15 + 2 * 4


def test_next_rings_of_boundaries_are_on_them(make: Make) -> None:
    quarter = next_ring(make("quarter_boundary"))
    assert quarter is not None
    assert (quarter.day, quarter.hour, quarter.month % 3) == (1, 9, 1)
    once = make("time_reached", parameters={"at": "2031-01-02T03:04:05+00:00"})
    assert next_ring(once) == datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_name_may_be_long(project: Project) -> None:
    motivation = motivation_create(
        organization=project.organization,
        project=project,
        name="n" * 160,
        type="calendar",
        condition="month_boundary",
    )
    assert len(clock_of(motivation).name) <= 200

"""Clocks: a motivation that means a time has a row of django-celery-beat, seen in the admin."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from apps.motivations.conditions import CLOCK, CONDITIONS, moment_of
from apps.motivations.models import Motivation
from apps.projects.models import Project

RING = "motivations.ring"
BOUNDARIES = {"quarter_boundary": "0 9 1 1,4,7,10 *", "month_boundary": "0 9 1 * *"}


def clock_sync(motivation: Motivation) -> None:
    """Make, change or stop the motivation's clock; inside the transaction that changes the motivation."""
    if CONDITIONS[motivation.condition].how != CLOCK:
        return
    fields: dict[str, Any] = {
        "name": f"motivation {motivation.pk}: {motivation.name}"[:200],
        "task": RING,
        "kwargs": json.dumps({"motivation_id": motivation.pk}),
        "description": motivation.description,
        "enabled": _runs(motivation),
        "interval": None,
        "crontab": None,
        "clocked": None,
        "one_off": False,
        **_schedule(motivation),
    }
    if motivation.clock_id is None:
        # Counted from now: a beat that is restarted often must not begin to count anew each time.
        motivation.clock = PeriodicTask.objects.create(**fields, last_run_at=timezone.now())
        Motivation.objects.filter(pk=motivation.pk).update(clock=motivation.clock)
        return
    clock = PeriodicTask.objects.get(pk=motivation.clock_id)
    for name, value in fields.items():
        setattr(clock, name, value)
    clock.save()  # not update(): its save tells beat to read the schedule anew
    motivation.clock = clock


def clock_remove(motivation: Motivation) -> None:
    if motivation.clock_id is not None:
        PeriodicTask.objects.get(pk=motivation.clock_id).delete()


def clock_forget(motivation_id: int) -> None:
    """Remove the clock of a motivation that went with its project or organization."""
    if not Motivation.objects.filter(pk=motivation_id).exists():
        kwargs = json.dumps({"motivation_id": motivation_id})
        PeriodicTask.objects.filter(task=RING, motivation=None, kwargs=kwargs).delete()


def _runs(motivation: Motivation) -> bool:
    project = motivation.project
    return motivation.status == Motivation.Status.ACTIVE and (
        project is None or project.status != Project.Status.CLOSED
    )


def _schedule(motivation: Motivation) -> dict[str, Any]:
    given = motivation.parameters
    if motivation.condition == "time_reached":
        at = {"clocked_time": moment_of(given["at"])}
        return {"clocked": _row(ClockedSchedule, at), "one_off": True}
    if "minutes" in given:
        every = {"every": round(given["minutes"] * 60), "period": IntervalSchedule.SECONDS}
        return {"interval": _row(IntervalSchedule, every)}
    cron = BOUNDARIES.get(motivation.condition) or given["cron"]
    names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    return {
        "crontab": _row(CrontabSchedule, dict(zip(names, cron.split(), strict=True)) | {"timezone": "UTC"})
    }


def _row(model: Any, fields: dict[str, Any]) -> Any:
    """Schedules are shared, and nothing keeps two equal rows apart."""
    return model.objects.filter(**fields).first() or model.objects.create(**fields)


def next_ring(motivation: Motivation) -> datetime | None:
    """When the clock rings next, if it does."""
    clock = motivation.clock
    if clock is None or not clock.enabled:
        return None
    if clock.clocked is not None:
        return clock.clocked.clocked_time  # type: ignore[no-any-return]
    last = clock.last_run_at or clock.date_changed
    ring: datetime = timezone.now() + clock.schedule.remaining_estimate(last) + timedelta(milliseconds=500)
    return ring.replace(microsecond=0)

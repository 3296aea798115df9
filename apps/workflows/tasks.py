"""Celery's door to dispatch."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task

from apps.workflows.dispatch import dispatch_all
from apps.workflows.language_schedules import FIRE, schedule_fire
from apps.workflows.system_flows import heartbeat, lives_start


@shared_task(name="workflows.dispatch_sweep")
def dispatch_sweep() -> None:
    dispatch_all()


@shared_task(name="workflows.heartbeat")
def house_heartbeat() -> None:
    lives_start()
    heartbeat()


@shared_task(name=FIRE, bind=True)
def language_fire(self: Task[Any, Any], /, **kwargs: Any) -> None:
    """One tick of a schedule; a message that is delivered again has the same id."""
    schedule_fire(tick=str(self.request.id), **kwargs)

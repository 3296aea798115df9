"""Celery's door to motivations."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task

from apps.motivations import evaluation
from apps.motivations.clocks import RING, clock_forget
from apps.motivations.services import trigger_add


@shared_task(name="motivations.sweep")
def sweep() -> None:
    evaluation.tick(sensing=False)


@shared_task(name="motivations.sense")
def sense() -> None:
    """Looking costs more than acting on what was heard, and nothing sensed changes within a minute."""
    evaluation.tick()


@shared_task(name=RING, bind=True)
def ring(self: Task[Any, Any], motivation_id: int) -> None:
    """A clock rang; a message that is delivered again has the same id and counts once."""
    if not trigger_add(motivation_id=motivation_id, cause="clock", key=f"clock:{self.request.id}"):
        clock_forget(motivation_id)

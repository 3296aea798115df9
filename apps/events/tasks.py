"""Celery's door to the event bus."""

from __future__ import annotations

from celery import shared_task

from apps.events import bus


@shared_task(name="events.sweep")
def sweep() -> None:
    bus.sweep()

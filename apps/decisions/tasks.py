"""Celery's door to decisions."""

from __future__ import annotations

from celery import shared_task

from apps.decisions.deadlines import deadlines_pass


@shared_task(name="decisions.sweep")
def sweep() -> None:
    deadlines_pass()

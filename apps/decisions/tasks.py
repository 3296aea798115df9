"""Celery's door to decisions."""

from __future__ import annotations

from celery import shared_task

from apps.decisions import services


@shared_task(name="decisions.sweep")
def sweep() -> None:
    services.decisions_remind()

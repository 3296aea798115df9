"""Celery's door to deliveries and the log."""

from __future__ import annotations

from celery import shared_task

from apps.activity import delivery, logs


@shared_task(name="activity.sweep")
def sweep() -> None:
    delivery.sweep()


@shared_task(name="activity.trim")
def trim() -> None:
    logs.log_trim()

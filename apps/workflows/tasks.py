"""Celery's door to dispatch."""

from __future__ import annotations

from celery import shared_task

from apps.workflows.dispatch import dispatch_all


@shared_task(name="workflows.dispatch_sweep")
def dispatch_sweep() -> None:
    dispatch_all()

"""Celery's door to providers."""

from __future__ import annotations

from celery import shared_task

from apps.providers import flows, services, totals


@shared_task(name="providers.sweep")
def sweep() -> None:
    services.calls_sweep()
    totals.totals_fold()
    flows.heartbeats_start()

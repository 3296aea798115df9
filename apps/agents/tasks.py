"""Celery's door to the agents' app: a worker has started, and the upkeep of worktrees."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.signals import worker_ready

from apps.agents.pull_requests import pulls_watch
from apps.agents.sandbox.records import reap
from apps.agents.worktrees import checkouts_clean, worktrees_clean


@worker_ready.connect
def _reap(**_: Any) -> None:
    """End what commands of a worker that was killed left behind."""
    reap()


@shared_task(name="agents.worktrees_clean")
def worktrees_clean_task() -> None:
    worktrees_clean()
    checkouts_clean()


@shared_task(name="agents.pulls_watch")
def pulls_watch_task() -> None:
    pulls_watch()

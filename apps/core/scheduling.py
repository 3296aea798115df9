"""The scheduler of the beat process."""

from __future__ import annotations

from typing import Any

from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from apps.core.telemetry import span


class Scheduler(DatabaseScheduler):  # type: ignore[misc]  # it has no types
    """Each task that is sent is a span."""

    def apply_async(self, entry: ModelEntry, *args: Any, **options: Any) -> Any:
        with span(f"send {entry.task}"):
            return super().apply_async(entry, *args, **options)

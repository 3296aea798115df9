"""The beat process: rings the periodic tasks that are kept in the database."""

from __future__ import annotations

from typing import Any

from celery import current_app
from celery.apps import beat as beat_program
from celery.platforms import signals
from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils.module_loading import import_string

from apps.core.telemetry import telemetry_start


class Beat(beat_program.Beat):
    """Saves the schedule when it has come to its end, not before."""

    def install_sync_handler(self, service: Any) -> None:
        """Celery's own handler saves the schedule at once, maybe in the middle of a query."""

        def end(*_: object) -> None:
            service.stop()
            raise SystemExit

        signals.update(SIGTERM=end, SIGINT=end)


class Command(BaseCommand):
    help = "Send the periodic tasks when they are due."

    def preload(self) -> None:
        """Import the scheduler and every app's tasks."""
        import_string(settings.CELERY_BEAT_SCHEDULER.replace(":", "."))
        current_app.loader.import_default_modules()

    def handle(self, *args: object, **options: object) -> None:
        telemetry_start("beat")
        Beat(app=current_app, loglevel="INFO", quiet=True).run()

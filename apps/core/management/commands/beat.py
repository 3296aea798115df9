"""The beat process: rings the periodic tasks that are kept in the database."""

from __future__ import annotations

from celery import current_app
from celery.apps import beat as beat_program
from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils.module_loading import import_string


class Command(BaseCommand):
    help = "Send the periodic tasks when they are due."

    def preload(self) -> None:
        """Import the scheduler and every app's tasks."""
        import_string(settings.CELERY_BEAT_SCHEDULER.replace(":", "."))
        current_app.loader.import_default_modules()

    def handle(self, *args: object, **options: object) -> None:
        beat_program.Beat(app=current_app, loglevel="INFO", quiet=True).run()

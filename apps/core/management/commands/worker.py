"""The worker process: Celery with a pool of threads, since its work is waiting for models and commands."""

from __future__ import annotations

import gc
import importlib
import warnings

from celery import current_app
from celery.apps import worker as worker_program
from celery.concurrency import thread
from celery.exceptions import SecurityWarning
from celery.signals import worker_ready
from django.conf import settings
from django.core.management.base import BaseCommand

from apps.core.telemetry import telemetry_start

PRELOADED = (worker_program, thread)
TASK_THREADS = 4  # for sweeps, which are short; the engine's crew has threads of its own
GARBAGE = (20_000, 20, 20)  # new objects until a look for cycles, and looks until older ones are gone through


@worker_ready.connect
def keep_what_is_there(**_: object) -> None:
    """What is loaded by now stays: looking through it for garbage would stop all threads for 0.1 s."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)


class Command(BaseCommand):
    help = "Advance runs, LOOM_WORKER_THREADS at a time."

    def preload(self) -> None:
        """Import every app's tasks, and the pages: notifications tell their addresses."""
        current_app.loader.import_default_modules()
        importlib.import_module(settings.ROOT_URLCONF)

    def handle(self, *args: object, **options: object) -> None:
        # Said of running as root: messages are JSON, and agents' commands run as another user in a sandbox.
        warnings.filterwarnings("ignore", category=SecurityWarning)
        telemetry_start("worker")
        # Not by Celery's own command line: that takes half a second to import.
        current_app.Worker(
            quiet=True,
            pool="threads",
            concurrency=TASK_THREADS,
            loglevel="INFO",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        ).start()

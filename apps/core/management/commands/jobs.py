"""The jobs process: django-rq's worker for the short jobs that people watch and retry by hand."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django_rq.management.commands import rqworker
from rq.job import Job
from rq.worker import SimpleWorker

from apps.core.telemetry import span, telemetry_start

PRELOADED = (rqworker,)


class Worker(SimpleWorker):
    """Each job is a span."""

    def perform_job(self, job: Job, *args: Any, **options: Any) -> bool:
        with span(f"job {job.func_name}"):
            return super().perform_job(job, *args, **options)


class Command(BaseCommand):
    help = "Do the jobs of the queue, one after another: deliveries by e-mail and webhook, exports."

    def handle(self, *args: object, **options: object) -> None:
        telemetry_start("jobs")
        call_command("rqworker", "default", worker_class=f"{__name__}.Worker")

"""The Celery application; tasks live in each app's tasks.py."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import task_prerun
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loom_site.settings")
# Each process would check again what the command that started it has checked.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("loom")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@task_prerun.connect
def _check_connections(**_: Any) -> None:
    """Threads keep their connections from task to task; one that broke meanwhile is replaced."""
    close_old_connections()

"""What a worker imports before it is ready: not what only pages and Celery's command line need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.core.processes import ROOT

START = """
import sys
import django
django.setup()
from celery.apps.worker import Worker
from django.core.management import call_command
Worker.start = lambda self: print(self.concurrency, self.pool_cls.__name__)
call_command("worker", skip_checks=True)
print(sorted({"celery.bin.celery", "loom_site.urls"} & sys.modules.keys()))
"""


@pytest.mark.once
def test_it_starts_with_its_threads_and_without_pages_or_command_lines() -> None:
    done = subprocess.run([sys.executable, "-c", START], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["4 TaskPool", "[]"]

"""How a worker starts: with all that its tasks need, and not by Celery's command line."""

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
from django.core.management import call_command, load_command_class
load_command_class("apps.core", "worker").preload()
shared = set(sys.modules)
Worker.start = lambda self: print(self.concurrency, self.pool_cls.__name__)
call_command("worker", skip_checks=True)
print("loom_site.urls" in shared, sorted(name for name in sys.modules if name.startswith("celery.bin")))
"""


@pytest.mark.once
def test_it_has_its_threads_and_pages_and_no_command_line() -> None:
    done = subprocess.run([sys.executable, "-c", START], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["4 TaskPool", "True []"]

"""Real workers that are told to stop: the step in hand is finished, the run goes on elsewhere at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from apps.engine import doorbell
from apps.engine.flow import FLOWS
from apps.engine.models import Run, Step
from apps.engine.services import run_signal, run_start
from apps.events.models import Event
from tests.core.processes import ROOT, wait_until
from tests.engine.flows import fresh
from tests.engine.walking import walk

pytestmark = pytest.mark.django_db(transaction=True)

WORKER = """
import django
django.setup()
import tests.engine.walking
from django.core.management import call_command
call_command("worker")
"""
STEPS = 8
STOPPED_WITHIN_S = 15.0  # a step takes a fraction of one; the rest is Celery's and a busy machine's


def database_url() -> str:
    own = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{own['NAME']}"
    return f"postgres://{own['USER']}:{own['PASSWORD']}@{own['HOST']}:{own['PORT']}/{own['NAME']}"


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    env = os.environ | {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "loom_site.settings"}
    env |= {"LOOM_LEASE_SECONDS": "600"}  # so that nobody waits for a lease to run out
    started = []
    for number in range(2):
        with (tmp_path / f"worker-{number}.out").open("wb") as output:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-c", WORKER],
                    cwd=ROOT,
                    env=env | {"PYTHONPATH": str(ROOT)},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            )
    yield started
    for process in started:
        process.kill()
        process.wait(10)


def holder(run: Run, workers: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes] | None:
    owner = fresh(run).lease_owner
    return next((one for one in workers if f":{one.pid}:" in owner), None)


def test_a_worker_told_to_stop_finishes_its_step_and_another_goes_on_at_once(
    workers: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    diary = tmp_path / "diary"
    doorbell.use(None)  # the broker's
    assert FLOWS["handing.walk"].function is walk
    run = run_start(flow="handing.walk", key="walk", input={"steps": STEPS, "diary": str(diary)})
    wait_until(
        lambda: diary.exists() and "begin 2\n" in diary.read_text(), seconds=90, what="a worker is at work"
    )
    first = holder(run, workers)
    assert first is not None

    first.send_signal(signal.SIGTERM)
    assert first.wait(STOPPED_WITHIN_S) == 0
    wait_until(lambda: fresh(run).waits_for == "go", what="another went on to the end")
    assert fresh(run).attempts == 2, "it changed hands once"
    expected = Counter({f"{edge} {number}": 1 for number in range(STEPS) for edge in ("begin", "end")})
    assert Counter(diary.read_text().split("\n")[:-1]) == expected
    marks = Event.objects.filter(kind="handing.mark").order_by("id").values_list("subject", flat=True)
    assert list(marks) == [str(number) for number in range(STEPS)]
    assert not Step.objects.filter(run=run, attempt__gt=1).exists()

    other = next(one for one in workers if one is not first)
    other.send_signal(signal.SIGTERM)  # one that merely waits for others holds nobody up
    assert other.wait(STOPPED_WITHIN_S) == 0
    run_signal(run_id=run.pk, name="go")
    assert fresh(run).status == Run.Status.READY

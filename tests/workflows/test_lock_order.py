"""People stop work at the very moment of one of its steps: both lock the run first, then the project."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from apps.beads.models import Bead
from apps.dashboard.moves import work_close, work_stop
from apps.engine.models import Run
from apps.projects.models import Project
from apps.workflows.escalation import bead_escalate
from apps.workflows.handing import bead_redispatch
from apps.workflows.taken_work import bead_take_over
from tests.core.processes import wait_until
from tests.engine.flows import at_once
from tests.workflows.stuck import good
from tests.workflows.studio import Studio

WAITERS = """
SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE NOT granted AND datname = current_database() AND pid <> pg_backend_pid()
"""


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        # A transaction sees the activity as it was when it looked first: without whoever connected since.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(WAITERS)
        return cursor.fetchone() is not None


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.parametrize(
    "act",
    [
        lambda bead: bead_take_over(bead=bead, person="ann"),
        lambda bead: bead_redispatch(bead=bead, reason="", actor="ann"),
        lambda bead: bead_escalate(bead=bead, reason="", actor="ann"),
        lambda bead: work_close(bead=bead, reason="", actor="ann"),
        lambda bead: work_stop(bead=bead, reason="", actor="ann"),
    ],
    ids=["take over", "redispatch", "escalate", "close", "stop"],
)
def test_neither_waits_for_the_other_in_a_circle(
    open_studio: Callable[..., Studio], act: Callable[[Bead], Any]
) -> None:
    studio = open_studio(good)
    bead = studio.bead()
    run = Run.objects.get(flow="bead.work")
    is_held = threading.Event()

    @transaction.atomic
    def step_of_the_run() -> None:
        Run.objects.locked().get(pk=run.pk)
        is_held.set()
        wait_until(somebody_waits)
        Project.objects.locked(bead.project_id)
        Bead.objects.filter(pk=bead.pk).update(stage="")

    def person() -> None:
        assert is_held.wait(30)
        act(Bead.objects.select_related("project").get(pk=bead.pk))

    assert [one for one in at_once(step_of_the_run, person) if isinstance(one, BaseException)] == []

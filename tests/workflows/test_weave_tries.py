"""A model that does not answer well is asked again after a while; whoever watches is told so meanwhile."""

from __future__ import annotations

import io

from rich.console import Console

from apps.engine.models import Step
from apps.workflows.progress import progress_read
from apps.workflows.terminal import LineView, LiveView
from tests.workflows.stuck import Open, good


def test_a_failed_try_and_the_wait_for_the_next_are_told_once(open_studio: Open) -> None:
    studio = open_studio(good)
    studio.server.fail_next("500", times=9, body="overloaded")
    bead = studio.bead()
    studio.run()
    Step.objects.filter(status="waiting", policy__isnull=False).update(attempt=2)  # one lost with its worker
    progress = progress_read(studio.project)

    lines = io.StringIO()
    plain = LineView(Console(file=lines, width=200), "Links")
    plain.show(progress, [])
    plain.show(progress, [])
    told = lines.getvalue()
    assert told.count(f"◌ {bead.key}: try 1 of 6 failed, next in ") == 1
    assert "overloaded" in told

    drawn = io.StringIO()
    with LiveView(Console(file=drawn, width=120, height=40, force_terminal=True), "Links") as live:
        live.show(progress, [])
    assert f"◌ {bead.key}: try 1 of 6 failed" in drawn.getvalue()

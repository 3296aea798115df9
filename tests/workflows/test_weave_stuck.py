"""When the terminal gives a weave back: nothing moves any more without a person."""

from __future__ import annotations

from apps.engine import runner
from apps.engine.models import Run
from apps.workflows.progress import is_stuck
from apps.workflows.system_flows import LIFE, lives_start
from tests.workflows.stuck import Open, good, retry


def test_agents_who_live_on_keep_no_terminal_waiting_for_work_that_waits_for_a_person(
    open_studio: Open,
) -> None:
    studio = open_studio(good)
    studio.server.switches.key = "another"
    studio.bead()
    studio.run()
    lives_start()  # beat does it once a minute
    runner.drain()
    assert Run.objects.get(flow=LIFE).wake_at is not None

    assert is_stuck(studio.project)

    retry(studio.open_question())
    assert not is_stuck(studio.project)

"""A worker that is killed while it retells a long session: task, plan and work are whole afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.agents.memory_models import Compaction
from apps.agents.models import Session
from apps.beads.models import Bead
from apps.engine import runner
from apps.providers.models import Call
from tests.crash.dying import KILLED, crashpoints, in_child
from tests.workflows.conftest import open_studio, quiet_doorbell
from tests.workflows.studio import Studio
from tests.workflows.test_context import STEPS, SUMMARY, TASK, long_work, prompts, window, with_words

__all__ = ["open_studio", "quiet_doorbell"]

pytestmark = pytest.mark.crash
POINTS = sorted(name for name in crashpoints("agents") if "compaction" in name)
TURNS = 24


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_compaction_is_made_once(open_studio: Callable[..., Studio], point: str) -> None:
    studio = with_words(open_studio(long_work(TURNS)))
    window(studio, 16_000)
    bead = studio.bead(description=TASK, acceptance=["Every word was read."])
    assert in_child(studio.run, crash_at=point) == KILLED
    before = Session.objects.get(kind="work").turn_count
    runner.sweep()
    studio.run()

    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    (session,) = studio.sessions("work")
    assert session.turn_count > before, "it went on from where it was"
    assert list(session.turns.values_list("number", flat=True)) == list(range(1, session.turn_count + 1))
    rows = list(Compaction.objects.filter(session=session).order_by("id"))
    assert rows
    assert len({row.up_to for row in rows}) == len(rows), "none was made twice"
    after = prompts(studio)[-1]
    for told in (TASK, "Every word was read.", SUMMARY, STEPS[1]):
        assert any(told in str(message["content"]) for message in after[:3]), told
    assert not Call.objects.filter(status=Call.Status.RESERVED).exists()

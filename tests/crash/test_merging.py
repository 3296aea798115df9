"""A merge that is killed, or overtaken while it was frozen: one commit on main, and evidence of that one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import F

from apps.agents import landing
from apps.agents.models import Evidence
from apps.beads.models import Bead
from apps.engine import runner
from apps.engine.models import Run
from tests.crash.dying import KILLED, in_child
from tests.workflows.conftest import open_studio, quiet_doorbell
from tests.workflows.studio import APPROVE, Answer, Studio, done, replies, write

__all__ = ["open_studio", "quiet_doorbell"]

pytestmark = pytest.mark.crash


def noting(kind: str, _title: str, messages: list[dict[str, Any]]) -> Answer:
    if kind == "review":
        return APPROVE
    return [[write("NOTES.md", "Noted.\n")], [done()]][replies(messages)]


def bead_commits(studio: Studio) -> int:
    return len(studio.hub.log()) - 1


@pytest.mark.parametrize("point", ["before_advance", "after_advance"])
def test_evidence_of_a_killed_merge_does_not_stay_beside_that_of_the_next(
    open_studio: Callable[..., Studio], point: str
) -> None:
    studio = open_studio(noting)
    bead = studio.bead("Note")
    assert in_child(studio.run, crash_at=point) == KILLED
    time.sleep(1.1)  # the same merge a second later is another commit
    runner.sweep()
    studio.run()

    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert bead_commits(studio) == 1
    rows = list(bead.evidence.filter(kind=Evidence.Kind.MERGE))
    assert {row.commit for row in rows} == {studio.hub.head("main")}
    assert len({row.check_name for row in rows}) == len(rows)


def test_a_merge_whose_lease_ran_out_during_the_checks_does_not_move_main(
    open_studio: Callable[..., Studio], monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = open_studio(noting)
    bead = studio.bead("Note")
    overtaken: list[int] = []
    prove = landing._verdict

    def slowly(*args: Any) -> Any:
        proof = prove(*args)
        if not overtaken:  # another worker takes the run and is at it
            overtaken.append(Run.objects.filter(bead_id=bead.pk).update(fence=F("fence") + 1))
        return proof

    monkeypatch.setattr(landing, "_verdict", slowly)
    studio.run()
    assert overtaken
    assert bead_commits(studio) == 0

    Run.objects.filter(bead_id=bead.pk).update(status=Run.Status.READY)
    studio.run()
    assert bead_commits(studio) == 1
    assert studio.refreshed(bead).status == Bead.Status.CLOSED

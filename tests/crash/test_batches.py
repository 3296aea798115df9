"""A batch of merges that is killed: each bead is one commit on main, and all are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.agents.models import Evidence, MergeRequest
from apps.beads.models import Bead
from apps.engine import runner
from tests.crash.dying import KILLED, in_child
from tests.workflows.conftest import open_studio, quiet_doorbell
from tests.workflows.queue_held import queue_held, queue_release
from tests.workflows.studio import APPROVE, Answer, Studio, done, write

__all__ = ["open_studio", "quiet_doorbell"]

pytestmark = pytest.mark.crash


def each_its_file(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
    return APPROVE if kind == "review" else [write(f"{title}.txt", f"{title}\n"), done(f"{title}.")]


@pytest.mark.parametrize("point", ["before_advance", "after_advance"])
def test_a_killed_batch_lands_once(open_studio: Callable[..., Studio], point: str) -> None:
    studio = open_studio(each_its_file)
    held = queue_held(studio)
    beads = [studio.bead(title) for title in ("One", "Two", "Three")]
    studio.run()
    queue_release(held)
    assert in_child(studio.run, crash_at=point) == KILLED
    runner.sweep()
    studio.run()

    assert [commit.subject for commit in studio.hub.log()] == ["Three", "Two", "One", "Start"]
    for bead in map(studio.refreshed, beads):
        assert bead.status == Bead.Status.CLOSED
        request = MergeRequest.objects.get(bead=bead)
        assert (request.status, request.commit) == (MergeRequest.Status.MERGED, bead.merged_commit)
        rows = bead.evidence.filter(kind=Evidence.Kind.MERGE)
        assert {(row.commit, row.passed) for row in rows} == {(studio.hub.head("main"), True)}

"""The worker's disk is lost in the middle of a session: at most the turn in flight is lost with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from apps.beads.models import Bead
from apps.engine import runner
from tests.crash.dying import KILLED, in_child
from tests.workflows.conftest import open_studio, quiet_doorbell
from tests.workflows.studio import APPROVE, Answer, Studio, done, last, replies, write

__all__ = ["open_studio", "quiet_doorbell"]

pytestmark = pytest.mark.crash
TURNS = 5


def building(kind: str, _title: str, messages: list[dict[str, Any]]) -> Answer:
    """Each turn builds on the file of the one before."""
    if kind == "review":
        return APPROVE
    turn = replies(messages)
    if turn >= TURNS:
        return [done("All parts are there.")]
    if turn == 0:
        return [write("parts.txt", "part 0\n")]
    assert "No such file" not in last(messages)
    before = f"part {turn - 1}\n"
    return [
        ("edit_file", {"path": "parts.txt", "old_text": before, "new_text": f"{before}part {turn}\n"}),
        ("run_command", {"command": f"cp parts.txt copy-{turn}.txt"}),
    ]


@pytest.mark.parametrize("point", ["after_intent:2", "before_result:2"])
def test_a_session_goes_on_without_its_worktree(open_studio: Callable[..., Studio], point: str) -> None:
    studio = open_studio(building)
    bead = studio.bead("Parts")
    disk, lost = Path(settings.LOOM_DATA_DIR) / "worktrees", 0
    for _ in range(TURNS - 2):  # each worker finishes a turn and dies in the next one, with its disk
        assert in_child(studio.run, crash_at=point) == KILLED
        lost += len(list(disk.glob("*/*/parts.txt")))
        shutil.rmtree(disk)
        runner.sweep()
    studio.run()

    assert lost == TURNS - 2, "there was a disk to lose each time"
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    whole = "".join(f"part {turn}\n" for turn in range(TURNS))
    assert studio.main_file("parts.txt") == studio.main_file(f"copy-{TURNS - 1}.txt") == whole
    assert studio.main_file("copy-1.txt") == "part 0\npart 1\n"
    (session,) = studio.sessions("work")
    assert session.turn_count == TURNS + 1, "no turn was asked for twice"

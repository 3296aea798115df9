"""A worker that was frozen past its lease wakes in the middle of a turn: nothing it still does arrives."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from apps.agents import checks, project_checks, verify
from apps.agents.places import session_ref, worktree_path
from apps.agents.results import CheckReport
from apps.agents.sandbox import process
from apps.agents.sandbox.records import below
from apps.agents.workspace import Workspace
from apps.beads.models import Bead
from apps.engine.models import Run, Step
from tests.agents.sandbox_room import needs_sandbox
from tests.workflows.conftest import open_studio, quiet_doorbell
from tests.workflows.studio import APPROVE, Answer, Studio, done, replies, write

__all__ = ["open_studio", "quiet_doorbell"]

pytestmark = pytest.mark.crash


def drafting(kind: str, _title: str, messages: list[dict[str, Any]]) -> Answer:
    """Writes a file, writes it anew in the next turn, and is done."""
    if kind == "review":
        return APPROVE
    return [[write("NOTES.md", "A draft.\n")], [write("NOTES.md", "The text.\n")], [done()]][
        replies(messages)
    ]


def worker(studio: Studio) -> threading.Thread:
    """Another one, which leaves no connection behind."""

    def work() -> None:
        try:
            studio.run()
        finally:
            connections.close_all()

    return threading.Thread(target=work)


class Sleep:
    """Called in the middle of something: the first time, another worker does all that is left meanwhile."""

    def __init__(self, studio: Studio) -> None:
        self.studio, self.slept = studio, False

    def __call__(self) -> None:
        if self.slept:
            return
        self.slept = True
        Run.objects.filter(status=Run.Status.RUNNING).update(status=Run.Status.READY)
        successor = worker(self.studio)
        successor.start()
        successor.join()


def check_whole(studio: Studio, bead: Bead) -> None:
    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert studio.main_file("NOTES.md") == "The text.\n"
    (session,) = studio.sessions("work")
    head = studio.hub.ref(session_ref(session.pk)) or ""
    for turn in studio.turns(session):
        assert not turn.commit or studio.hub.is_ancestor(turn.commit, head)
    assert not Step.objects.exclude(status=Step.Status.DONE).filter(run__bead_id=bead.pk).exists()


def test_what_it_writes_misses_the_worktree_and_the_ref_stays(
    open_studio: Callable[..., Studio], monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = open_studio(drafting)
    sleep, original = Sleep(studio), Workspace.write

    def slow(self: Workspace, path: Path | str, data: bytes) -> None:
        sleep()
        original(self, path, data)

    monkeypatch.setattr(Workspace, "write", slow)
    bead = studio.bead("Note")
    studio.run()

    check_whole(studio, bead)
    (session,) = studio.sessions("work")
    assert (worktree_path(session.pk) / "NOTES.md").read_text() == "The text.\n"


def test_it_does_not_move_the_ref_back_when_it_only_has_to_keep_its_files(
    open_studio: Callable[..., Studio], monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = open_studio(drafting)
    sleep, original = Sleep(studio), Workspace.stage

    def slow(self: Workspace) -> None:
        original(self)
        sleep()

    monkeypatch.setattr(Workspace, "stage", slow)
    bead = studio.bead("Note")
    studio.run()
    check_whole(studio, bead)


@needs_sandbox
def test_a_command_that_it_started_does_not_write_beside_its_successors(
    open_studio: Callable[..., Studio], monkeypatch: pytest.MonkeyPatch
) -> None:
    def running(kind: str, _title: str, messages: list[dict[str, Any]]) -> Answer:
        if kind == "review":
            return APPROVE
        command = "sleep 1; echo The text. >> NOTES.md"
        return [[("run_command", {"command": command})], [done()]][replies(messages)]

    studio = open_studio(running)
    sleep, original = Sleep(studio), process._tell

    def slow(launcher: subprocess.Popen[bytes], data: bytes) -> None:
        original(launcher, data)
        deadline = time.monotonic() + 20
        while b"The text." in data and not list(below(launcher.pid)) and time.monotonic() < deadline:
            time.sleep(0.01)
        sleep()

    monkeypatch.setattr(process, "_tell", slow)
    bead = studio.bead("Note")
    studio.run()
    assert sleep.slept
    check_whole(studio, bead)


@pytest.mark.parametrize("asleep", ["before its checkout is made", "in its check"])
def test_it_does_not_sweep_up_the_checkout_of_its_successor(
    open_studio: Callable[..., Studio], monkeypatch: pytest.MonkeyPatch, asleep: str
) -> None:
    studio = open_studio(drafting)
    awake, done_waking, slept = threading.Event(), threading.Event(), threading.Event()
    find, check = project_checks.commit_checks, checks.run_checks
    roots: list[Path] = []
    found: list[list[str]] = []

    def sleep(where: str) -> None:
        if where == asleep and not slept.is_set():  # until its successor is in the middle of the same check
            slept.set()
            Run.objects.filter(status=Run.Status.RUNNING).update(status=Run.Status.READY)
            successor.start()
            assert awake.wait(30)

    def finding(*args: Any) -> Any:
        sleep("before its checkout is made")
        return find(*args)

    def checking(wanted: Any, root: Path, *args: Any, **options: Any) -> CheckReport:
        roots.append(root)
        sleep("in its check")
        if threading.current_thread() is successor and not awake.is_set():
            awake.set()
            assert done_waking.wait(30)
            found.append(sorted(path.name for path in root.iterdir()))
        return check(wanted, root, *args, **options)

    def zombie() -> None:
        studio.run()
        done_waking.set()

    successor = worker(studio)
    monkeypatch.setattr(verify, "commit_checks", finding)
    monkeypatch.setattr(verify, "run_checks", checking)
    bead = studio.bead("Note")
    zombie()
    successor.join()
    check_whole(studio, bead)
    assert len(studio.sessions("review")) == 1
    assert roots[0] != roots[1]
    assert "NOTES.md" in found[0]

"""Worktrees on the disk: listed, brought back, and cleaned without losing anything."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from apps.agents.hub import Hub
from apps.agents.models import Session
from apps.agents.places import checkout_path, hub_path, session_ref, worktree_path
from apps.agents.workspace import KEPT, Workspace
from apps.agents.worktrees import checkouts_clean
from tests.world import World, world_build

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(tmp_path: Path, settings: Settings) -> World:
    settings.LOOM_DATA_DIR = tmp_path
    return world_build(rows=1)


def at_work(world: World) -> tuple[Session, Workspace]:
    hub = Hub(hub_path(world.project.pk))
    hub.create()
    main = hub.commit_files("main", {".gitignore": b".env\nbuild/\n", "a.py": b"a = 1\n"}, "Start")
    session = world.sessions[0]
    Session.objects.filter(pk=session.pk).update(base_commit=main)
    space = Workspace.open(hub, worktree_path(session.pk), main)
    space.write("b.py", b"b = 1\n")
    space.snapshot("Turn", session_ref(session.pk))
    return session, space


def ended(session: Session, hours: float) -> None:
    moment = timezone.now() - timedelta(hours=hours)
    Session.objects.filter(pk=session.pk).update(status=Session.Status.ENDED, ended_at=moment)


def command(*args: str) -> Any:
    out = StringIO()
    call_command("worktrees", "--json", *args, stdout=out)
    return json.loads(out.getvalue())


def test_they_are_listed_with_what_they_hold(world: World) -> None:
    session, space = at_work(world)
    (row,) = command("list")
    assert (row["session"], row["project"], row["bead"], row["state"]) == (
        session.pk, world.project.slug, world.beads[0].key, "open",
    )  # fmt: skip
    assert (row["refs"], row["dirty"], row["ignored"]) == ([session_ref(session.pk)], False, [])
    space.write("c.py", b"c = 1\n")
    space.write(".env", b"PORT=1\n")
    (row,) = command("--project", world.project.slug, "list")
    assert (row["dirty"], row["ignored"]) == (True, [".env"])
    out = StringIO()
    call_command("worktrees", stdout=out)
    assert "yes, 1 ignored files" in out.getvalue()
    with pytest.raises(CommandError, match="no project"):
        call_command("worktrees", "--project", "nowhere")


def test_only_those_of_sessions_that_ended_a_while_ago_are_removed(world: World) -> None:
    session, space = at_work(world)
    assert command("clean") == {"removed": 0, "kept": 0, "bytes": 0}
    ended(session, hours=1)
    assert command("clean")["removed"] == 0
    assert command("clean", "--keep-hours", "0.5")["removed"] == 1
    assert not space.root.exists()
    assert not space.root.parent.exists()
    assert not space.hub.refs(KEPT), "everything was in the session's ref"


def test_what_is_in_no_ref_is_put_under_one_before_ignored_files_too(world: World, tmp_path: Path) -> None:
    session, space = at_work(world)
    space.write("c.py", b"never kept\n")
    space.write(".env", b"PORT=1\n")
    space.write("build/out.txt", b"built by hand\n")
    for cache in ("__pycache__/a.cpython-311.pyc", "node_modules/x/index.js"):
        space.write(cache, b"made anew")
    ended(session, hours=100)
    assert command("clean")["removed"] == 1
    told = command("restore", str(session.pk), "--to", str(tmp_path / "back"))
    assert told["from"].startswith(f"{KEPT}/{session.pk}-")
    files = {
        str(path.relative_to(tmp_path / "back")) for path in (tmp_path / "back").rglob("*") if path.is_file()
    }
    everything = {
        str(path) for ref in space.hub.refs(KEPT) for path in space.hub.files(space.hub.ref(ref) or "")
    }
    assert {"a.py", "b.py", "c.py", ".gitignore"} <= files
    assert {".env", "build/out.txt"} <= everything
    assert not any("node_modules" in path or "__pycache__" in path for path in everything)


def test_a_worktree_that_cannot_be_kept_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    session, space = at_work(world)
    space.write("build/large.bin", b"x" * 100)
    ended(session, hours=100)
    monkeypatch.setattr("apps.agents.worktrees.MANY_BYTES", 50)
    assert command("clean") == {"removed": 0, "kept": 1, "bytes": 0}
    assert (space.root / "build/large.bin").exists()


def test_what_a_session_wrote_comes_back_without_its_worktree(world: World, tmp_path: Path) -> None:
    session, _ = at_work(world)
    told = command("restore", str(session.pk))
    assert (Path(told["path"]) / "b.py").read_bytes() == b"b = 1\n"
    with pytest.raises(CommandError, match="not empty"):
        command("restore", str(session.pk))
    with pytest.raises(CommandError, match="no session"):
        command("restore", "999999")


def test_folders_of_sessions_that_are_not_known_are_listed_and_left(world: World, tmp_path: Path) -> None:
    (tmp_path / "worktrees" / "424242" / "0").mkdir(parents=True)
    (row,) = command("list")
    assert (row["state"], row["dirty"]) == ("unknown", None)
    assert command("clean", "--keep-hours", "0")["removed"] == 0
    assert (tmp_path / "worktrees" / "424242" / "0").exists()


def test_checkouts_that_a_killed_worker_left_are_removed_after_a_day(world: World) -> None:
    left, new = checkout_path("bead-1-1-9.2"), checkout_path("bead-1-1-9.3")
    for place in (left, new):
        (place / "src").mkdir(parents=True)
    file = checkout_path("bundle-x")
    file.touch()
    for place in (left, file):
        os.utime(place, (0, 0))
    assert checkouts_clean() == 2
    assert [one.name for one in new.parent.iterdir()] == [new.name]

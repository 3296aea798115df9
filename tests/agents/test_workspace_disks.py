"""Worktrees and hubs on disks that are full or read-only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agents.clone import clone_to
from apps.agents.hub import Hub
from apps.agents.workspace import Workspace
from apps.core.errors import Unavailable
from tests.agents.workspace_room import REF, head_of, hub

__all__ = ["hub"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_said_and_nothing_kept_is_lost(small_disk: Path, hub: Hub) -> None:
    work = Workspace.open(hub, small_disk / "1", head_of(hub))
    work.write("small.txt", b"kept")
    commit, _ = work.snapshot("Turn 1", REF)
    with pytest.raises(Unavailable, match="The disk is full") as caught:
        work.write("small.txt", os.urandom(3 << 20))
    assert "Free some space" in caught.value.hint
    assert (work.root / "small.txt").read_bytes() == b"kept"
    assert work.snapshot("Turn 2", REF) == (commit, False)


def test_a_hub_on_a_full_disk_keeps_its_last_commit(small_disk: Path, tmp_path: Path) -> None:
    hub = Hub(small_disk / "1.git")
    hub.create()
    first = hub.commit_files("main", {"a": b"1"}, "First")
    work = Workspace.open(hub, tmp_path / "t" / "1", first)
    work.write("big.bin", os.urandom(3 << 20))
    with pytest.raises(Unavailable, match="The disk is full"):
        work.snapshot("Turn", REF)
    with pytest.raises(Unavailable, match="The disk is full"):
        work.discard()
    assert (work.root / "big.bin").stat().st_size == 3 << 20
    (work.root / "big.bin").write_bytes(b"less")
    assert work.snapshot("Turn", REF)[1] is True
    assert hub.head() == first


def test_a_read_only_disk_is_said(small_disk: Path) -> None:
    hub = Hub(small_disk / "1.git")
    hub.create()
    first = hub.commit_files("main", {"a": b"1"}, "First")
    work = Workspace.open(hub, small_disk / "t", first)
    work.write("b", b"2")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for attempt in (
        lambda: work.write("a", b"x"),
        lambda: work.snapshot("Turn", REF),
        lambda: hub.commit_files("main", {"a": b"3"}, "Second"),
        lambda: hub.export(first, small_disk / "x"),
        lambda: clone_to(hub, small_disk / "out"),
    ):
        with pytest.raises(Unavailable, match="The disk is read-only"):
            attempt()
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert work.snapshot("Turn", REF)[1] is True


def test_a_repository_is_delivered_to_a_directory_that_is_mounted(small_disk: Path, tmp_path: Path) -> None:
    hub = Hub(tmp_path / "1.git")
    hub.create()
    hub.commit_files("main", {"a": b"1"}, "One")
    clone_to(hub, small_disk)
    assert sorted(entry.name for entry in small_disk.iterdir()) == [".git", "a"]

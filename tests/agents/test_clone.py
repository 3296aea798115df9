"""What people get of a hub, and where."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from apps.agents.clone import DRAFT, clone_to
from apps.agents.hub import Hub
from apps.core.errors import Conflict


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    hub = Hub(tmp_path / "hubs" / "1.git")
    hub.create()
    return hub


def test_a_clone_is_an_ordinary_repository_without_a_trace_of_the_hub(hub: Hub, tmp_path: Path) -> None:
    hub.commit_files("main", {"a": b"1"}, "One")
    snapshot = hub.commit_tree(hub.tree(hub.head() or ""), [], "Snapshot")
    hub.set_ref("refs/loom/sessions/1", snapshot)
    out = tmp_path / "my project"
    out.mkdir()

    clone_to(hub, out)

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", "-C", str(out), "-c", "safe.directory=*", *args],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    assert git("status", "--porcelain") == ""
    assert git("branch", "--show-current") == "main"
    assert git("remote") == ""
    assert git("for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert git("log", "--format=%s") == "One"
    with pytest.raises(subprocess.CalledProcessError):
        git("cat-file", "-e", snapshot)
    trace = str(hub.path).encode()
    assert not [path for path in (out / ".git").rglob("*") if path.is_file() and trace in path.read_bytes()]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hubs", "my project"]


def test_a_clone_never_overwrites_anything(hub: Hub, tmp_path: Path) -> None:
    hub.commit_files("main", {"a": b"1"}, "One")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years")
    with pytest.raises(Conflict, match="is not empty"):
        clone_to(hub, tmp_path / "out")
    (tmp_path / "file").write_text("x")
    with pytest.raises(Conflict):
        clone_to(hub, tmp_path / "file")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years"


def names(place: Path) -> list[str]:
    return sorted(entry.name for entry in place.iterdir())


def test_a_directory_that_is_there_is_filled(hub: Hub, tmp_path: Path) -> None:
    """It may stand where nothing else may be written. What one who was killed left is no obstacle."""
    hub.commit_files("main", {"a": b"1", "d/b": b"2"}, "One")
    out = tmp_path / "out"
    (out / f"{DRAFT}killed" / "clone").mkdir(parents=True)
    before = out.stat().st_ino
    clone_to(hub, out)
    assert out.stat().st_ino == before
    assert names(out) == [".git", "a", "d"]
    assert (out / "d" / "b").read_bytes() == b"2"


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_leads_to_where_the_repository_stands(hub: Hub, tmp_path: Path, is_there: bool) -> None:
    hub.commit_files("main", {"a": b"1"}, "One")
    if is_there:
        (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    clone_to(hub, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "real") == [".git", "a"]

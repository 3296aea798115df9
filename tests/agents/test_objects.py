"""What is read of git's objects in this process is what git itself says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from apps.agents import hub as hubs
from apps.agents.hub import Hub
from apps.agents.objects import Unreadable, blob_read, commit_entries

ODD = "dir with spaces/ümläut \t tab.txt"


def git(place: Path, *arguments: str, **options: object) -> str:
    done = subprocess.run(
        ["git", "-C", str(place), "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
        capture_output=True,
        check=True,
        **options,  # type: ignore[call-overload]
    )
    return str(done.stdout.decode("utf-8", "surrogateescape"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A bare repository with a commit of all kinds of entries."""
    work = tmp_path / "work"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(work))
    (work / "a" / "b" / "c").mkdir(parents=True)
    (work / "a" / "b" / "c" / "deep.txt").write_bytes(b"deep\0bytes\xff")
    (work / "a.txt").write_text("sorts between a and a/")
    (work / "run").write_text("#!/bin/sh\n")
    (work / "run").chmod(0o755)
    (work / "link").symlink_to("a.txt")
    (work / ODD).parent.mkdir()
    (work / ODD).write_text("odd")
    (work / "empty").touch()
    git(work, "add", "--all")
    git(work, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module")
    git(work, "commit", "--quiet", "--message", "All")
    return work / ".git"


def head(repository: Path) -> str:
    return git(repository, "rev-parse", "HEAD").strip()


def as_git_says(repository: Path) -> list[tuple[str, str, str]]:
    rows = git(repository, "ls-tree", "-r", "-z", "HEAD").split("\0")[:-1]
    parts = [(*row.partition("\t")[0].split(), row.partition("\t")[2]) for row in rows]
    return [(name, mode, sha) for mode, kind, sha, name in parts if kind == "blob"]


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_entries_and_contents_are_those_of_git(repository: Path, packed: bool) -> None:
    if packed:
        git(repository, "gc", "--quiet")
        assert not list(repository.glob("objects/??"))

    entries = commit_entries(repository, head(repository))

    assert [tuple(entry) for entry in entries] == as_git_says(repository)
    content = {entry.path: blob_read(repository, entry.blob) for entry in entries}
    assert content["a/b/c/deep.txt"] == b"deep\0bytes\xff"
    assert content["link"] == b"a.txt"
    assert content["empty"] == b""
    assert {entry.mode for entry in entries} == {"100644", "100755", "120000"}


@pytest.mark.parametrize("name", ["0" * 40, "0" * 64, "HEAD"])
def test_what_cannot_be_read_here_is_said(repository: Path, name: str) -> None:
    with pytest.raises(Unreadable):
        commit_entries(repository, name)


def test_a_blob_is_no_commit(repository: Path) -> None:
    blob = commit_entries(repository, head(repository))[0].blob

    with pytest.raises(Unreadable):
        commit_entries(repository, blob)


def test_the_hub_asks_git_where_objects_are_of_another_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> None:
        raise Unreadable("a form of the future")

    hub = Hub(tmp_path / "hub.git")
    hub.create()
    commit = hub.commit_files("main", {ODD: b"odd", "x/y": b"\xff"}, "Start")
    monkeypatch.setattr(hubs, "commit_entries", unreadable)
    monkeypatch.setattr(hubs, "blob_read", unreadable)
    hubs._entries.cache_clear()

    assert hub.files(commit) == [ODD, "x/y"]
    assert hub.read(commit, "x/y") == b"\xff"

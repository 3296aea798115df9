"""What a hostile agent leaves in its worktree for the platform's git to find."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

from apps.agents.hub import Hub
from apps.agents.workspace import Workspace
from tests.agents.workspace_room import REF, head_of, hub, work

__all__ = ["hub", "work"]


def _trap(where: Path, flag: Path) -> None:
    """A repository whose configuration names commands for everything git can be made to run."""
    subprocess.run(["git", "init", "--quiet", str(where)], check=True)
    script = where / ".git" / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch {flag}\ncat\n")
    script.chmod(0o755)
    (where / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    with (where / ".git" / "config").open("a") as config:
        config.write(
            f"[core]\n\tfsmonitor = {script}\n\tsshCommand = {script}\n\tpager = {script}\n"
            f'[filter "evil"]\n\tclean = {script}\n\tsmudge = {script}\n\trequired = true\n'
            f'[diff "evil"]\n\tcommand = {script}\n\ttextconv = {script}\n[diff]\n\texternal = {script}\n'
        )
    for hook in ("pre-commit", "post-checkout", "post-index-change", "reference-transaction"):
        shutil.copy(script, where / ".git" / "hooks" / hook)
    identity = [
        "-c",
        "user.name=x",
        "-c",
        "user.email=x",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.hooksPath=/",
    ]
    commit = ["git", "-C", str(where), *identity, "commit", "--quiet", "--allow-empty", "-m", "x"]
    subprocess.run(commit, check=True)
    flag.unlink(missing_ok=True)


def _everything(work: Workspace) -> None:
    work.git.status()
    work.write("note.txt", b"1")
    work.git.diff()
    work.snapshot("Turn", REF)
    work.write("inner/file.txt", b"2")
    work.git.status()
    work.snapshot("Turn", REF)
    work.reset_to(work.hub.tree(work.head), work.base)
    work.restore(work.base)


def test_a_git_directory_put_into_the_worktree_runs_nothing(work: Workspace, tmp_path: Path) -> None:
    flag = tmp_path / "PWNED"
    _trap(work.root, flag)
    _trap(work.root / "inner", flag)
    _trap(work.root / "src" / "deep", flag)
    _trap(work.root / "node_modules" / "m", flag)
    work.write(".gitignore", b"!node_modules\n")
    _everything(work)
    assert not flag.exists()


def test_a_git_file_that_points_elsewhere_is_not_followed(work: Workspace, tmp_path: Path) -> None:
    flag = tmp_path / "PWNED"
    _trap(tmp_path / "evil", flag)
    for place in (work.root, work.root / "inner"):
        place.mkdir(exist_ok=True)
        (place / ".git").write_text(f"gitdir: {tmp_path}/evil/.git\n")
    _everything(work)
    assert not flag.exists()


def test_a_submodule_of_the_project_is_not_entered(hub: Hub, tmp_path: Path) -> None:
    link = f"160000 commit {head_of(hub)}\tinner\n"
    blob = hub.git.line(
        "hash-object", "-w", "--stdin", stdin=b'[submodule "inner"]\n\tpath = inner\n\turl = ext::sh\n'
    )
    tree = hub.git.line("mktree", stdin=f"{link}100644 blob {blob}\t.gitmodules\n".encode())
    commit = hub.commit_tree(tree, [], "With a submodule")
    work = Workspace.open(hub, tmp_path / "t" / "1", commit)
    flag = tmp_path / "PWNED"
    _trap(work.root / "inner", flag)
    _everything(work)
    assert not flag.exists()
    assert hub.files(commit) == [".gitmodules"]


def test_a_nested_repository_is_kept_as_plain_files(work: Workspace, hub: Hub) -> None:
    subprocess.run(["git", "init", "--quiet", str(work.root / "inner")], check=True)
    work.write("inner/main.rs", b"fn main() {}\n")
    commit, _ = work.snapshot("Turn", REF)
    assert "inner/main.rs" in hub.files(commit)
    assert (work.state / "nested").is_dir(), "its own history is put aside, not destroyed"


def test_pipes_sockets_and_locked_files_do_not_stop_a_snapshot(work: Workspace, hub: Hub) -> None:
    os.mkfifo(work.root / "pipe")
    (work.root / "README.md").unlink()
    os.mkfifo(work.root / "README.md")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(work.root / "socket"))
        work.write("locked/file.txt", b"1")
        (work.root / "locked" / "file.txt").chmod(0)
        (work.root / "locked").chmod(0)
        commit, _ = work.snapshot("Turn", REF)
    assert "locked/file.txt" in hub.files(commit)
    assert "README.md" not in hub.files(commit)
    (work.root / "locked").chmod(0)
    work.discard()
    assert not work.root.exists()

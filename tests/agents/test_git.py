"""Git as the platform runs it: cut off from the machine's settings, and clear when something is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from apps.agents.git import Git, GitError, Output, disk, failure, revision
from apps.core.errors import BadInput, LoomError, Unavailable


@pytest.fixture
def bare(tmp_path: Path) -> Git:
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "r.git")], check=True)
    return Git(tmp_path / "r.git")


def test_the_settings_of_the_user_and_the_environment_do_not_reach_git(
    bare: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Somebody\n[alias]\n\tx = !touch pwned\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Intruder")

    assert "user.name" not in bare.run("config", "--list").text
    assert bare.line("rev-parse", "--git-dir") == str(bare.git_dir)


@pytest.mark.parametrize(
    "name", ["--upload-pack=x", "-p", "a..b", "main^{tree}", "main@{1}", "a b", "", "x\0y"]
)
def test_only_plain_names_are_revisions(name: str) -> None:
    with pytest.raises(BadInput):
        revision(name)


def test_hashes_branches_and_refs_are_revisions() -> None:
    for name in ("a" * 40, "main", "refs/loom/sessions/12", "topic/x-1"):
        assert revision(name) == name


@pytest.mark.parametrize("author", ["nobody", "A <a@b> x", "A\nB <a@b>", "<a@b>"])
def test_a_malformed_author_is_refused(bare: Git, author: str) -> None:
    with pytest.raises(BadInput, match="is not an author"):
        bare.run("rev-parse", author=author)


def test_a_failure_is_one_sentence_with_gits_own_reason(bare: Git) -> None:
    with pytest.raises(GitError, match=r"^git cat-file failed: .*Not a valid object name nothing") as caught:
        bare.run("cat-file", "blob", "nothing")
    assert isinstance(caught.value, Unavailable)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("error: unable to write file: No space left on device\nfatal: x", "The disk is full."),
        ("fatal: Unable to create 'index.lock': Read-only file system", "The disk is read-only."),
    ],
)
def test_a_disk_that_cannot_be_written_is_named(said: str, sentence: str) -> None:
    error = failure("add", Output(128, b"", said))
    assert str(error) == sentence
    assert "lost" in error.hint


def test_errors_of_the_operating_system_become_the_platforms() -> None:
    with pytest.raises(Unavailable, match="The disk is full"), disk(Path("/x")):
        raise OSError(28, "No space left on device")
    with pytest.raises(Unavailable, match="/x cannot be used: Permission denied"), disk(Path("/x")):
        raise PermissionError(13, "Permission denied")


def test_a_command_that_hangs_is_stopped(bare: Git) -> None:
    with pytest.raises(GitError, match="did not finish within"):
        bare.run("-c", "alias.wait=!sleep 30", "wait", timeout=0.3)


def test_long_output_is_cut_and_git_stopped(bare: Git) -> None:
    text, more = bare.read("-c", "alias.flood=!yes", "flood", limit=1000)
    assert (len(text), more) == (1000, True)


def _outcome_with_path(path: Path) -> str:
    program = (
        "from apps.agents.hub import Hub\n"
        "from apps.core.errors import LoomError\n"
        "try: Hub('/tmp/never-made-hub.git').git.run('version')\n"
        "except LoomError as error: print(error, '|', error.hint)\n"
    )
    environment = {**os.environ, "PATH": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_missing_git_is_said_with_what_to_do(tmp_path: Path) -> None:
    assert (
        _outcome_with_path(tmp_path) == "Git is not installed or does not start. | Install git 2.38 or newer."
    )


def test_an_old_git_is_said_with_what_to_do(tmp_path: Path) -> None:
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 2.30.2\n")
    old.chmod(0o755)
    assert _outcome_with_path(tmp_path) == "This is too old: git version 2.30.2. | Install git 2.38 or newer."


def test_a_git_error_is_a_loom_error() -> None:
    assert issubclass(GitError, LoomError)

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    clone = tmp_path / "a clone"
    (clone / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "bootstrap", clone / "scripts")
    for lock in ROOT.glob("requirements*.txt"):
        shutil.copy(lock, clone)
    return clone


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A PATH with nothing but the shell's everyday tools; tests add what they want found."""
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    for tool in ("cat", "cksum", "date", "dirname", "grep", "sh", "tail"):
        found = shutil.which(tool)
        assert found is not None
        (bin_dir / tool).symlink_to(found)
    return bin_dir


def program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def bootstrap(clone: Path, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "scripts/bootstrap"],
        cwd=clone,
        env={"PATH": str(path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_git_is_said_plainly(clone: Path, bare: Path) -> None:
    result = bootstrap(clone, bare)
    assert result.returncode == 2
    assert "git is missing" in result.stderr


def test_an_old_python_is_said_plainly_with_its_version(clone: Path, bare: Path) -> None:
    program(bare / "git", "exit 0")
    program(bare / "python3", 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac')
    result = bootstrap(clone, bare)
    assert result.returncode == 2
    assert "Python 3.11 or newer is missing (python3 is Python 3.9.2)" in result.stderr
    assert not (clone / ".venv").exists()


def test_a_python_without_venv_is_told_which_package_is_missing(clone: Path, bare: Path) -> None:
    program(bare / "git", "exit 0")
    program(bare / "python3.12", '[ "$1" = -c ] || [ "$1" = --version ]')
    result = bootstrap(clone, bare)
    assert result.returncode == 2
    assert "apt-get install python3-venv" in result.stderr


def test_a_failed_installation_shows_why_and_leaves_no_stamp(clone: Path, bare: Path) -> None:
    program(bare / "git", "exit 0")
    program(clone / "fake", "echo no such index; exit 1")
    (clone / ".venv" / "bin").mkdir(parents=True)
    program(
        clone / ".venv" / "bin" / "python", '[ "$1" = -c ] && exit 0; echo the index is unreachable; exit 1'
    )
    result = bootstrap(clone, bare)
    assert result.returncode == 2
    assert "installing with pip, which takes longer" in result.stderr
    assert "the index is unreachable" in result.stderr
    assert "could not be installed" in result.stderr
    assert not list((clone / ".venv").glob(".installed-*"))


def test_the_second_time_does_nothing_until_a_lock_changes(clone: Path, bare: Path) -> None:
    program(bare / "git", "exit 0")
    (clone / ".venv" / "bin").mkdir(parents=True)
    program(clone / ".venv" / "bin" / "python", 'echo "$@" >>calls')
    program(clone / ".venv" / "bin" / "uv", 'echo uv "$@" >>calls')
    first = bootstrap(clone, bare)
    assert first.returncode == 0, first.stderr
    assert "Installed with uv" in first.stderr
    assert first.stdout == "", "what make weave prints as JSON is all that stands there"
    calls = (clone / "calls").read_text()
    assert "uv pip install --python .venv/bin/python --require-hashes -r requirements.txt" in calls

    second = bootstrap(clone, bare)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert (clone / "calls").read_text() == calls

    with (clone / "requirements.txt").open("a") as lock:
        lock.write("# changed\n")
    assert "Installed with uv" in bootstrap(clone, bare).stderr


def test_the_locks_name_no_index_and_hash_every_file() -> None:
    for lock in ROOT.glob("requirements*.txt"):
        text = lock.read_text()
        assert "://" not in text
        assert "--index-url" not in text
        assert "--find-links" not in text
        blocks = text.replace("\\\n", "").splitlines()
        pins = [line for line in blocks if line and not line.lstrip().startswith("#")]
        assert pins
        assert all("==" in line and "--hash=sha256:" in line for line in pins), lock


@pytest.mark.parametrize("module", re.findall(r"python -m (tests\.\S+)", (ROOT / "Makefile").read_text()))
def test_what_make_starts_of_the_tests_needs_no_pytest(module: str) -> None:
    """Pytest sets up Django before it reads a test file; `make shots` starts without that."""
    bare = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    is_package = (ROOT / module.replace(".", "/")).is_dir()
    module += ".__main__" if is_package else ""
    subprocess.run([sys.executable, "-c", f"import {module}"], cwd=ROOT, env=bare, check=True)

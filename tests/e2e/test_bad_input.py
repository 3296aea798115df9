"""What cannot work says so in one sentence, with what to do, and loses nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.weaves import GREETER, Done, Installation, suite_passes
from tests.providers.script_server import ScriptServer

pytestmark = [pytest.mark.slow, pytest.mark.once]

PRD = str(GREETER / "prd.md")


def refused(done: Done, *words: str) -> None:
    """Exit code 2, nothing on stdout, and one line that holds the words."""
    assert done.code == 2, done.err
    assert done.out == ""
    lines = [line for line in done.err.splitlines() if line.strip()]
    assert len(lines) == 1, done.err
    assert lines[0].startswith("weave: ")
    for word in words:
        assert word in lines[0]


def test_a_prd_that_is_no_text_is_refused(loom: Installation, tmp_path: Path) -> None:
    prd = tmp_path / "prd.md"
    prd.write_bytes(b"\x7fELF\x00\x01\x02")
    refused(loom.weave(str(prd), "--out", str(tmp_path / "out")), "binary", "prd.md")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], check=False)
    if mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_said(loom: Installation, tiny_disk: Path, tmp_path: Path) -> None:
    (tiny_disk / "filler").write_bytes(b"x" * 60_000)
    loom.env["LOOM_DATA_DIR"] = str(tiny_disk / "data")
    loom.env.pop("DATABASE_URL", None)
    refused(loom.weave("--out", str(tmp_path / "out")), "LOOM_DATA_DIR")


def test_a_read_only_disk_is_said(loom: Installation, tiny_disk: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    loom.env["LOOM_DATA_DIR"] = str(tiny_disk / "data")
    refused(loom.weave("--out", str(tmp_path / "out")), "LOOM_DATA_DIR")
    loom.env["LOOM_DATA_DIR"] = str(loom.data)
    refused(loom.weave("--out", str(tiny_disk / "out")), "cannot be written", "OUT=")


@pytest.mark.parametrize("failures", [("429", "drop"), ("500", "garbage", "close")], ids="-".join)
def test_a_provider_that_stumbles_is_asked_again(
    loom: Installation, server: ScriptServer, tmp_path: Path, failures: tuple[str, ...]
) -> None:
    loom.connect(server.url)
    for failure in failures:
        server.fail_next(failure, retry_after="1" if failure == "429" else "")
    out = tmp_path / "out"

    done = loom.weave(PRD, "--out", str(out))

    assert done.code == 0, done.err
    assert server.counters.failures == len(failures)
    assert suite_passes(out)


def test_a_hanging_provider_leaves_work_that_waits_for_a_person(
    loom: Installation, server: ScriptServer, tmp_path: Path
) -> None:
    loom.connect(server.url, LOOM_MODEL_TIMEOUT="1", LOOM_MODEL_ATTEMPTS="2")
    server.fail_next("hang", times=50)
    out = tmp_path / "out"

    done = loom.weave(PRD, "--out", str(out))

    assert done.code == 1, done.err
    assert done.summary["status"] == "waiting"
    assert "answer" in done.summary["waiting"][0]["question"]
    server.heal()
    assert loom.weave("--resume", "--out", str(out)).code == 0


def test_a_conversation_too_long_for_the_model_waits_for_a_person(
    loom: Installation, server: ScriptServer, tmp_path: Path
) -> None:
    loom.connect(server.url)
    server.switches.max_bytes = 2_000
    out = tmp_path / "out"

    done = loom.weave(PRD, "--out", str(out))

    assert done.code == 1, done.err
    assert "long" in done.summary["waiting"][0]["question"]
    server.switches.max_bytes = 0
    assert loom.weave("--resume", "--out", str(out)).code == 0

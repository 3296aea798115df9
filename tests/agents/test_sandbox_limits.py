"""What commands may use in the sandbox."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from apps.agents.sandbox import Limits, Sandbox
from apps.agents.sandbox.calls import call_filter
from apps.agents.sandbox.plan import MIB
from apps.agents.sandbox.process import Kept
from apps.agents.sandbox.toolchains import node_options
from apps.agents.sandbox.watch import Watch
from tests.agents.sandbox_room import gone, needs_sandbox, python, root

__all__ = ["root"]


@needs_sandbox
def test_memory_is_bounded(root: Path) -> None:
    small = Sandbox(limits=Limits(memory=256 * MIB))
    assert "MemoryError" in python(root, "bytearray(512 << 20)", small).output
    assert python(root, "bytearray(64 << 20)", small).ok


@needs_sandbox
def test_a_fork_bomb_is_bounded_and_leaves_nothing(root: Path) -> None:
    bomb = """
        import os, time
        made = 0
        try:
            while True:
                if os.fork() == 0:
                    time.sleep(4711)
                made += 1
        except BlockingIOError:
            print(made, flush=True)
    """
    result = python(root, bomb, Sandbox(session=11, limits=Limits(processes=40)))
    assert 0 < int(result.output) < 40
    assert gone("time.sleep(4711)")
    assert Sandbox(session=11, limits=Limits(processes=40)).run("true", root=root).ok


@needs_sandbox
def test_files_and_scratch_space_are_bounded(root: Path) -> None:
    small = Sandbox(limits=Limits(file_size=MIB, scratch=MIB))
    assert not small.run("head -c 2M /dev/zero > big", root=root).ok
    assert (root / "big").stat().st_size <= MIB
    for place in ("/tmp/a", "$HOME/a"):
        fill = f"for n in 1 2 3; do head -c 600K /dev/zero > {place}$n || exit 9; done"
        assert small.run(fill, root=root).exit_code == 9, place
    assert (
        not Sandbox()
        .run("for n in $(seq 9); do head -c 10M /dev/zero > /dev/shm/$n || exit 9; done", root=root)
        .ok
    )


@needs_sandbox
def test_output_is_kept_at_both_ends(root: Path) -> None:
    program = "print('first'); print('x' * 5_000_000); print('last')"
    result = python(root, program, Sandbox(limits=Limits(output=10_000)))
    assert result.truncated
    assert result.output.startswith("first\n")
    assert result.output.endswith("last\n")
    assert "bytes left out" in result.output
    assert len(result.output) < 10_200


@needs_sandbox
def test_a_flood_of_output_is_stopped(root: Path) -> None:
    result = Sandbox(limits=Limits(flood=4 * MIB)).run("yes 4715", root=root, timeout=60)
    assert result.truncated
    assert not result.timed_out
    assert not result.ok
    assert "stopped after writing more" in result.output
    assert gone("yes 4715", 0)


@needs_sandbox
def test_output_that_is_no_text_becomes_text(root: Path) -> None:
    result = python(root, r"import sys; sys.stdout.buffer.write(b'a\xff\x00\xe2\x82\xac')")
    assert result.output == "a\ufffd\ufffd€"


def test_what_is_left_out_of_the_middle_is_counted() -> None:
    kept = Kept(10)
    for piece in (b"01234", b"56789", b"abcdefghij" * 5, b"vwxyz"):
        kept.add(piece)
    assert kept.truncated
    assert kept.text() == "01234\n[... 55 bytes left out ...]\nvwxyz"
    short = Kept(10)
    short.add(b"0123456789")
    assert (short.truncated, short.text()) == (False, "0123456789")


@needs_sandbox
def test_processes_that_together_hold_too_much_memory_are_stopped(root: Path) -> None:
    hog = "import time; held = bytearray(80 << 20); time.sleep(30)"
    small = Sandbox(limits=Limits(resident=200 * MIB))
    result = small.run(f'for i in 1 2 3 4; do python -c "{hog}" & done; wait', root=root, timeout=20)
    assert "[stopped for holding more than 200 MiB of memory]" in result.output
    assert not result.ok
    assert result.duration_ms < 15_000


@needs_sandbox
@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("for i in $(seq 400); do head -c 1M /dev/zero > f$i; sleep 0.01; done", "MiB into the worktree"),
        ("mkdir d; for i in $(seq 30000); do : > d/$i; done; sleep 9", "files"),
    ],
)
def test_a_worktree_cannot_be_filled(root: Path, command: str, why: str) -> None:
    small = Sandbox(limits=Limits(disk=20 * MIB, files=2000))
    result = small.run(command, root=root, timeout=20)
    assert why in result.output
    assert not result.ok


@needs_sandbox
def test_memory_that_no_process_maps_and_doors_into_the_kernel_are_kept_back(root: Path) -> None:
    result = python(
        root,
        """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.shmget(0, 4096, 0o1600) >= 0, "a small segment, as databases ask for"
        try:
            os.memfd_create("x")
        except OSError as error:
            print(error.errno)
        large = (0, 1 << 20, 0o1600)
        for number, arguments in ((29, large), (425, (2, None)), (323, (0,)), (250, (0, -3, 0))):
            if os.uname().machine == "x86_64":
                print(libc.syscall(number, *arguments), ctypes.get_errno())
        """,
    )
    lines = result.output.split("\n")
    assert lines[0] == "38", result.output
    assert {line for line in lines[1:] if line} <= {"-1 38"}


@needs_sandbox
def test_scratch_space_cannot_be_filled_with_names(root: Path) -> None:
    program = "import os, time\nfor n in range(3000):\n    open(f'/tmp/{n}', 'w').close()\ntime.sleep(5)"
    result = python(root, program, Sandbox(limits=Limits(files=1000)))
    assert "making more than 1000 files" in result.output


def test_a_machine_that_is_not_known_has_no_filter() -> None:
    assert call_filter("riscv64") == b""
    assert len(call_filter("aarch64")) % 8 == 0


def test_what_is_made_before_the_first_look_counts(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    watch = Watch(os.getpid(), tmp_path, Limits(files=100))
    for number in range(150):
        (tmp_path / f"{number}").touch()
    assert "making more than 100 files" in watch.passed()


@needs_sandbox
@pytest.mark.skipif(not node_options("/usr/local/bin:/usr/bin:/bin"), reason="no Node that knows the option")
def test_node_runs_webassembly_within_its_memory(root: Path) -> None:
    """As `fetch`, Yarn 4 and bundlers need it."""
    done = Sandbox().run(
        ["node", "-e", "new WebAssembly.Memory({initial: 1}); console.log('there')"], root=root
    )
    assert done.output.strip() == "there"


@pytest.mark.parametrize(
    ("version", "knows"),
    [
        ("v18.20.4", False),
        ("v20.14.0", False),
        ("v20.15.0", True),
        ("v21.7.3", False),
        ("v22.2.0", True),
        ("", False),
    ],
)
def test_only_a_node_that_knows_the_option_gets_it(tmp_path: Path, version: str, knows: bool) -> None:
    (tmp_path / "node").write_text(f"#!/bin/sh\necho {version}\n")
    (tmp_path / "node").chmod(0o755)
    assert bool(node_options(str(tmp_path))) == knows

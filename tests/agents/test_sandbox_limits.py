"""What commands may use in the sandbox, and that all of them end, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.agents.sandbox import Limits, Sandbox, sandbox_status
from apps.agents.sandbox.calls import call_filter
from apps.agents.sandbox.plan import MIB
from apps.agents.sandbox.process import Kept
from apps.agents.sandbox.records import is_alive, reap
from apps.agents.sandbox.status import probe
from apps.agents.sandbox.toolchains import node_options
from apps.agents.sandbox.watch import Watch
from apps.core.errors import Unavailable
from tests.agents.sandbox_room import gone, needs_sandbox, processes, python, root

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
def test_the_time_limit_kills_the_whole_tree(root: Path) -> None:
    began = time.monotonic()
    forked = "import os, time; os.fork(); os.setsid(); time.sleep(4712)"
    command = f"(setsid sleep 4712 &); python -c '{forked}' & sleep 4712"
    result = Sandbox().run(command, root=root, timeout=1)
    assert result.timed_out
    assert result.exit_code == 124
    assert time.monotonic() - began < 6
    assert gone("4712", 0)


@needs_sandbox
def test_what_ignores_signals_and_closes_its_output_is_killed_too(root: Path) -> None:
    stubborn = "trap '' TERM INT HUP; echo on; exec >/dev/null 2>&1; while :; do sleep 4713; done"
    result = Sandbox().run(stubborn, root=root, timeout=1)
    assert result.timed_out
    assert result.output == "on\n"
    assert gone("4713", 0)


@needs_sandbox
def test_what_a_command_leaves_in_the_background_ends_with_it(root: Path) -> None:
    began = time.monotonic()
    result = Sandbox().run("(setsid sleep 4714 >/dev/null 2>&1 &); sleep 4714 & echo done", root=root)
    assert (result.exit_code, result.output) == (0, "done\n")
    assert time.monotonic() - began < 5
    assert gone("4714", 0)


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


# The platform's own life and death.


@needs_sandbox
def test_many_threads_run_commands_at_once(root: Path) -> None:
    outputs: dict[int, str] = {}

    def work(number: int) -> None:
        outputs[number] = (
            Sandbox(session=number).run(f"sleep 0.2; echo {number}", root=_own_root(root, number)).output
        )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs == {number: f"{number}\n" for number in range(8)}


def _own_root(root: Path, number: int) -> Path:
    place = root / str(number)
    place.mkdir()
    return place


NAP = str(100_000 + os.getpid())  # seconds; no other process on this machine sleeps as long


@pytest.fixture
def worker(root: Path) -> Iterator[subprocess.Popen[str]]:
    program = f"""
        from pathlib import Path
        from apps.agents.sandbox import Sandbox
        naps = "(setsid sleep {NAP} &); sleep {NAP} & sleep {NAP}"
        Sandbox().run(naps, root=Path({str(root)!r}), timeout=600)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], text=True, cwd=Path.cwd())
    deadline = time.monotonic() + 20
    while len(processes(f"sleep\x00{NAP}")) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    yield process
    process.kill()
    process.wait()


@needs_sandbox
@pytest.mark.crash
def test_a_killed_worker_leaves_no_process(worker: subprocess.Popen[str]) -> None:
    assert len(processes(f"sleep\x00{NAP}")) >= 3
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert gone(NAP)


@needs_sandbox
@pytest.mark.crash
def test_a_killed_launcher_leaves_no_process(worker: subprocess.Popen[str]) -> None:
    [launcher] = [pid for pid in processes("launcher.run()") if _parent(pid) == worker.pid]
    os.kill(launcher, signal.SIGKILL)
    assert worker.wait(20) is not None
    assert gone(NAP)


@needs_sandbox
def test_a_command_is_recorded_while_it_runs_and_not_after(root: Path, settings: Settings) -> None:
    settings.LOOM_DATA_DIR = root / "data"
    records = root / "data" / "commands"
    with ThreadPoolExecutor() as pool:
        running = pool.submit(Sandbox().run, "sleep 0.5", root=_own_root(root, 1))
        deadline = time.monotonic() + 10
        while not (found := list(records.glob("*.json"))) and time.monotonic() < deadline:
            time.sleep(0.01)
        told = json.loads(found[0].read_text())
        assert told["owner"] == os.getpid()
        assert is_alive(told["launcher"], told["started"])
        assert running.result().ok
    assert not list(records.iterdir())


@pytest.mark.crash
def test_what_a_killed_worker_and_its_killed_launcher_left_is_ended_by_the_next_worker(
    root: Path, settings: Settings
) -> None:
    """Without bubblewrap nothing but the record knows of it."""
    settings.LOOM_DATA_DIR = root / "data"
    nap = str(int(NAP) + 1)
    program = f"""
        import django
        from pathlib import Path
        django.setup()
        from apps.agents.sandbox import Sandbox
        naps = "(setsid sleep {nap} &); sleep {nap} & sleep {nap}"
        Sandbox().run(naps, root=Path({str(_own_root(root, 1))!r}), timeout=600)
    """
    environment = os.environ | {
        "LOOM_SANDBOX": "off",
        "LOOM_DATA_DIR": str(root / "data"),
        "DJANGO_SETTINGS_MODULE": "loom_site.settings",
    }
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], env=environment)
    deadline = time.monotonic() + 30
    while len(processes(f"sleep\x00{nap}")) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    [launcher] = [pid for pid in processes("launcher.run()") if _parent(pid) == process.pid]
    assert reap() == 0, "the worker lives"
    os.kill(process.pid, signal.SIGSTOP)  # so that neither sees the other die
    os.kill(launcher, signal.SIGKILL)
    process.kill()
    process.wait()
    assert len(processes(f"sleep\x00{nap}")) == 3
    assert reap() == 1
    assert gone(f"sleep\x00{nap}")
    assert not list((root / "data" / "commands").iterdir())


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


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# Where there is no sandbox.


def test_without_a_sandbox_nothing_runs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = root / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    status = probe([broken], Sandbox().uid)
    assert (status.available, status.kind) == (False, "none")
    assert "No permissions to create new namespace" in status.reason
    assert "user namespaces" in status.fix
    assert "LOOM_SANDBOX=off" in status.fix
    nothing = probe([], None)
    assert nothing.reason == "bubblewrap is not installed."

    monkeypatch.setattr("apps.agents.sandbox.box.sandbox_status", lambda: status)
    with pytest.raises(Unavailable, match="Commands cannot run: bubblewrap does not start") as caught:
        Sandbox().run("touch ran", root=root)
    assert caught.value.hint == status.fix
    assert not (root / "ran").exists()


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_SANDBOX", "off")
    monkeypatch.setenv("SOME_API_KEY", "canary-4717")


@pytest.mark.usefixtures("off")
def test_the_operator_can_switch_it_off_and_every_result_says_so(root: Path) -> None:
    assert sandbox_status().kind == "off"
    result = Sandbox().run(["sh", "-c", "env; touch made; exit 4"], root=root)
    assert (result.exit_code, result.sandbox) == (4, "off")
    assert "canary-4717" not in result.output
    assert (root / "made").exists()
    if os.geteuid() == 0:
        assert (root / "made").stat().st_uid == Sandbox().uid


@pytest.mark.usefixtures("off")
def test_switched_off_limits_still_hold_and_orphans_still_end(root: Path) -> None:
    result = Sandbox().run("(setsid sleep 4718 &); (sleep 4718 &); sleep 4718", root=root, timeout=1)
    assert result.timed_out
    assert gone("4718", 0)
    small = Sandbox(limits=Limits(file_size=MIB))
    assert not small.run("head -c 2M /dev/zero > big", root=root).ok


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

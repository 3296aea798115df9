"""Everything that a command starts ends with it, whoever is killed."""

from __future__ import annotations

import errno
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

from apps.agents.sandbox import Sandbox, commands_end, process
from apps.agents.sandbox.plan import Limits, Plan
from apps.agents.sandbox.records import MARK, is_alive, new_mark, reap
from apps.core.errors import Unavailable
from tests.agents.sandbox_room import gone, needs_sandbox, processes, root

__all__ = ["root"]


@needs_sandbox
def test_the_time_limit_kills_the_whole_tree(root: Path) -> None:
    began = time.monotonic()
    forked = "import os, time; os.fork(); os.setsid(); time.sleep(4712)"
    command = f"(setsid sleep 4712 &); python -c '{forked}' & sleep 4712"
    result = Sandbox().run(command, root=root, timeout=1)
    assert result.timed_out
    assert result.exit_code == 124
    assert time.monotonic() - began < 60
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
    assert time.monotonic() - began < 60
    assert gone("4714", 0)


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


@pytest.fixture
def half_begun(root: Path) -> Plan:
    """A command whose bubblewrap is still at setting up: its first process does not know who it ends with."""
    program = root / "bwrap"
    program.write_text(f"#!/bin/sh\n(setsid sleep {NAP} >/dev/null 2>&1 &)\nsleep {NAP}\n")
    program.chmod(0o755)
    plan = Plan(mark=new_mark())
    plan.add("variable", MARK, plan.mark)
    plan.add("variable", "PATH", os.environ["PATH"])
    plan.add("word", "true")
    plan.add("option", "--die-with-parent")
    plan.add("run", "bwrap", program)
    plan.add("within", 600.0, "/")
    return plan


@pytest.mark.crash
def test_what_bubblewrap_had_begun_ends_with_it(half_begun: Plan) -> None:
    outcome = process.execute(half_begun, seconds=2.0, limits=Limits())
    assert outcome.timed_out
    assert outcome.duration_ms < 1000 * process.GRACE, "its launcher saw to that"
    assert gone(f"sleep\x00{NAP}", 0)


@pytest.mark.crash
def test_what_bubblewrap_had_begun_ends_though_its_launcher_was_killed(half_begun: Plan) -> None:
    with ThreadPoolExecutor() as pool:
        running = pool.submit(process.execute, half_begun, seconds=60.0, limits=Limits())
        deadline = time.monotonic() + 20
        while len(processes(f"sleep\x00{NAP}")) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        [launcher] = [pid for pid in processes("launcher.run()") if _parent(pid) == os.getpid()]
        os.kill(launcher, signal.SIGKILL)
        assert running.result().exit_code == 128 + signal.SIGKILL
    assert gone(f"sleep\x00{NAP}", 0)


def _record(folder: Path) -> Path:
    """The record of the command that was just started."""
    deadline = time.monotonic() + 10
    while not (found := list(folder.glob("*.json"))) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found[0]


@needs_sandbox
def test_a_command_is_recorded_while_it_runs_and_not_after(root: Path, settings: Settings) -> None:
    settings.LOOM_DATA_DIR = root / "data"
    records = root / "data" / "commands"
    with ThreadPoolExecutor() as pool:
        running = pool.submit(Sandbox().run, "sleep 0.5", root=_own_root(root, 1))
        told = json.loads(_record(records).read_text())
        assert told["owner"] == os.getpid()
        assert is_alive(told["launcher"], told["started"])
        assert running.result().ok
    assert not list(records.iterdir())


@needs_sandbox
@pytest.mark.crash
def test_what_a_frozen_worker_runs_in_a_directory_can_be_ended(
    worker: subprocess.Popen[str], root: Path
) -> None:
    worker.send_signal(signal.SIGSTOP)
    commands_end(root / "elsewhere")
    assert len(processes(f"sleep\x00{NAP}")) >= 3
    commands_end(root.parent)
    assert gone(f"sleep\x00{NAP}", 0)
    assert worker.poll() is None
    worker.send_signal(signal.SIGCONT)
    assert worker.wait(20) == 0, "its command ended, that is all"


@needs_sandbox
@pytest.mark.crash
def test_a_launcher_that_was_told_nothing_yet_is_ended_too(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded, held = threading.Event(), threading.Event()
    told = process._tell

    def late(launcher: subprocess.Popen[bytes], data: bytes) -> None:
        recorded.set()
        assert held.wait(30)
        told(launcher, data)

    monkeypatch.setattr(process, "_tell", late)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(Sandbox().run, "touch here", root=root)
        assert recorded.wait(30)
        commands_end(root)
        held.set()
        assert running.exception() is not None or not running.result().ok
    assert not list(root.iterdir())


@needs_sandbox
def test_the_commands_of_another_container_and_odd_records_are_left_alone(
    root: Path, settings: Settings
) -> None:
    settings.LOOM_DATA_DIR = root / "data"
    folder = root / "data" / "commands"
    with ThreadPoolExecutor() as pool:
        running = pool.submit(Sandbox().run, "sleep 1", root=_own_root(root, 1))
        record = _record(folder)
        told = json.loads(record.read_text())
        elsewhere = {**told, "place": "elsewhere/1/1", "owner": 2**22, "owner_started": 1}
        older = {name: value for name, value in told.items() if name != "root"}
        for name, text in {"elsewhere": elsewhere, "older": older, "odd": 7}.items():
            (folder / f"{name}.json").write_text(json.dumps(text))
        record.unlink()
        assert reap() == 0
        commands_end(root)
        assert running.result().ok, "none of the records that are left is of a command here"
    assert {file.stem for file in folder.iterdir()} == {"elsewhere", "older", "odd"}
    for file in folder.iterdir():
        os.utime(file, (0, 0))
    assert reap() == 0
    assert not list(folder.iterdir())


def test_a_command_that_cannot_be_recorded_leaves_no_launcher(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(process, "record", full)
    with pytest.raises(Unavailable):
        Sandbox().run("sleep 4713", root=root)
    assert not [pid for pid in processes("launcher.run()") if _parent(pid) == os.getpid()]


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


def _parent(pid: int) -> int:
    """0 if the process has ended meanwhile, such as one of the tests that run beside this."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apps.core.errors import BadInput
from apps.core.supervisor import read_procfile
from tests.core.processes import Running, is_alive, wait_until

pytestmark = [pytest.mark.crash, pytest.mark.once]

# A front of a test's own: the Supervisor as `weave` uses it, telling what it learns.
FRONT = """
import os, sys, time, pathlib, django
django.setup()
from apps.core.errors import LoomError
from apps.core.supervisor import Supervisor
def say(*words):  # each line in one write: others write to the same file
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
supervisor = Supervisor(quiet={quiet}, procfile=pathlib.Path({procfile!r}), stop_seconds={stop_seconds})
try:
    supervisor.start()
    say("started")
    while True:
        supervisor.poll()
        say("pids", sorted(supervisor.pids.items()))
        time.sleep(0.1)
except LoomError as error:
    say("error:", error, error.hint)
except KeyboardInterrupt:
    pass
finally:
    supervisor.stop()
    say("stopped")
"""

# A worker with a child in a session of its own, as a sandbox is; the child of it all ignores polite signals.
NESTING = """
import os, subprocess, sys, time
deep = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", deep], start_new_session=True, env={{"MARK": {mark!r}}})
print("deep is there", flush=True)
time.sleep(600)
"""

Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Runs the front on a Procfile made of name=command."""
    fronts: list[Running] = []

    def start(*, quiet: bool = True, stop_seconds: float = 5.0, workers: int = 1, **commands: str) -> Running:
        procfile = tmp_path / "Procfile"
        procfile.write_text("".join(f"{name}: {command}\n" for name, command in commands.items()))
        front = tmp_path / "front.py"
        front.write_text(FRONT.format(quiet=quiet, procfile=str(procfile), stop_seconds=stop_seconds))
        fronts.append(Running(tmp_path / "data", str(front), LOOM_WORKER_PROCESSES=str(workers)))
        return fronts[-1]

    yield start
    for front in fronts:
        front.clean()


@pytest.fixture
def nesting(tmp_path: Path) -> str:
    """The command of a process that has a grandchild in another session."""
    script = tmp_path / "nesting.py"
    script.write_text(NESTING.format(mark=str(tmp_path / "data")))
    return f"python {script}"


def pids(front: Running) -> dict[str, int]:
    """The newest set of processes the front knows of."""
    last = [line for line in front.text.splitlines() if line.startswith("pids ")][-1]
    return dict(eval(last.removeprefix("pids ")))


def log(front: Running, name: str) -> str:
    path = front.data_dir / "logs" / f"{name}.log"
    return path.read_text() if path.exists() else ""


def nothing_is_left(front: Running) -> None:
    wait_until(lambda: not front.others(), seconds=10, what="nothing is left")


def test_ctrl_c_ends_everything_in_order(start: Start) -> None:
    note = "trap 'echo got it; exit 0' TERM; while :; do sleep 0.05; done"
    front = start(worker=f'sh -c "{note}"', beat=f'sh -c "{note}"')
    front.wait_for(r"pids \[\('beat', \d+\), \('worker'")
    assert len(front.others()) >= 4, "warden, broker and two processes"
    assert front.end(signal.SIGINT) == 0
    assert front.text.splitlines()[-1] == "stopped"
    assert log(front, "worker") == log(front, "beat") == "got it\n"
    nothing_is_left(front)


def test_killing_the_command_leaves_neither_children_nor_grandchildren(start: Start, nesting: str) -> None:
    front = start(worker=nesting)
    front.wait_for("started")
    wait_until(lambda: "deep is there" in log(front, "worker"))
    assert len(front.others()) >= 4, "warden, broker, worker and its child"
    front.end(signal.SIGKILL)
    nothing_is_left(front)


def test_killing_the_warden_leaves_no_child_and_everything_is_started_again(start: Start) -> None:
    front = start(worker="sleep 600")
    front.wait_for("pids")
    first = pids(front)["worker"]
    warden = int(Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[1])
    assert warden != front.process.pid
    os.kill(warden, signal.SIGKILL)
    wait_until(lambda: not is_alive(first), seconds=5, what="the worker goes with the warden")
    wait_until(lambda: pids(front).get("worker") not in {None, first}, what="another worker is started")
    assert front.end(signal.SIGINT) == 0
    nothing_is_left(front)


def test_a_dead_child_is_started_again_and_its_orphans_are_ended(start: Start, nesting: str) -> None:
    front = start(worker=nesting, beat="sleep 600")
    wait_until(lambda: "deep is there" in log(front, "worker"))
    front.wait_for(r"pids .*worker")
    before = pids(front)
    orphans = {pid for pid, command in front.others().items() if "SIG_IGN" in command}
    assert len(orphans) == 1
    os.kill(before["worker"], signal.SIGKILL)
    wait_until(lambda: pids(front).get("worker") not in {None, before["worker"]}, what="another worker")
    wait_until(lambda: not any(map(is_alive, orphans)), seconds=5, what="the orphan is ended")
    assert pids(front)["beat"] == before["beat"]
    assert "worker was ended by signal 9; starting it again" in log(front, "supervisor")


def test_as_many_workers_are_started_as_are_asked_for_and_what_one_runs_outlives_another(
    start: Start, nesting: str
) -> None:
    front = start(worker=nesting, beat="sleep 600", workers=3)
    front.wait_for("pids")
    before = pids(front)
    assert set(before) == {"worker", "worker2", "worker3", "beat"}
    workers = before.keys() - {"beat"}
    wait_until(lambda: all("deep is there" in log(front, name) for name in workers))
    os.kill(before["worker2"], signal.SIGKILL)
    wait_until(lambda: pids(front).get("worker2") not in {None, before["worker2"]}, what="another worker2")
    wait_until(lambda: log(front, "worker2").count("deep is there") == 2)
    deep = [pid for pid, command in front.others().items() if "SIG_IGN" in command]
    assert len(deep) == 3, "those of the two others, and that of the new one"
    assert {name: pid for name, pid in pids(front).items() if name != "worker2"} == {
        name: pid for name, pid in before.items() if name != "worker2"
    }
    assert front.end(signal.SIGINT) == 0
    nothing_is_left(front)


def test_a_dead_broker_is_started_again(start: Start) -> None:
    front = start(worker="sleep 600")
    front.wait_for("pids")

    def brokers() -> set[int]:
        return {pid for pid, command in front.others().items() if "valkey-server" in command}

    (first,) = brokers()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: brokers() and first not in brokers(), what="another broker")
    assert pids(front)["worker"]


@pytest.mark.slow
def test_a_child_that_keeps_dying_is_given_up_with_its_name_and_log(start: Start, tmp_path: Path) -> None:
    counter = tmp_path / "count"
    front = start(worker=f"sh -c 'echo x >> {counter}; exit 3'")
    match = front.wait_for(r"error: (worker ended with code 3 more than 5 times .*)", seconds=60)
    assert "worker.log" in match[1]
    assert counter.read_text().count("x") == 6
    assert front.process.wait(20) == 0
    nothing_is_left(front)


def test_a_child_that_will_not_end_is_killed_when_its_time_is_over(start: Start) -> None:
    front = start(worker="sh -c \"trap '' TERM; echo deaf; while :; do sleep 0.1; done\"", stop_seconds=0.5)
    wait_until(lambda: log(front, "worker") == "deaf\n")
    assert front.end(signal.SIGINT, seconds=10) == 0
    assert "worker did not end within" in log(front, "supervisor")
    nothing_is_left(front)


def test_a_program_that_is_not_there_is_an_error_and_not_a_hang(start: Start) -> None:
    front = start(worker="no-such-program-here --now")
    front.wait_for("error: no-such-program-here cannot be started")
    front.process.wait(20)
    nothing_is_left(front)


def test_on_a_terminal_every_line_carries_its_processs_name(start: Start) -> None:
    front = start(
        quiet=False, worker="sh -c 'echo hello; sleep 600'", beat="sh -c 'printf unfinished; sleep 600'"
    )
    front.wait_for(r"(?m)^worker \| hello$")
    assert front.end(signal.SIGINT) == 0
    assert "beat   | unfinished" in front.text


def test_a_procfile_is_read_in_its_order_and_wrong_lines_are_named(tmp_path: Path) -> None:
    procfile = tmp_path / "Procfile"
    procfile.write_text("# comment\n\nweb: python manage.py web\njobs: sleep 1: 2\n")
    assert list(read_procfile(procfile).items()) == [("web", "python manage.py web"), ("jobs", "sleep 1: 2")]
    procfile.write_text("web python\n")
    with pytest.raises(BadInput, match="Line 1"):
        read_procfile(procfile)

"""kill -9 in the middle of a weave: work goes on, nothing finished is paid again, no file is lost."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.weaves import (
    GREETER,
    ROOT,
    Done,
    Installation,
    finish,
    has_answered,
    kill_everything,
    suite_passes,
    until,
)
from tests.providers.script_server import ScriptServer

pytestmark = pytest.mark.slow

PRD = str(GREETER / "prd.md")
IN_FLIGHT = 4  # sessions at once: at most so many calls can be under way at a kill


def processes_of(loom: Installation, needle: str) -> list[int]:
    """Live processes of this installation whose command line or name holds the words."""
    found = []
    wanted = f"LOOM_DATA_DIR={loom.data}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            names = (entry / "cmdline").read_bytes() + b" " + (entry / "comm").read_bytes()
        except OSError:
            continue
        if wanted in environment and needle.encode() in names:
            found.append(int(entry.name))
    return found


def lease_owners(loom: Installation) -> list[int]:
    """Pids of the workers that hold a run right now."""
    owners: list[str] = loom.ask(
        "from apps.engine.models import Run\n"
        "answer = list(Run.objects.filter(status='running').values_list('lease_owner', flat=True))"
    )
    return [int(owner.split(":")[1]) for owner in owners if owner]


def asked_twice(server: ScriptServer) -> int:
    """How many requests were made again, word for word."""
    seen = Counter(repr(request.body["messages"]) for request in server.requests)
    return sum(count - 1 for count in seen.values())


def check_whole(done: Done, loom: Installation, server: ScriptServer, out: Path) -> None:
    assert done.code == 0, done.err
    summary = done.summary
    assert all(story["proven"] for story in summary["stories"])
    repeated = asked_twice(server)
    assert repeated <= IN_FLIGHT
    # The ledger shows both the call that was lost and the one that replaced it.
    assert summary["lost_calls"] == repeated
    assert suite_passes(out)
    worked = loom.ask(
        "from apps.agents.models import Session\n"
        "answer = list(Session.objects.filter(kind='work').values_list('bead__key', flat=True))"
    )
    assert len(worked) == len(set(worked)) == 3, "a bead was worked on twice"


def test_a_killed_worker_is_replaced_and_its_work_goes_on(
    loom: Installation, server: ScriptServer, tmp_path: Path
) -> None:
    server.switches.latency = 0.4
    loom.connect(server.url)
    out = tmp_path / "product"
    weave = loom.start("weave", "--json", PRD, "--out", str(out))
    until(partial(has_answered, server, 6))

    for pid in set(lease_owners(loom)):
        with suppress(ProcessLookupError):  # it may have ended by itself meanwhile
            os.kill(pid, signal.SIGKILL)

    check_whole(finish(weave), loom, server, out)


def test_after_kill_9_of_everything_resume_finishes_the_weave(
    loom: Installation, server: ScriptServer, tmp_path: Path
) -> None:
    server.switches.latency = 0.4
    loom.connect(server.url)
    out = tmp_path / "product"
    for calls in (3, 8):
        arguments = ["--resume"] if calls > 3 else []
        weave = loom.start("weave", "--json", PRD, "--out", str(out), *arguments)
        until(partial(has_answered, server, calls))
        kill_everything(weave)
        weave.communicate()
        until(lambda: not processes_of(loom, "manage.py"), seconds=20)

    check_whole(loom.weave(PRD, "--out", str(out), "--resume"), loom, server, out)


def test_ctrl_c_leaves_a_weave_that_resume_finishes(
    loom: Installation, server: ScriptServer, tmp_path: Path
) -> None:
    server.switches.latency = 0.4
    loom.connect(server.url)
    out = tmp_path / "product"
    weave = loom.start("weave", "--json", PRD, "--out", str(out))
    until(partial(has_answered, server, 5))

    weave.send_signal(signal.SIGINT)

    stopped = finish(weave, seconds=40)
    assert stopped.code == 130, stopped.err
    assert "--resume" in stopped.err
    assert not processes_of(loom, "manage.py")
    done = loom.weave("--resume", "--out", str(out))
    check_whole(done, loom, server, out)
    assert asked_twice(server) == 0, "a worker told to stop finishes the step in hand"


def test_a_closed_terminal_ends_a_weave_as_gently_as_ctrl_c(loom: Installation, tmp_path: Path) -> None:
    """The command and its shell are hung up on; what it says then has nowhere to go."""
    master, slave = pty.openpty()
    arguments = [sys.executable, "manage.py", "weave", "--out", str(tmp_path / "product")]
    with (tmp_path / "err").open("w+") as err, os.fdopen(slave, "w") as terminal:
        weave = subprocess.Popen(
            ["setsid", "--ctty", *arguments],
            cwd=ROOT,
            env=loom.env,
            stdin=terminal,
            stdout=terminal,
            stderr=err,
        )
        terminal.close()
        said = b""
        while b"building" not in said:
            said += os.read(master, 65536)
        os.close(master)

        assert weave.wait(60) == 130
        err.seek(0)
        assert "Traceback" not in err.read()
    until(lambda: not processes_of(loom, "manage.py"), seconds=5)

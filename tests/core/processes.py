"""Starting Loom as a person would and looking at the processes it leaves."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def wait_until(condition: Callable[[], object], *, seconds: float = 30.0, what: str = "") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what or condition}")
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def mentioning(mark: str) -> dict[int, str]:
    """Living processes whose command line or environment mentions `mark`: pid to command line."""
    found: dict[int, str] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        pid = int(directory.name)
        try:
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (directory / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if pid != os.getpid() and mark in command + environment and is_alive(pid):
            found[pid] = command
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Running:
    """`manage.py up`, or a script of a test's own, with a data directory of its own."""

    def __init__(self, data_dir: Path, *arguments: str, **environment: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.output = data_dir.with_suffix(f".{self.port}.out")
        env = {key: value for key, value in os.environ.items() if key not in {"LOOM_TEST_RUN", "REDIS_URL"}}
        env |= {"LOOM_DATA_DIR": str(data_dir), "LOOM_PORT": str(self.port), "PYTHONUNBUFFERED": "1"}
        env |= {"DJANGO_SETTINGS_MODULE": "loom_site.settings", "PYTHONPATH": str(ROOT)}
        env.pop("DATABASE_URL", None)
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *(arguments or ("manage.py", "up"))],
                cwd=ROOT,
                env=env | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_for(self, pattern: str, *, seconds: float = 60.0) -> re.Match[str]:
        def is_there() -> bool:
            return re.search(pattern, self.text) is not None or self.process.poll() is not None

        wait_until(is_there, seconds=seconds, what=f"{pattern!r} in the output")
        match = re.search(pattern, self.text)
        if match is None:
            pytest.fail(f"ended with {self.process.returncode} without {pattern!r}:\n{self.text}")
        return match

    def others(self) -> dict[int, str]:
        """Every living process that belongs to it, but for itself."""
        found = mentioning(str(self.data_dir))
        found.pop(self.process.pid, None)
        return found

    def end(self, number: signal.Signals, *, seconds: float = 30.0) -> int:
        os.kill(self.process.pid, number)
        return self.process.wait(seconds)

    def clean(self) -> None:
        """For the end of a test that may have failed: whatever still runs is killed."""
        for pid in [self.process.pid, *self.others()]:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)

"""Runs a plan in a launcher of its own: bounded output, a deadline, and nothing left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from apps.agents.sandbox.plan import Limits, Plan

GRACE = 10.0  # seconds the launcher may take to clean up before it is killed itself
_LAUNCH = "import sys; sys.path.append(sys.argv[1]); import launcher; launcher.run()"
# -I and -S: neither the environment nor site-packages can put anything before the launcher.
LAUNCH = (sys.executable, "-I", "-S", "-c", _LAUNCH, str(Path(__file__).parent))


@dataclass
class Kept:
    """The first and the last of a stream; what lies between is only counted."""

    limit: int
    total: int = 0
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self.limit // 2 - len(self.head)
        self.head += data[: max(room, 0)]
        self.tail += data[max(room, 0) :]
        if len(self.tail) > 2 * self.limit:
            del self.tail[: -self.limit // 2]

    @property
    def truncated(self) -> bool:
        return self.total > self.limit

    def text(self) -> str:
        """UTF-8 as far as it is; NUL is replaced too, since databases refuse it."""
        if not self.truncated:
            raw = bytes(self.head + self.tail)
        else:
            last = bytes(self.tail[-self.limit // 2 :])
            left_out = self.total - len(self.head) - len(last)
            raw = b"%s\n[... %d bytes left out ...]\n%s" % (self.head, left_out, last)
        return raw.decode("utf-8", "replace").replace("\0", "\ufffd")


@dataclass(frozen=True)
class Outcome:
    exit_code: int
    kept: Kept
    duration_ms: int
    timed_out: bool
    flooded: bool
    started: bool


def execute(plan: Plan, *, seconds: float, limits: Limits) -> Outcome:
    """Run the plan to its end or to its deadline; returns when all its processes are gone."""
    began, kept = time.monotonic(), Kept(limits.output)
    process = subprocess.Popen(
        LAUNCH,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
        cwd="/", start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
    ended = False
    try:
        _tell(process, plan.encode())
        ended = _collect(process.stdout.fileno(), kept, began + seconds, limits.flood)
        expired = not ended and kept.total <= limits.flood
    finally:
        _finish(process, kept)
    return Outcome(
        exit_code=process.returncode if process.returncode >= 0 else 128 - process.returncode,
        kept=kept,
        duration_ms=round((time.monotonic() - began) * 1000),
        timed_out=expired,
        flooded=kept.total > limits.flood,
        started=process.returncode != -signal.SIGUSR1,
    )


def _tell(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None  # noqa: S101
    with suppress(BrokenPipeError):  # it died; what it said and how it ended tell why
        process.stdin.write(data)
        process.stdin.flush()


def _collect(source: int, kept: Kept, deadline: float, most: float) -> bool:
    """Read until the end (True), the deadline or `most` bytes (False)."""
    poll = select.poll()
    poll.register(source, select.POLLIN | select.POLLHUP)
    while (left := deadline - time.monotonic()) > 0 and kept.total <= most:
        if poll.poll(left * 1000):
            data = os.read(source, 1 << 16)
            if not data:
                return True
            kept.add(data)
    return False


def _finish(process: subprocess.Popen[bytes], kept: Kept) -> None:
    """Hang up on the launcher, which makes it kill what still runs; then see it gone."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
    with suppress(BrokenPipeError):
        process.stdin.close()
    with process.stdout:
        _collect(process.stdout.fileno(), kept, time.monotonic() + GRACE, float("inf"))
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

"""Runs a plan in a launcher of its own: bounded output, a deadline, and nothing left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from apps.agents.sandbox.plan import Limits, Plan
from apps.agents.sandbox.records import end_marked, reap_now_and_then, record
from apps.agents.sandbox.watch import TICK, Watch
from apps.engine.pacing import outside

GRACE = 10.0  # seconds the launcher may take to clean up before it is killed itself
_LAUNCH = "import sys; sys.path.append(sys.argv[1]); import launcher; launcher.run()"
# -I and -S: neither the environment nor site-packages can put anything before the launcher.
LAUNCH = (sys.executable, "-I", "-S", "-c", _LAUNCH, str(Path(__file__).parent))


@dataclass
class Kept:
    """The first and the last of a stream; what lies between is only counted.

    A secret that lies across the cut would be half shown, so `margin` bytes more are kept on both sides until
    the masking is done.
    """

    limit: int
    total: int = 0
    margin: int = 0
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes) -> None:
        self.total += len(data)
        half = self.limit // 2 + self.margin
        room = max(half - len(self.head), 0)
        self.head += data[:room]
        self.tail += data[room:]
        if len(self.tail) > 4 * half:
            del self.tail[:-half]

    @property
    def truncated(self) -> bool:
        return self.total > self.limit

    def text(self, mask: Callable[[str], str] = str) -> str:
        """UTF-8 as far as it is; NUL is replaced too, since databases refuse it."""
        if self.total <= len(self.head) + len(self.tail):
            return self._cut(mask(_decoded(self.head + self.tail)))
        half, tail = self.limit // 2, self.tail[-(self.limit // 2 + self.margin) :]
        first, last = mask(_decoded(self.head))[:half], mask(_decoded(tail))[-half:]
        return f"{first}\n[... {self.total - 2 * half} bytes left out ...]\n{last}"

    def _cut(self, text: str) -> str:
        if not self.truncated:
            return text
        half = self.limit // 2
        return f"{text[:half]}\n[... {self.total - 2 * half} bytes left out ...]\n{text[-half:]}"


def _decoded(raw: bytes | bytearray) -> str:
    return raw.decode("utf-8", "replace").replace("\0", "\ufffd")


@dataclass(frozen=True)
class Outcome:
    exit_code: int
    kept: Kept
    duration_ms: int
    timed_out: bool
    flooded: bool
    started: bool
    stopped: str = ""  # for passing which limit


def execute(plan: Plan, *, seconds: float, limits: Limits, margin: int = 0) -> Outcome:
    """Run the plan to its end or to its deadline; returns when all its processes are gone."""
    reap_now_and_then()
    began, kept = time.monotonic(), Kept(limits.output, margin=margin)
    process = subprocess.Popen(
        LAUNCH,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
        cwd="/", start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
    listed: Path | None = None
    try:
        listed = record(process.pid, plan.mark, plan.watched)  # a full disk may refuse it
        watch = Watch(process.pid, plan.watched, limits)
        _tell(process, plan.encode())
        with outside():
            ended, stopped = _collect(process.stdout.fileno(), kept, began + seconds, limits.flood, watch)
        expired = not ended and not stopped and kept.total <= limits.flood
    finally:
        _finish(process, kept)
        if process.returncode == -signal.SIGKILL:  # it could not see to its command's end
            end_marked(plan.mark)
        if listed is not None:
            listed.unlink(missing_ok=True)
    return Outcome(
        exit_code=process.returncode if process.returncode >= 0 else 128 - process.returncode,
        kept=kept,
        duration_ms=round((time.monotonic() - began) * 1000),
        timed_out=expired,
        flooded=kept.total > limits.flood,
        started=process.returncode != -signal.SIGUSR1,
        stopped=stopped,
    )


def _tell(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None  # noqa: S101
    with suppress(BrokenPipeError):  # it died; what it said and how it ended tell why
        process.stdin.write(data)
        process.stdin.flush()


def _collect(
    source: int, kept: Kept, deadline: float, most: float, watch: Watch | None = None
) -> tuple[bool, str]:
    """Read until the end (True), or the deadline, `most` bytes, or a limit that was passed (told)."""
    poll = select.poll()
    poll.register(source, select.POLLIN | select.POLLHUP)
    look = time.monotonic() + TICK
    while (left := deadline - time.monotonic()) > 0 and kept.total <= most:
        if poll.poll(min(left, TICK) * 1000):
            data = os.read(source, 1 << 16)
            if not data:
                return True, ""
            kept.add(data)
        if watch is not None and time.monotonic() >= look:
            if passed := watch.passed():
                return False, passed
            look = time.monotonic() + TICK
    return False, ""


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

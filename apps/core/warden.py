"""The process that starts the others, restarts what dies and leaves nothing behind.

It is forked from the command and lives in a session of its own: it has one thread, so forking is always
safe; it adopts orphans, so nothing escapes it; and when the command that started it is gone, even by
`kill -9`, it ends everything below it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import shlex
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import BaseCommand, CommandError

from apps.core.broker import BrokerKeeper
from apps.core.errors import LoomError, Unavailable
from apps.core.fork import fork, spawn
from apps.core.outputs import Output
from apps.core.process import IS_LINUX, adopt_orphans, kill_descendants, reap

TURN_SECONDS = 0.25
RESTARTS_PER_MINUTE = 5
BROKER_WAIT_SECONDS = 15.0
BROKER_RETRY_SECONDS = 5.0
STOP_ORDER = ("beat", "web", "jobs", "worker")


@dataclass
class Child:
    """A line of the Procfile and what became of it."""

    name: str
    command: str
    pid: int | None = None
    start_at: float | None = 0.0  # monotonic; None when it runs or was given up
    deaths: deque[float] = field(default_factory=deque)

    @property
    def management_arguments(self) -> list[str]:
        """The arguments after `python manage.py`, empty for any other program."""
        words = shlex.split(self.command)
        return words[2:] if words[:2] == ["python", "manage.py"] else []

    def died(self, now: float) -> float | None:
        """Note a death; the seconds to wait before the next start, or None when it died too often."""
        self.pid = None
        self.deaths.append(now)
        while self.deaths[0] < now - 60:
            self.deaths.popleft()
        if len(self.deaths) > RESTARTS_PER_MINUTE:
            self.start_at = None
            return None
        delay = 0.0 if len(self.deaths) == 1 else float(2 ** (len(self.deaths) - 2))
        self.start_at = now + delay
        return delay


class Warden:
    """Runs in its own process: `run` returns when everything it started has ended."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        channel: socket.socket,
        keeper: BrokerKeeper,
        output: Output,
        directory: Path,
        stop_seconds: float,
    ) -> None:
        self._children = children
        self._channel = channel
        self._keeper = keeper
        self._output = output
        self._directory = directory
        self._stop_seconds = stop_seconds
        self._front = os.getppid()
        self._is_abandoned = False
        self._is_stopping = False
        self._broker_retry_at = 0.0

    def run(self) -> int:
        adopt_orphans()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: self._ask_to_stop())
        self._channel.setblocking(False)
        try:
            self._begin()
            while not self._is_stopping:
                self._turn()
            self._stop_gently()
        except LoomError as error:
            self._tell("failed", message=error.message, hint=error.hint)
            return 1
        finally:
            kill_descendants(os.getpid(), spare=self._broker_pids())
            self._keeper.stop()
            self._output.pump()
        return 0

    def _begin(self) -> None:
        deadline = time.monotonic() + BROKER_WAIT_SECONDS
        while not self._keeper.ensure():
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"The broker of another Loom on {self._keeper.socket} does not answer.",
                    hint="Stop the other Loom that uses this LOOM_DATA_DIR, then try again.",
                )
            time.sleep(TURN_SECONDS)
        self._preload()
        self._start_due()
        self._tell("running")

    def _preload(self) -> None:
        """Import once what the children need, so that each is ready as soon as it is forked."""
        if not IS_LINUX:
            return
        commands = get_commands()
        for child in self._children:
            if child.management_arguments:
                name = child.management_arguments[0]
                app = commands[name]
                command = app if isinstance(app, BaseCommand) else load_command_class(app, name)
                getattr(command, "preload", bool)()
        gc.collect()
        gc.freeze()  # a collection in a child would otherwise copy every shared page

    def _turn(self) -> None:
        self._listen(TURN_SECONDS)
        for pid, code in reap():
            self._ended(pid, code)
        self._keep_broker()
        if not self._is_stopping:
            self._start_due()

    def _listen(self, seconds: float) -> None:
        """Wait for a word from the command, passing on what the children print."""
        watched: list[socket.socket | int] = [self._channel, *self._output.readers()]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._channel in ready:
            word = b""
            with contextlib.suppress(OSError):
                word = self._channel.recv(64)
            self._ask_to_stop(abandoned=not word)
        if os.getppid() != self._front:
            self._ask_to_stop(abandoned=True)
        self._output.pump()

    def _ask_to_stop(self, *, abandoned: bool = False) -> None:
        self._is_stopping = True
        self._is_abandoned = self._is_abandoned or abandoned

    def _keep_broker(self) -> None:
        if time.monotonic() < self._broker_retry_at:
            return
        try:
            self._keeper.ensure()
        except Unavailable as error:
            self._broker_retry_at = time.monotonic() + BROKER_RETRY_SECONDS
            self._output.note(error.message)
            self._tell("gave_up", name="broker", message=error.message, hint=error.hint)

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.start_at is not None and child.start_at <= now:
                self._start(child)

    def _start(self, child: Child) -> None:
        writer = self._output.open(child.name)
        try:
            arguments = child.management_arguments
            if arguments and IS_LINUX:
                close = [self._channel.fileno(), *self._output.readers()]
                child.pid = fork(
                    f"loom-{child.name}",
                    lambda: self._run_command(arguments),
                    output=writer,
                    bound=True,
                    close=close,
                )
            else:
                words = shlex.split(child.command)
                program = sys.executable if words[0] == "python" else words[0]
                child.pid = spawn([program, *words[1:]], output=writer, directory=self._directory)
        except OSError as error:
            raise Unavailable(
                f"{shlex.split(child.command)[0]} cannot be started: {error.strerror}.",
                hint=f"It is the process {child.name} of the Procfile.",
            ) from error
        finally:
            os.close(writer)
        child.start_at = None
        self._tell("started", name=child.name, pid=child.pid)

    def _run_command(self, arguments: Sequence[str]) -> int:
        self._keeper.forget()
        try:
            call_command(*arguments)
        except (CommandError, LoomError) as error:
            sys.stderr.write(f"Error: {error}\n")
            return 1
        return 0

    def _ended(self, pid: int, code: int) -> None:
        child = next((child for child in self._children if child.pid == pid), None)
        if child is None:
            return
        kill_descendants(os.getpid(), spare=[*self._broker_pids(), *self._pids()])
        delay = child.died(time.monotonic())
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        if delay is None:
            message = (
                f"{child.name} {how} more than {RESTARTS_PER_MINUTE} times in a minute and was given up."
            )
            self._output.note(message)
            self._tell("gave_up", name=child.name, message=message, hint="")
            return
        self._output.note(f"{child.name} {how}; starting it again" + (f" in {delay:.0f} s" if delay else ""))
        self._tell("ended", name=child.name, code=code)

    def _stop_gently(self) -> None:
        """Ask every child to end, in order, and wait; the broker outlives them all."""
        order = {name: place for place, name in enumerate(STOP_ORDER)}
        for child in sorted(self._children, key=lambda child: order.get(child.name, len(order))):
            if child.pid is not None and not self._is_abandoned:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + self._stop_seconds
        while self._pids() and not self._is_abandoned and time.monotonic() < deadline:
            self._listen(0.02)
            for pid, _ in reap():
                for child in self._children:
                    child.pid = None if child.pid == pid else child.pid
        for child in self._children:
            if child.pid is not None and not self._is_abandoned:
                self._output.note(
                    f"{child.name} did not end within {self._stop_seconds:.0f} s; ending it by force"
                )

    def _pids(self) -> list[int]:
        return [child.pid for child in self._children if child.pid is not None]

    def _broker_pids(self) -> Iterable[int]:
        return [self._keeper.pid] if self._keeper.pid is not None else []

    def _tell(self, event: str, **data: object) -> None:
        """A word to the command; lost if it does not listen, since what it must know it asks again."""
        with contextlib.suppress(OSError):
            self._channel.send(json.dumps({"event": event, **data}).encode() + b"\n")

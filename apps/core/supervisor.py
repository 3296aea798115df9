"""The command's side of supervision: start the processes of the Procfile, watch them, end them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from django.conf import settings

from apps.core.broker import BrokerKeeper
from apps.core.errors import BadInput, Unavailable
from apps.core.fork import fork
from apps.core.outputs import FileOutput, Output, TerminalOutput
from apps.core.warden import Child, Warden

START_SECONDS = 60.0
WARDEN_RESTARTS = 3
WORKER = "worker"
LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")


def read_procfile(path: Path) -> dict[str, str]:
    """Name to command, in the file's order."""
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if match is None:
            raise BadInput(f"Line {number} of {path} is not `name: command`.")
        found[match[1]] = match[2]
    return found


class Supervisor:
    """Runs processes of the Procfile and the broker they need.

    Call `start` from the main thread, before other threads exist and outside of any transaction;
    then `poll` now and then, and `stop` at the end. Should this process die without `stop`, all
    that was started is killed.
    """

    def __init__(
        self,
        names: Sequence[str] | None = None,
        *,
        quiet: bool = False,
        log_dir: Path | None = None,
        procfile: Path | None = None,
        stop_seconds: float | None = None,
    ) -> None:
        self._procfile = procfile or Path(settings.BASE_DIR) / "Procfile"
        commands = read_procfile(self._procfile)
        self.names = list(commands if names is None else names)
        if unknown := [name for name in self.names if name not in commands]:
            raise BadInput(f"{self._procfile} has no process {', '.join(unknown)}.")
        self._commands = dict(self._formation(commands))
        self._quiet = quiet
        self.log_dir: Path = log_dir or Path(settings.LOOM_DATA_DIR) / "logs"
        self._stop_seconds = settings.LOOM_STOP_SECONDS if stop_seconds is None else stop_seconds
        self._channel: socket.socket | None = None
        self._warden = 0
        self._warden_deaths = 0
        self._rest = b""
        self._is_running = False
        self.pids: dict[str, int] = {}

    def start(self) -> None:
        """Start everything; returns once the broker answers and every process was started."""
        self._channel, theirs = socket.socketpair()
        self._rest, self._is_running = b"", False
        ours = self._channel
        self._warden = fork(
            "loom-warden",
            lambda: self._guard(theirs),
            output=self._warden_output(),
            bound=False,
            close=[ours.fileno()],
        )
        theirs.close()
        self._await_running()
        ours.setblocking(False)

    def _await_running(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._channel is not None and time.monotonic() < deadline:
            self._channel.settimeout(deadline - time.monotonic())
            self._hear()
            if self._is_running:
                return
        raise Unavailable(
            "The background processes could not be started.", hint=f"See the logs in {self.log_dir}."
        )

    def poll(self) -> None:
        """Look after the processes without waiting. Raises Unavailable when one was given up."""
        if self._channel is not None:
            self._hear()
        if self._channel is None and self._warden:
            self._warden_deaths += 1
            self._collect(0)
            if self._warden_deaths > WARDEN_RESTARTS:
                raise Unavailable(
                    "The supervising process keeps dying.", hint=f"See the logs in {self.log_dir}."
                )
            self.start()

    def stop(self) -> None:
        """End everything in order; returns when nothing is left."""
        if not self._warden:
            return
        if self._channel is not None:
            with contextlib.suppress(OSError):
                self._channel.send(b"stop\n")
        if not self._collect(self._stop_seconds + 15):
            os.kill(self._warden, signal.SIGKILL)  # its children are bound to it and go with it
            self._collect(5)
        self._close()
        self._warden = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _formation(self, commands: dict[str, str]) -> Iterator[tuple[str, str]]:
        """What is started: a process of each name, and of workers as many as there shall be."""
        for name in self.names:
            yield name, commands[name]
            for number in range(2, settings.LOOM_WORKER_PROCESSES + 1 if name == WORKER else 2):
                yield f"{name}{number}", commands[name]

    def _guard(self, channel: socket.socket) -> int:
        warden = Warden(
            [Child(name, command) for name, command in self._commands.items()],
            channel=channel,
            keeper=BrokerKeeper(Path(settings.LOOM_DATA_DIR)),
            output=self._output(),
            directory=self._procfile.parent,
            stop_seconds=self._stop_seconds,
        )
        return warden.run()

    def _output(self) -> Output:
        if self._quiet:
            return FileOutput(self.log_dir)
        color = os.isatty(1) and not os.environ.get("NO_COLOR")
        return TerminalOutput(1, width=max(map(len, [*self._commands, "loom"])), color=color)

    def _warden_output(self) -> int | None:
        return FileOutput(self.log_dir).open("supervisor") if self._quiet else None

    def _hear(self) -> None:
        """Read what the warden tells; closes the channel when it is gone."""
        if self._channel is None:
            return
        try:
            data = self._channel.recv(65536)
        except (BlockingIOError, TimeoutError):
            return
        except OSError:
            data = b""
        if not data:
            self._close()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._learn(json.loads(line))

    def _learn(self, message: dict[str, Any]) -> None:
        match message["event"]:
            case "running":
                self._is_running = True
            case "started":
                self.pids[message["name"]] = message["pid"]
            case "ended":
                self.pids.pop(message["name"], None)
            case "gave_up" | "failed":
                where = (
                    f" Its log is {self.log_dir / message['name']}.log."
                    if self._quiet and "name" in message
                    else ""
                )
                raise Unavailable(message["message"], hint=(message["hint"] + where).strip())

    def _collect(self, seconds: float) -> bool:
        """Wait until the warden has ended; False when it did not in time."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(self._warden, os.WNOHANG) == (0, 0):
                    if time.monotonic() >= deadline:
                        return False
                    time.sleep(0.01)
                    continue
            return True

    def _close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

"""Processes that are measured: they take commands as JSON lines and answer each with a JSON line.

`python -m tests.bench.child [--django] MODULE` is such a process: MODULE's `commands()` names what it can do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
Command = Callable[..., dict[str, Any]]


class CouldNotMeasure(Exception):
    """The benchmark itself failed; the text says where."""


class Child:
    """The measuring side. The process ends with the block. `python` is another environment's interpreter."""

    def __init__(
        self, *arguments: str, env: Mapping[str, str], log: Path, python: str = sys.executable
    ) -> None:
        self.module, self.log = arguments[-1], log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [python, "-m", __name__, *arguments],
                cwd=ROOT,
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def ask(self, command: str, *, seconds: float = 60.0, **arguments: Any) -> dict[str, Any]:
        """Have a command carried out; raises CouldNotMeasure if it fails or takes too long."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(seconds, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(json.dumps([command, arguments]).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            timer.cancel()
        if not line:
            tail = self.log.read_text(errors="replace")[-3000:]
            raise CouldNotMeasure(f"{self.module} did not finish {command!r} within {seconds:g} s:\n{tail}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def main() -> None:
    """The measured side: carry out commands until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever prints does not end up between the answers
    *options, module = sys.argv[1:]
    if "--django" in options:
        import django  # noqa: PLC0415 - those of another environment do without

        django.setup()
    commands: dict[str, Command] = import_module(module).commands()
    for line in sys.stdin:
        command, arguments = json.loads(line)
        answers.write(json.dumps(commands[command](**arguments)) + "\n")


if __name__ == "__main__":
    main()

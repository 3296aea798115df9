"""Where supervised processes print: into one file each, or onto one terminal with a prefix."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Protocol

ROTATE_BYTES = 10 * 1024 * 1024
CHUNK = 65536
COLORS = (36, 33, 32, 35, 34, 31)


class Output(Protocol):
    def open(self, name: str) -> int:
        """A file descriptor for that process to print to; the caller closes it."""

    def note(self, text: str) -> None:
        """A line of the supervisor's own."""

    def readers(self) -> list[int]:
        """The file descriptors on which something to pass on may arrive; a forked process closes them."""

    def pump(self) -> None:
        """Pass on what has been printed since."""


class FileOutput:
    """One log file per process; an old one is kept as `<name>.log.1`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def open(self, name: str) -> int:
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / f"{name}.log"
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > ROTATE_BYTES:
                path.replace(path.with_suffix(".log.1"))
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def note(self, text: str) -> None:
        descriptor = self.open("supervisor")
        with os.fdopen(descriptor, "a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def readers(self) -> list[int]:
        return []  # the processes write their files themselves

    def pump(self) -> None:
        """Nothing to pass on."""


class TerminalOutput:
    """Every line onto one stream, with the process's name before it."""

    def __init__(self, stream: int, *, width: int, color: bool) -> None:
        self._stream = stream
        self._width = width
        self._color = color
        self._rests: dict[int, bytes] = {}
        self._owners: dict[int, str] = {}
        self._names: list[str] = []

    def open(self, name: str) -> int:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        self._owners[reader], self._rests[reader] = name, b""
        return writer

    def note(self, text: str) -> None:
        self._print("loom", text.encode())

    def readers(self) -> list[int]:
        return list(self._owners)

    def pump(self) -> None:
        for reader in self.readers():
            with contextlib.suppress(BlockingIOError):
                self._pass_on(reader, os.read(reader, CHUNK))

    def _pass_on(self, reader: int, data: bytes) -> None:
        name = self._owners[reader]
        *lines, rest = (self._rests[reader] + data).split(b"\n")
        if not data and rest:
            lines.append(rest)
        for line in lines:
            self._print(name, line)
        self._rests[reader] = rest
        if not data:
            os.close(reader)
            del self._owners[reader], self._rests[reader]

    def _print(self, name: str, line: bytes) -> None:
        prefix = f"{name:<{self._width}} | "
        if self._color:
            prefix = f"\x1b[{self._color_of(name)}m{prefix}\x1b[0m"
        with contextlib.suppress(OSError):  # nobody reads any more: the processes go on
            os.write(self._stream, prefix.encode() + line + b"\n")

    def _color_of(self, name: str) -> int:
        if name not in self._names:
            self._names.append(name)
        return COLORS[self._names.index(name) % len(COLORS)]

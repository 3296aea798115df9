"""Compilers that lie outside /usr, as rustup has them: shown inside at places of their own."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ASKED = {"rust": ("rustc", "--print", "sysroot"), "go": ("go", "env", "GOROOT")}
VISIBLE = ("/usr/", "/bin/", "/lib/")
SECONDS = 20.0


@dataclass(frozen=True)
class Toolchain:
    """A directory with a `bin` in it, seen inside as `inside`."""

    path: Path
    inside: str

    @property
    def programs(self) -> str:
        return f"{self.inside}/bin"


@functools.cache
def toolchains() -> tuple[Toolchain, ...]:
    """What the platform's own PATH leads to and the system's directories do not hold."""
    found = []
    for name, command in ASKED.items():
        path = _told(command)
        if path is not None and not str(path).startswith(VISIBLE) and (path / "bin").is_dir():
            found.append(Toolchain(path, f"/opt/{name}"))
    return tuple(found)


@functools.cache
def node_options(path: str) -> str:
    """What lets Node run WebAssembly (`fetch`, Yarn 4, bundlers) within bounds of memory.

    Else it reserves 8 GiB of addresses for each piece of it. Older ones refuse to start with the option.
    """
    told = re.match(r"v(\d+)\.(\d+)", _said(("node", "--version"), path))
    version = (int(told[1]), int(told[2])) if told else (0, 0)
    knows = version >= (22, 2) or (20, 15) <= version < (21, 0)
    return "--disable-wasm-trap-handler" if knows else ""


def _told(command: Sequence[str]) -> Path | None:
    """The compiler itself knows where it lies, whatever starts it."""
    place = Path(_said(command))
    return place.resolve() if place.is_absolute() and place.is_dir() else None


def _said(command: Sequence[str], path: str | None = None) -> str:
    """What the program prints; "" if it is not there or fails."""
    program = shutil.which(command[0], path=path)
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, *command[1:]], cwd="/", capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

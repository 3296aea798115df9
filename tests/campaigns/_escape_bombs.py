"""Attempts to use up what all share: processes, memory, disk, output, descriptors, time."""

# ruff: noqa: E501 - a command is easier to follow on one line

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from apps.agents.sandbox.plan import MIB
from tests.campaigns._escape_room import WIDE, Act, Room, attempt, claimed, python

GROUP = "resources"


def _bomb(name: str, command: str, noticed: Callable[[Room], bool] = claimed, *, timeout: float = 12) -> None:
    """Within tight limits it must fail; the control is the same within wide ones."""

    def act(room: Room) -> None:
        room.run(command, timeout=timeout)

    def control(room: Room) -> None:
        room.limits = WIDE
        room.run(command, timeout=30)

    attempt(name, GROUP, act, noticed, control)


_bomb("processes", python("""
import os, time
children = []
try:
    for _ in range(150):
        pid = os.fork()
        if pid == 0:
            time.sleep(2); os._exit(0)
        children.append(pid)
except OSError: pass
print('ESCAPED' if len(children) > 100 else len(children))
"""))  # fmt: skip
_bomb("threads", python("""
import threading, time
threading.stack_size(65536)
try:
    for _ in range(150): threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
    print('ESCAPED')
except RuntimeError: print('stopped')
"""))  # fmt: skip
_bomb("memory of one process", python("held = bytearray(700 << 20)\nprint('ESCAPED')"))
_bomb(
    "memory of many processes",
    "for i in 1 2 3 4 5; do python -c 'import time; b = bytearray(90 << 20); time.sleep(2)' & done; wait && echo ESCAPED",
)
_bomb("one large file", "head -c 40M /dev/zero > big && echo ESCAPED")
_bomb(
    "many large files",
    "for i in $(seq 12); do head -c 7M /dev/zero > big$i; sleep 0.1; done; sleep 0.5; echo ESCAPED",
)
_bomb(
    "many files",
    python(
        "import time\nfor n in range(6000):\n    open(f'f{n}', 'w').close()\n    if n % 1000 == 0: time.sleep(0.1)\ntime.sleep(0.5); print('ESCAPED')"
    ),
)
_bomb(
    "scratch space",
    "head -c 40M /dev/zero > /tmp/big && echo ESCAPED; head -c 40M /dev/zero > $HOME/big && echo ESCAPED",
)
_bomb("output", "yes 0123456789 | head -c 8M; echo ESCAPED")
_bomb(
    "open files",
    python("import os\nheld = [os.open('a.txt', os.O_RDONLY) for _ in range(1000)]\nprint('ESCAPED')"),
)


def _timed(name: str, command: str) -> None:
    def act(room: Room) -> None:
        room.run(command, timeout=1)

    def control(room: Room) -> None:
        room.run(command, timeout=20)

    attempt(name, GROUP, act, claimed, control)


_timed("time, asleep", "sleep 2; echo ESCAPED")
_timed(
    "time, busy",
    python("import time\nend = time.monotonic() + 2\nwhile time.monotonic() < end: pass\nprint('ESCAPED')"),
)
_timed("time, deaf", "trap '' TERM INT HUP QUIT ALRM; sleep 2; echo ESCAPED")


def _shared_memory(room: Room) -> None:
    room.run("head -c 100M /dev/zero > /dev/shm/big && echo ESCAPED")


def _in_the_worktree(room: Room) -> None:
    room.limits = replace(WIDE, file_size=256 * MIB)
    room.run("head -c 100M /dev/zero > big && echo ESCAPED")


attempt("shared memory", GROUP, _shared_memory, claimed, _in_the_worktree)


def _holds_up(room: Room) -> None:
    """Names that the platform's own walk through the worktree trips over."""
    room.run(
        "mkfifo p; mkdir -p d; cd d; for i in $(seq 60); do mkdir -p x && cd x; done; chmod 000 /work/d; ln -s . /work/l; ln -s /work /work/m"
    )
    began = time.monotonic()
    room.do("search_text", query="nothing-here")
    room.do("read_tree", path=".")
    room.do("read_file", path="p")
    room.do("git_status")
    room.said = "ESCAPED" if time.monotonic() - began > 8 else ""


def _wait_too_long(room: Room) -> None:
    room.said = "ESCAPED"


TRIPS: Act = _holds_up
attempt("pipes, loops and closed directories", GROUP, TRIPS, claimed, _wait_too_long)

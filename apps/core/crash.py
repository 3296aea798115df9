"""Named points at which a test may kill the process, to prove that nothing is lost there."""

from __future__ import annotations

import os
import signal
from collections import Counter

_passed: Counter[str] = Counter()


def crashpoint(name: str) -> None:
    """Die by SIGKILL if LOOM_CRASH_AT names this point: `name`, or `name:3` for the third time it is passed.

    With `=/path/of/marker` behind it, only the process that creates the marker dies.
    """
    wanted = os.environ.get("LOOM_CRASH_AT")
    if not wanted:
        return
    target, _, marker = wanted.partition("=")
    point, _, time = target.partition(":")
    if point != name:
        return
    _passed[name] += 1
    if _passed[name] < int(time or 1):
        return
    if marker:
        try:
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)

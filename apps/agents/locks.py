"""Locks of git in a hub, and those that a killed git left there.

A lock may be of any name: who moves the branch that HEAD names also locks HEAD, who deletes a ref all packed
ones.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

STALE_S = 5.0  # git holds a lock for milliseconds, so an old one belongs to a killed process
PATIENCE_S = 30.0
_POLL_S = 0.02
_COMPLAINT = re.compile(r"'([^'\n]+\.lock)': File exists")


def lock_is_gone(said: str) -> bool:
    """Wait for the lock that git complains of, and remove it if its git was killed; False if of none."""
    match = _COMPLAINT.search(said)
    if match is None:
        return False
    lock = Path(match[1])
    while (age := _age(lock)) is not None:
        if age > STALE_S:
            lock.unlink(missing_ok=True)
        else:
            time.sleep(_POLL_S)
    return True


def _age(file: Path) -> float | None:
    """Seconds since it was written; None if it is not there."""
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return None

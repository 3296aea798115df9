"""Work in a child process that dies at a named point."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Callable
from pathlib import Path

from django.db import connections

ROOT = Path(__file__).resolve().parents[2]
KILLED = -9


def in_child(work: Callable[[], object], *, crash_at: str = "") -> int:
    """Do the work in a forked process; its exit code, -9 if it died at the point."""
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        os.environ["LOOM_CRASH_AT"] = crash_at
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - the last thing this process can say
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def crashpoints(*apps: str) -> set[str]:
    """The points that the code of these apps names."""
    return {
        name
        for app in apps
        for path in (ROOT / "apps" / app).rglob("*.py")
        for name in re.findall(r'crashpoint\("(\w+)"\)', path.read_text(encoding="utf-8"))
    }

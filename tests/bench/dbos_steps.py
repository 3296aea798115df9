"""DBOS at the same work; runs in an environment of its own that has nothing of Loom's."""

from __future__ import annotations

import os
import time
from typing import Any

from dbos import DBOS

from tests.bench.child import Command


@DBOS.step()  # type: ignore[untyped-decorator]
def tick() -> float:
    return time.monotonic()


@DBOS.workflow()  # type: ignore[untyped-decorator]
def ticks(steps: int) -> list[float]:
    return [tick() for _ in range(steps)]


def play(runs: int, steps: int) -> dict[str, Any]:
    """So many workflows at once; when they began, and when each of their steps was at work."""
    began = time.monotonic()
    handles = [DBOS.start_workflow(ticks, steps) for _ in range(runs)]
    return {"began": began, "stamps": [handle.get_result() for handle in handles]}


def commands() -> dict[str, Command]:
    DBOS(
        config={
            "name": "bench",
            "system_database_url": os.environ["DBOS_SYSTEM_DATABASE_URL"],
            "run_admin_server": False,
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    return {"play": play}

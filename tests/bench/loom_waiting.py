"""The measured side of waiting runs: thousands that sleep or wait for a signal, one real worker and beat."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from django.core.management import call_command
from django.db import connections

from apps.core.supervisor import Supervisor
from apps.engine.flow import flow, sleep_until, wait_for
from apps.engine.models import Run
from apps.engine.services import Start, run_signal, runs_start
from tests.bench.child import Command

AT_ONCE = 500  # runs started in one transaction


@flow("bench.sleeper")
def sleeper(wake: str) -> float:
    """How many seconds late it woke."""
    moment = datetime.fromisoformat(wake)
    sleep_until(moment)
    return time.time() - moment.timestamp()


@flow("bench.listener")
def listener() -> float:
    told = wait_for("go") or {}
    return time.time() - float(told["at"])


class Site:
    def __init__(self) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        connections.close_all()
        self.supervisor = Supervisor(["worker", "beat"], quiet=True)
        self.supervisor.start()

    def sleepers(self, moments: list[str]) -> dict[str, Any]:
        starts = [Start(f"sleeper:{number}", {"wake": moment}) for number, moment in enumerate(moments)]
        return self._start("bench.sleeper", starts)

    def listeners(self, count: int) -> dict[str, Any]:
        return self._start("bench.listener", [Start(f"listener:{number}", {}) for number in range(count)])

    def _start(self, name: str, starts: list[Start]) -> dict[str, Any]:
        for first in range(0, len(starts), AT_ONCE):
            runs_start(flow=name, starts=starts[first : first + AT_ONCE])
        return {}

    def counts(self, name: str) -> dict[str, Any]:
        """How many runs are in which state."""
        states = Run.objects.filter(flow=name).order_by().values_list("status", flat=True)
        return {status: states.filter(status=status).count() for status in Run.Status.values}

    def signal(self) -> dict[str, Any]:
        """Tell every listener, one after the other."""
        for run_id in Run.objects.filter(flow="bench.listener").values_list("pk", flat=True):
            run_signal(run_id=run_id, name="go", data={"at": time.time()})
        return {}

    def late(self, name: str) -> dict[str, Any]:
        return {"late": list(Run.objects.filter(flow=name, status="done").values_list("output", flat=True))}

    def stop(self) -> dict[str, Any]:
        connections.close_all()
        self.supervisor.stop()
        return {}


def commands() -> dict[str, Command]:
    site = Site()
    names = ("sleepers", "listeners", "counts", "signal", "late", "stop")
    return {name: getattr(site, name) for name in names}

"""Whether thousands of waiting runs cost no worker and wake on time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.bench import rivals
from tests.bench.child import Child, CouldNotMeasure
from tests.bench.figures import Figure, percentile, skipped, spread

RUNS = 10_000
WINDOW_S = 180.0  # over which their moments are spread
BEGIN_S = 240.0  # until then all have come to their wait
TOLD = 2_000  # that wait for a signal, and are all told at once
LATE_TARGET_S = 2.0
SECONDS = 900.0


def measure(env: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    try:
        rivals.services_need(env)
    except rivals.Missing as missing:
        return {name: skipped(str(missing)) for name in ("waiting_held", "waiting_late_p99")}
    log = Path(env["LOOM_DATA_DIR"]) / "waiting.log"
    with Child("--django", "tests.bench.loom_waiting", env=env, log=log) as site:
        site.ask("listeners", seconds=SECONDS, count=TOLD)
        until_state(site, "bench.listener", "waiting", TOLD)
        first = datetime.now(UTC) + timedelta(seconds=BEGIN_S)
        step = timedelta(seconds=WINDOW_S / RUNS)
        moments = [(first + number * step).isoformat() for number in range(RUNS)]
        site.ask("sleepers", seconds=SECONDS, moments=moments)
        until_state(site, "bench.sleeper", "waiting", RUNS)
        held = site.ask("counts", seconds=SECONDS, name="bench.sleeper")["running"]
        if datetime.now(UTC) > first:
            raise CouldNotMeasure(f"{RUNS} runs did not come to their wait within {BEGIN_S:g} s.")
        until_state(site, "bench.sleeper", "done", RUNS)
        late = site.ask("late", seconds=SECONDS, name="bench.sleeper")["late"]
        site.ask("signal", seconds=SECONDS)
        until_state(site, "bench.listener", "done", TOLD)
        told = site.ask("late", seconds=SECONDS, name="bench.listener")["late"]
        site.ask("stop")
    return figures(held, late, told)


def until_state(site: Child, name: str, state: str, count: int) -> None:
    until = time.monotonic() + SECONDS
    while (counts := site.ask("counts", seconds=SECONDS, name=name))[state] < count:
        if time.monotonic() > until:
            raise CouldNotMeasure(f"Of {count} runs of {name} not all are {state}: {counts}.")
        time.sleep(0.5)


def figures(held: int, late: list[float], told: list[float]) -> dict[str, dict[str, Any]]:
    holding = Figure(value=held, target=0, unit=f"workers' threads held by {RUNS} waiting runs", samples=RUNS)
    waking = Figure(
        value=round(percentile(late, 0.99), 3),
        target=LATE_TARGET_S,
        unit=f"s late, p99 of {RUNS} runs that wake within {WINDOW_S:g} s",
        samples=len(late),
        details={"late_s": spread(late), f"{TOLD}_signaled_at_once_s": spread(told)},
    )
    return {"waiting_held": holding.dump(), "waiting_late_p99": waking.dump()}

"""Server time and size of pages at 1,000 beads and 50 agents, beside an empty page; weight of the scripts."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from apps.core.broker import BrokerKeeper
from tests.bench.child import ROOT, Child
from tests.bench.figures import Figure

TARGET_MS, TARGET_BYTES, TARGET_SCRIPT_BYTES = 50.0, 100_000, 60_000
WARM_UP = 2
LIMITS = {"LOOM_RATE_PER_USER": "1000000000", "LOOM_RATE_PER_ADDRESS": "1000000000"}  # counted, not refused


def measure(env: Mapping[str, str], *, rounds: int) -> dict[str, dict[str, Any]]:
    keeper = BrokerKeeper(Path(env["LOOM_DATA_DIR"]))
    keeper.ensure()
    try:
        played = _play({**env, **LIMITS}, max(3, rounds))
    finally:
        keeper.stop()
    times = {page: median(one["pages"][page][0] for one in played) for page in played[0]["pages"]}
    sizes = {page: size for page, (_, size) in played[-1]["pages"].items()}
    empty = median(one["empty"] for one in played)
    slowest, largest = max(times, key=times.__getitem__), max(sizes, key=sizes.__getitem__)
    return {
        "page_time": Figure(
            value=round(times[slowest], 1),
            target=TARGET_MS,
            unit="ms of processor of the slowest page, 1,000 beads and 50 agents",
            samples=len(played),
            details={
                "slowest": slowest,
                "empty_page_ms": round(empty, 1),
                "ratio_to_empty": round(times[slowest] / empty, 1),
                "ms": {page: round(took, 1) for page, took in sorted(times.items(), key=lambda one: -one[1])},
            },
        ).dump(),
        "page_size": Figure(
            value=sizes[largest],
            target=TARGET_BYTES,
            unit="bytes of the HTML of the largest page",
            samples=len(sizes),
            details={"largest": largest, "bytes": dict(sorted(sizes.items(), key=lambda one: -one[1])[:8])},
        ).dump(),
        "script_size": Figure(
            value=script_bytes(),
            target=TARGET_SCRIPT_BYTES,
            unit="bytes of all JavaScript, gzipped",
            samples=1,
        ).dump(),
    }


def _play(env: Mapping[str, str], rounds: int) -> list[dict[str, Any]]:
    log = Path(env["LOOM_DATA_DIR"]) / "pages.log"
    with Child("--django", "tests.bench.loom_pages", env=env, log=log) as site:
        return [site.ask("play", seconds=180) for _ in range(WARM_UP + rounds)][WARM_UP:]


def script_bytes() -> int:
    scripts = [*ROOT.glob("static/js/*.js"), *ROOT.glob("static/vendor/*.js")]
    return sum(len(gzip.compress(script.read_bytes())) for script in scripts)

"""Numbers of the benchmark: what was measured, what was wanted, on what."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Figure:
    """`value` is to be at most `target`, or at least if `least`; `aim` is what we would like."""

    value: float
    target: float
    unit: str
    samples: int
    aim: float | None = None
    least: bool = False
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.value >= self.target if self.least else self.value <= self.target

    def dump(self) -> dict[str, Any]:
        return {**{key: value for key, value in asdict(self).items() if value is not None}, "ok": self.ok}


def skipped(reason: str) -> dict[str, Any]:
    """Stands where a figure would: nothing was measured, so nothing was missed either."""
    return {"skipped": reason, "ok": None}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all are at most as large as."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -(-int(share * len(ordered) * 1000) // 1000) - 1))]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and the ends, rounded for reading."""
    return {
        "median": round(median(values), 3),
        "p99": round(percentile(values, 0.99), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def environment() -> dict[str, Any]:
    url = os.environ.get("DATABASE_URL", "")
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
        "database": url.partition(":")[0] or "sqlite",
        "broker": "redis" if os.environ.get("REDIS_URL") else "embedded",
        "load_before": round(os.getloadavg()[0], 2),
    }

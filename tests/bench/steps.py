"""Durable steps per second on PostgreSQL: Loom beside a bare insert and commit, DBOS and a Celery chain.

All sides play in each round, one after the other, since only what was measured at the same time compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import rivals
from tests.bench.child import Child
from tests.bench.figures import Figure, percentile, skipped

STEPS = 20
ALONE, CROWD = 1, 100
ALONE_TIMES = 5  # runs one after the other, for a round of single runs
RATIO_TARGET, P50_TARGET_MS = 4.0, 1.5
SECONDS = 180.0
SIDES = ("loom", "dbos", "celery_chain", "bare")


@dataclass
class Tally:
    """Of one side at one size: steps per second of each round, milliseconds between steps of a run."""

    rates: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)

    def add(self, plays: list[dict[str, Any]]) -> None:
        seconds = steps = 0.0
        for play in plays:
            seconds += max(stamps[-1] for stamps in play["stamps"]) - play["began"]
            steps += sum(map(len, play["stamps"]))
            for stamps in play["stamps"]:
                self.gaps += [1000 * (later - earlier) for earlier, later in pairwise(stamps)]
        self.rates.append(steps / seconds)

    def summary(self) -> dict[str, Any]:
        return {
            "steps_per_s": round(median(self.rates)),
            "per_round": [round(rate) for rate in self.rates],
            "p50_ms": round(percentile(self.gaps, 0.5), 3),
            "p99_ms": round(percentile(self.gaps, 0.99), 3),
        }


Tallies = dict[tuple[str, int], Tally]


def measure(env: Mapping[str, str], *, rounds: int) -> dict[str, dict[str, Any]]:
    try:
        rivals.services_need(env, broker=True)
        python = rivals.python()
    except rivals.Missing as missing:
        return {name: skipped(str(missing)) for name in ("steps_alone", "steps_crowd", "step_gap_alone_p50")}
    with ExitStack() as stack:
        sides = {name: stack.enter_context(side) for name, side in children(env, python).items()}
        tallies = play_rounds(sides, rounds)
        sides["loom"].ask("stop")
    alone = tallies["loom", ALONE]
    gap = Figure(
        value=round(percentile(alone.gaps, 0.5), 3),
        target=P50_TARGET_MS,
        unit="ms from one durable step to the next, one run",
        samples=len(alone.gaps),
    )
    return {
        "steps_alone": figure(tallies, ALONE).dump(),
        "steps_crowd": figure(tallies, CROWD).dump(),
        "step_gap_alone_p50": gap.dump(),
    }


def children(env: Mapping[str, str], python: str) -> dict[str, Child]:
    logs = Path(env["LOOM_DATA_DIR"])
    rival = {
        **env,
        "DBOS_SYSTEM_DATABASE_URL": env["DATABASE_URL"].replace("postgres://", "postgresql://", 1),
    }

    def child(*arguments: str, python: str | None = None) -> Child:
        log = logs / f"{arguments[-1].rpartition('.')[2]}.log"
        more = {"python": python} if python else {}
        return Child(*arguments, env=rival, log=log, **more)

    return {
        "loom": child("--django", "tests.bench.loom_steps"),
        "dbos": child("tests.bench.dbos_steps", python=python),
        "celery_chain": child("tests.bench.celery_steps"),
        "bare": child("tests.bench.bare_steps"),
    }


def play_rounds(sides: Mapping[str, Child], rounds: int) -> Tallies:
    """The first round only warms up; then the order turns from round to round."""
    tallies: Tallies = {(name, size): Tally() for name in SIDES for size in (ALONE, CROWD)}
    for number in range(rounds + 1):
        turned = SIDES[number % len(SIDES) :] + SIDES[: number % len(SIDES)]
        for size, times in ((ALONE, ALONE_TIMES), (CROWD, 1)):
            for name in turned:
                plays = [
                    sides[name].ask("play", seconds=SECONDS, runs=size, steps=STEPS) for _ in range(times)
                ]
                if number:
                    tallies[name, size].add(plays)
    return tallies


def figure(tallies: Tallies, size: int) -> Figure:
    """How many times as many steps as DBOS: the median of the rounds' ratios."""
    rates = {name: tallies[name, size].rates for name in SIDES}
    ratios = [ours / theirs for ours, theirs in zip(rates["loom"], rates["dbos"], strict=True)]
    floor = [ours / bare for ours, bare in zip(rates["loom"], rates["bare"], strict=True)]
    return Figure(
        value=round(median(ratios), 2),
        target=RATIO_TARGET,
        least=True,
        unit=f"durable steps per second, {size} concurrent runs of {STEPS} trivial steps: Loom / DBOS",
        samples=len(ratios),
        details={
            "per_round": [round(ratio, 2) for ratio in ratios],
            "of_bare_insert_and_commit": round(median(floor), 3),
            **{name: tallies[name, size].summary() for name in SIDES},
        },
    )

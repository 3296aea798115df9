"""`make bench`: ratios and latencies of Loom, measured in one run and printed as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bench import api, pages, ready, replies, sessions, sse, steps, turns, waiting
from tests.bench.child import CouldNotMeasure
from tests.bench.figures import environment
from tests.e2e.weaves import installation

PARTS: dict[str, Callable[[Mapping[str, str], int], dict[str, Any]]] = {
    "turns": lambda env, rounds: turns.measure(env, rounds=rounds, turns=50, long_sessions=3),
    "ready": lambda env, rounds: ready.measure(env, rounds=rounds, singles=20),
    "steps": lambda env, rounds: steps.measure(env, rounds=rounds),
    "waiting": lambda env, _: waiting.measure(env),
    "replies": lambda _, rounds: replies.measure(rounds=rounds),
    "api": lambda env, rounds: api.measure(env, rounds=rounds),
    "pages": lambda env, rounds: pages.measure(env, rounds=rounds),
    "sessions": lambda env, _: sessions.measure(env),
    "sse": lambda env, rounds: sse.measure(env, rounds=min(rounds, 3)),
}


def main() -> int:
    given = arguments()
    began = time.monotonic()
    result: dict[str, Any] = {"environment": environment()}
    try:
        result["figures"] = measure(given)
    except CouldNotMeasure as trouble:
        print(f"bench: {trouble}", file=sys.stderr)
        return 2
    result["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(result, indent=2))
    missed = [name for name, figure in result["figures"].items() if figure["ok"] is False]
    return 1 if given.check and missed else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--only", choices=PARTS, help="measure one part")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of both sides (default: 5)")
    return parser.parse_args()


def measure(given: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="loom-bench-") as place:
        for name, part in PARTS.items():
            if given.only in (None, name):
                with installation(Path(place) / name) as loom:
                    loom.connect("")
                    figures |= part(loom.env, given.rounds)
    return figures


if __name__ == "__main__":
    sys.exit(main())

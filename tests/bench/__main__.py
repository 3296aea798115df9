"""`make bench`: ratios and latencies of Loom, measured in one run and printed as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import ready, turns
from tests.bench.child import CouldNotMeasure
from tests.bench.figures import environment
from tests.e2e.weaves import installation


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
    missed = [name for name, figure in result["figures"].items() if not figure["ok"]]
    return 1 if given.check and missed else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--only", choices=["turns", "ready"], help="measure one part")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of both sides (default: 5)")
    return parser.parse_args()


def measure(given: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="loom-bench-") as place:
        if given.only != "ready":
            with installation(Path(place) / "turns") as loom:
                loom.connect("")
                figures |= turns.measure(loom.env, rounds=given.rounds, turns=50, long_sessions=3)
        if given.only != "turns":
            with installation(Path(place) / "ready") as loom:
                loom.connect("")
                figures |= ready.measure(loom.env, rounds=given.rounds, singles=20)
    return figures


if __name__ == "__main__":
    sys.exit(main())

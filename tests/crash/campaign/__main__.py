"""`python -m tests.crash.campaign --kills 500 --database postgres`: see docs/crash.md."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.crash.campaign.databases import Cluster
from tests.crash.dying import ROOT
from tests.templates import sqlite_copy

LEASE = 8.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make crash", description="Attack bead flows and audit what remains."
    )
    parser.add_argument("--seed", type=int, default=None, help="repeats the dice, though not the timing")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--lease", type=float, default=LEASE, help="seconds a silent worker keeps its runs")
    parser.add_argument("--minutes", type=float, default=40.0, help="gives up after so long")
    parser.add_argument("--keep", action="store_true", help="keep the data directory and its logs")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    place = Path(tempfile.mkdtemp(prefix="loom-crash-"))
    place.chmod(0o711)  # the database's own user passes through
    passed = False
    with contextlib.ExitStack() as stack:
        cluster = Cluster(place / "postgres") if given.database == "postgres" else None
        if cluster is not None:
            stack.callback(cluster.stop)
            cluster.start()
        prepare(place / "loom", cluster, lease=given.lease)
        server, url = start_model(place / "journal", seed)
        stack.callback(server.wait)
        stack.callback(server.kill)

        from tests.crash.campaign.play import Plan, play  # noqa: PLC0415 - needs the environment

        plan = Plan(
            place, url, cluster, seed, given.kills, given.minutes * 60, spare=(os.getpid(), server.pid)
        )
        report = play(plan)
        passed = report["passed"]
        print(json.dumps(report, indent=2), flush=True)
    if given.keep or not passed:
        print(f"Everything is kept in {place}.", file=sys.stderr)
    else:
        shutil.rmtree(place, ignore_errors=True)
    return 0 if passed else 1


def prepare(data: Path, cluster: Cluster | None, *, lease: float) -> None:
    """The environment of an installation of its own; before Django is imported."""
    for name in [name for name in os.environ if name.startswith("LOOM_") or name.endswith("_API_KEY")]:
        del os.environ[name]
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    scratch = data.parent / "tmp"
    scratch.mkdir(mode=0o711)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "loom_site.settings",
        "LOOM_DATA_DIR": str(data),
        "LOOM_DETECT_LOCAL": "off",
        "LOOM_LEASE_SECONDS": str(lease),
        "LOOM_WORKER_THREADS": "4",
        "TMPDIR": str(scratch),
    }
    tempfile.tempdir = None
    if cluster is not None:
        os.environ["DATABASE_URL"] = cluster.url
    else:
        sqlite_copy(data / "loom.sqlite3")
    import django  # noqa: PLC0415 - reads the environment

    django.setup()


def start_model(journal: Path, seed: int) -> tuple[subprocess.Popen[str], str]:
    """The model's process, and its address."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.campaign.model", str(journal), str(seed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert server.stdout is not None
    return server, server.stdout.readline().strip()


if __name__ == "__main__":
    sys.exit(main())

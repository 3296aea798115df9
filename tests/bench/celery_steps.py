"""The side of a Celery chain: a prefork worker with a process per processor, Redis, no results kept."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import time
from typing import Any

from tests.bench import celery_chain
from tests.bench.child import ROOT, Command

WAIT_SECONDS = 120


def play(runs: int, steps: int) -> dict[str, Any]:
    """So many chains at once; when they began, and when each of their tasks was at work."""
    began = time.monotonic()
    for _ in range(runs):
        celery_chain.start(steps)
    stamps = []
    for _ in range(runs):
        found = celery_chain.store.blpop([celery_chain.DONE], timeout=WAIT_SECONDS)
        assert found is not None, "the chains do not end"
        stamps.append(json.loads(found[1]))
    return {"began": began, "stamps": stamps}


def end(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    worker.wait(20)


def commands() -> dict[str, Command]:
    celery_chain.store.delete(celery_chain.DONE, "bench:bench-chain")
    words = ["worker", "--loglevel=WARNING", f"--concurrency={os.cpu_count()}", "--without-gossip"]
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tests.bench.celery_chain", *words, "--without-mingle"],
        cwd=ROOT,
    )
    atexit.register(end, worker)
    return {"play": play}

"""The floor of durable steps: psycopg inserts a row and commits, and nothing else."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import psycopg

from tests.bench.child import Command

THREADS = 16
TABLE = (
    "CREATE TABLE IF NOT EXISTS bare_step (run_id bigint, seq int, output float8, PRIMARY KEY (run_id, seq))"
)
INSERT = "INSERT INTO bare_step (run_id, seq, output) VALUES (%s, %s, %s)"


class Bare:
    def __init__(self) -> None:
        self.free: SimpleQueue[psycopg.Connection] = SimpleQueue()
        for _ in range(THREADS):
            self.free.put(psycopg.connect(os.environ["DATABASE_URL"]))
        connection = self.free.get()
        connection.execute(TABLE)
        connection.commit()
        self.free.put(connection)
        self.pool = ThreadPoolExecutor(THREADS)
        self.last_run = 0

    def play(self, runs: int, steps: int) -> dict[str, Any]:
        """So many runs at once; when they began, and when each of their steps was at work."""
        first, self.last_run = self.last_run + 1, self.last_run + runs
        began = time.monotonic()
        numbers = range(first, self.last_run + 1)
        return {"began": began, "stamps": list(self.pool.map(lambda run: self._run(run, steps), numbers))}

    def _run(self, run: int, steps: int) -> list[float]:
        connection = self.free.get()
        stamps = []
        for seq in range(steps):
            stamps.append(time.monotonic())
            connection.execute(INSERT, (run, seq, stamps[-1]))
            connection.commit()
        self.free.put(connection)
        return stamps


def commands() -> dict[str, Command]:
    return {"play": Bare().play}

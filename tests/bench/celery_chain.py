"""A Celery chain at the same work: its application, which the worker of `celery_steps` imports too."""

from __future__ import annotations

import json
import os
import time

import redis
from celery import Celery, chain

REDIS_URL = os.environ["REDIS_URL"]
DONE = "bench-chain-done"

app = Celery("tests.bench.celery_chain", broker=REDIS_URL)
app.conf.update(
    task_default_queue="bench-chain",
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"global_keyprefix": "bench:"},
)
store: redis.Redis = redis.from_url(REDIS_URL, socket_timeout=300)


@app.task
def tick(stamps: list[float], steps: int) -> list[float]:
    stamps.append(time.monotonic())
    if len(stamps) == steps:
        store.rpush(DONE, json.dumps(stamps))
    return stamps


def start(steps: int) -> None:
    chain(tick.s([], steps), *[tick.s(steps) for _ in range(steps - 1)]).apply_async()

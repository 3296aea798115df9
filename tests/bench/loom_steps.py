"""The measured side of durable steps: a flow of trivial steps on the real worker and broker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import redis
from django.core.management import call_command
from django.db import connections

from apps.core.pubsub import broker_named
from apps.core.supervisor import Supervisor
from apps.engine.flow import flow, step
from apps.engine.models import Run
from apps.engine.services import Start, runs_start
from apps.events.bus import CHANNEL
from tests.bench.child import Command

LOOK_EVERY_S = 0.25  # should a message be lost
WAIT_SECONDS = 120.0


@flow("bench.ticks")
def ticks(steps: int) -> list[float]:
    return [step(tick) for _ in range(steps)]


def tick() -> float:
    return time.monotonic()


class Site:
    def __init__(self) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        connections.close_all()
        self.supervisor = Supervisor(["worker", "beat"], quiet=True)
        self.supervisor.start()
        self.number = 0
        # As readers of streams hear of what happens. Who looks again and again disturbs a run or, between two
        # looks, lets the processors fall asleep, which the other sides never do.
        url, prefix = broker_named()
        client: Any = redis.Redis.from_url(url)
        self.events = client.pubsub(ignore_subscribe_messages=True)
        self.events.subscribe(prefix + CHANNEL)

    def play(self, runs: int, steps: int) -> dict[str, Any]:
        """So many runs at once; when they began, and when each of their steps was at work."""
        self.number += 1
        starts = [Start(f"ticks:{self.number}:{number}", {"steps": steps}) for number in range(runs)]
        began = time.monotonic()
        started = runs_start(flow="bench.ticks", starts=starts)
        return {"began": began, "stamps": self._stamps([run.pk for run in started])}

    def _stamps(self, run_ids: Sequence[int]) -> list[list[float]]:
        """What the runs returned once all are done."""
        until = time.monotonic() + WAIT_SECONDS
        mine = Run.objects.filter(pk__in=run_ids)
        while True:
            self.events.get_message(timeout=LOOK_EVERY_S)
            if not mine.unfinished().exists():
                break
            assert time.monotonic() < until, "the runs do not end"
        assert not mine.exclude(status=Run.Status.DONE).exists(), "a run failed"
        return list(mine.values_list("output", flat=True))

    def stop(self) -> dict[str, Any]:
        connections.close_all()
        self.supervisor.stop()
        return {}


def commands() -> dict[str, Command]:
    site = Site()
    return {"play": site.play, "stop": site.stop}

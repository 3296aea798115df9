"""How long a bead that became ready waits for its first model request, through the real worker and broker."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.child import Child, CouldNotMeasure
from tests.bench.figures import Figure, percentile, spread
from tests.bench.model_server import ModelServer, completion

P50_TARGET_MS, P99_TARGET_MS = 50.0, 250.0
AT_ONCE = 50
TITLE = re.compile(rb"# Task: work\\nTitle: (.+?)\\n")
START_SECONDS = 60.0  # for the worker to come up
WAIT_SECONDS = 30.0
REST_SECONDS = 0.5


class FirstRequests:
    """A model that thinks until it is released; remembers when each bead's first request came."""

    def __init__(self) -> None:
        self.came: dict[str, float] = {}

    def answer(self, body: bytes) -> bytes | None:
        received = time.monotonic()
        if found := TITLE.search(body):
            self.came.setdefault(found[1].decode(), received)
        return None

    def wait(self, titles: Sequence[str], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not all(title in self.came for title in titles):
            if time.monotonic() > until:
                missing = [title for title in titles if title not in self.came]
                raise CouldNotMeasure(f"No request for {len(missing)} of {len(titles)} beads: {missing[:3]}.")
            time.sleep(0.02)


class Rounds:
    """Plays rounds of beads that become ready at the same moment."""

    def __init__(self, site: Child, server: ModelServer, model: FirstRequests) -> None:
        self.site, self.server, self.model = site, server, model

    def play(self, beads: int, seconds: float = WAIT_SECONDS) -> list[float]:
        """Milliseconds that each bead of a new project waited."""
        titles = self.site.ask("plan", beads=beads, sessions=AT_ONCE)["titles"]
        time.sleep(REST_SECONDS)
        ready = self.site.ask("open")["ready"]
        self.model.wait(titles, seconds)
        self._end()
        return [1000 * (self.model.came[title] - ready) for title in titles]

    def _end(self) -> None:
        """Cancel the runs and let the model say something, so that they notice; until all are gone."""
        until = time.monotonic() + WAIT_SECONDS
        while self.site.ask("cancel")["unfinished"]:
            self.server.release(completion("read_tree", {}, request_bytes=400, number=0))
            if time.monotonic() > until:
                raise CouldNotMeasure("The runs of the benchmark do not end.")
            time.sleep(0.1)


def measure(env: Mapping[str, str], *, rounds: int, singles: int) -> dict[str, dict[str, Any]]:
    model = FirstRequests()
    with ModelServer(model.answer) as server:
        own = {**env, "LOOM_PROVIDER_URL": server.url, "LOOM_MAX_SESSIONS": str(AT_ONCE)}
        log = Path(env["LOOM_DATA_DIR"]) / "ready.log"
        with Child("--django", "tests.bench.loom_ready", env=own, log=log) as site:
            party = Rounds(site, server, model)
            party.play(1, START_SECONDS)
            alone = [wait for _ in range(singles) for wait in party.play(1)]
            crowds = [party.play(AT_ONCE) for _ in range(rounds)]
            site.ask("stop")
    crowd, single = f"{AT_ONCE} at once", "one at a time"
    return {
        "ready_to_request_p50": figure(crowds, 0.5, P50_TARGET_MS, crowd),
        "ready_to_request_p99": figure(crowds, 0.99, P99_TARGET_MS, crowd),
        "ready_to_request_alone_p50": figure([alone], 0.5, P50_TARGET_MS, single),
        "ready_to_request_alone_p99": figure([alone], 0.99, P99_TARGET_MS, single),
    }


def figure(rounds: Sequence[Sequence[float]], share: float, target: float, how: str) -> dict[str, Any]:
    each = [wait for waits in rounds for wait in waits]
    return Figure(
        value=round(percentile(each, share), 2),
        target=target,
        unit=f"ms from the commit that makes a bead ready to its first model request, {how}",
        samples=len(each),
        details={"all": spread(each), "per_round": [round(percentile(waits, share), 1) for waits in rounds]},
    ).dump()

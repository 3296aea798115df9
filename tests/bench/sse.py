"""A thousand readers of the event stream on one web process, events coming from another process.

The floor, a bare in-memory Starlette broadcaster, plays in the same rounds, since only what was measured at
the same time compares.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import rivals
from tests.bench.child import ROOT, Child, CouldNotMeasure
from tests.bench.figures import Figure, skipped
from tests.core.processes import free_port

CLIENTS = 1000
PACED, PACE_S = 60, 0.1
BURSTS, BURST = 2, 500
QUIET_S = 20.0  # that a burst may take at most
RATE_TARGET, LATENCY_TARGET = 0.5, 2.0
MEMORY_TARGET_KB = 100.0
SECONDS = 180.0
FLOOR = "floor"
STREAM = "/api/v1/events/stream?type=bench.*"


@dataclass
class Side:
    """Who is measured: where its stream is, and how to have events told."""

    port: int
    path: str
    tell: Callable[[int, int, float], list[float]]
    memory: Callable[[], dict[str, Any]]
    cookie: str = ""
    rates: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)
    p50s: list[float] = field(default_factory=list)
    memories: list[float] = field(default_factory=list)
    threads: int = 0
    lost: int = 0
    told: int = 0

    def summary(self) -> dict[str, Any]:
        return {
            "deliveries_per_s": round(median(self.rates)),
            "p50_ms": round(1000 * median(self.p50s), 1),
            "p99_ms": round(1000 * median(self.p99s), 1),
            "kb_per_client": round(median(self.memories), 1),
            "threads": self.threads,
            "lost": self.lost,
        }


def measure(env: Mapping[str, str], *, rounds: int) -> dict[str, dict[str, Any]]:
    with ExitStack() as stack:
        try:
            sides = _sides(env, stack)
        except rivals.Missing as missing:
            return {"sse_rate": skipped(str(missing))}
        log = Path(env["LOOM_DATA_DIR"]) / "sse_clients.log"
        for number in range(rounds):
            names = list(sides)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                with Child("tests.bench.sse_clients", env=env, log=log) as crowd:
                    play(sides[name], crowd)
    return {key: figure for name in sides if name != FLOOR for key, figure in _figures(sides, name)}


def play(side: Side, crowd: Child) -> None:
    before = side.memory()["rss"]
    asked = {"port": side.port, "path": side.path, "cookie": side.cookie, "count": CLIENTS}
    crowd.ask("connect", seconds=SECONDS, **asked)
    time.sleep(1.0)
    after = side.memory()
    side.memories.append((after["rss"] - before) / 1024 / CLIENTS)
    side.threads = after.get("threads", 0)
    paced = _told(side, crowd, PACED, PACE_S)
    side.p50s.append(paced["took"]["p50"])
    side.p99s.append(paced["took"]["p99"])
    for _ in range(BURSTS):
        burst = _told(side, crowd, BURST, 0.0)
        side.rates.append(burst["deliveries"] / (burst["last"] - burst["began"]))
    crowd.ask("close")
    time.sleep(1.0)


def _told(side: Side, crowd: Child, count: int, rest: float) -> dict[str, Any]:
    crowd.ask("begin")
    began, first = time.time(), side.told
    sent = side.tell(first, count, rest)
    side.told += count
    crowd.ask("wait", seconds=SECONDS, frames=count, patience=QUIET_S)
    report = crowd.ask("report", seconds=SECONDS, sent=sent, first=first)
    side.lost += report["lost"]
    return {**report, "began": began}


def _figures(sides: dict[str, Side], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    floor, loom = sides[FLOOR].summary(), sides[name].summary()
    details = {"loom": loom, "floor": floor, "clients": CLIENTS}
    rate = loom["deliveries_per_s"] / floor["deliveries_per_s"]
    yield (
        f"sse_rate_{name}",
        Figure(
            value=round(rate, 3),
            target=RATE_TARGET,
            unit=f"deliveries per second of bare Starlette's, bursts of {BURST}",
            samples=len(sides[name].rates),
            least=True,
            details=details,
        ).dump(),
    )
    yield (
        f"sse_p99_{name}",
        Figure(
            value=round(loom["p99_ms"] / floor["p99_ms"], 3),
            target=LATENCY_TARGET,
            unit="of bare Starlette's p99, from commit to receipt",
            samples=len(sides[name].p99s),
        ).dump(),
    )
    yield (
        f"sse_lost_{name}",
        Figure(
            value=loom["lost"], target=0, unit="deliveries lost", samples=sides[name].told * CLIENTS
        ).dump(),
    )
    yield (
        f"sse_memory_{name}",
        Figure(
            value=loom["kb_per_client"],
            target=MEMORY_TARGET_KB,
            unit="KB of the web process per client",
            samples=len(sides[name].memories),
        ).dump(),
    )


def _sides(env: Mapping[str, str], stack: ExitStack) -> dict[str, Side]:
    sides = {FLOOR: stack.enter_context(_floor(env))}
    embedded = {name: value for name, value in env.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    embedded["LOOM_DATA_DIR"] = f"{env['LOOM_DATA_DIR']}-sqlite"
    sides["sqlite"] = stack.enter_context(_loom(embedded))
    if env.get("DATABASE_URL") and env.get("REDIS_URL"):
        sides["postgres"] = stack.enter_context(_loom(env))
    return sides


@contextmanager
def _loom(env: Mapping[str, str]) -> Iterator[Side]:
    port = free_port()
    place = Path(env["LOOM_DATA_DIR"])
    place.mkdir(parents=True, exist_ok=True)
    # A thousand readers of one person come at once, which is more than one person may.
    own = {**env, "LOOM_PORT": str(port), "LOOM_RATE_PER_USER": "0", "LOOM_RATE_PER_ADDRESS": "0"}
    with Child("--django", "tests.bench.loom_sse", env=own, log=place / "sse.log") as site:
        cookie = site.ask("cookie", seconds=SECONDS)["cookie"]
        _await_port(port)

        def tell(first: int, count: int, rest: float) -> list[float]:
            sent: list[float] = site.ask("tell", seconds=SECONDS, first=first, count=count, rest=rest)["sent"]
            return sent

        yield Side(port, STREAM, tell, lambda: site.ask("web"), cookie)
        site.ask("stop", seconds=SECONDS)


@contextmanager
def _floor(env: Mapping[str, str]) -> Iterator[Side]:
    port, python = free_port(), rivals.python()
    process = subprocess.Popen([python, "-m", "tests.bench.sse_floor", str(port)], cwd=ROOT, env=dict(env))
    try:
        _await_port(port)

        def tell(first: int, count: int, rest: float) -> list[float]:
            body = json.dumps({"first": first, "count": count, "rest": rest}).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{port}/tell", data=body)
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                sent: list[float] = json.load(answer)["sent"]
                return sent

        def memory() -> dict[str, Any]:
            pages = Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1]
            return {"rss": int(pages) * 4096}

        yield Side(port, "/stream", tell, memory)
    finally:
        process.terminate()
        process.wait(10)


def _await_port(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > until:
            raise CouldNotMeasure(f"Nothing listens on port {port}.")
        time.sleep(0.1)

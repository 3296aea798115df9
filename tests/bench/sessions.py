"""How many turns per second one worker makes of sessions that mostly wait for their model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench import rivals
from tests.bench.child import Child, CouldNotMeasure
from tests.bench.figures import Figure, skipped
from tests.bench.loom_files import FILE, LINES
from tests.bench.model_server import ModelServer, completion

SESSIONS = 500
THINKS_S = 2.0
IDEAL = SESSIONS / THINKS_S  # turns per second, if turns cost nothing but the model's time
SHARE_TARGET, RSS_TARGET_MB = 0.85, 300.0
SHOWN = 40
SPARE = 16  # threads for other runs, such as those of the agents' lives
SETTLED_TURNS = 2  # of each session before it counts: the first lays out its worktree
WINDOW_S = 20.0
START_SECONDS = 240.0
ASSISTANT = b'"role":"assistant"'


class Reader:
    """The model: reads on in the file, for ever; counts how far each session has come."""

    def __init__(self) -> None:
        self.turns: list[int] = [0] * 400  # requests by the number of replies before them

    def answer(self, body: bytes) -> bytes:
        number = body.count(ASSISTANT)
        self.turns[number] += 1
        place = {"path": FILE, "offset": 1 + 7 * number % (LINES - SHOWN), "limit": SHOWN}
        return completion("read_file", place, request_bytes=len(body), number=number)


def measure(env: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    try:
        rivals.services_need(env)
    except rivals.Missing as missing:
        return {name: skipped(str(missing)) for name in ("sessions_rate", "sessions_rss")}
    reader = Reader()
    with ModelServer(reader.answer, delay=THINKS_S) as server:
        sizes = {"LOOM_MAX_SESSIONS": str(SESSIONS), "LOOM_MAX_TURNS": "1000", "LOOM_TOOLS": "on"}
        own = {**env, "LOOM_PROVIDER_URL": server.url, "LOOM_WORKER_THREADS": str(SESSIONS + SPARE), **sizes}
        log = Path(env["LOOM_DATA_DIR"]) / "sessions.log"
        with Child("--django", "tests.bench.loom_sessions", env=own, log=log) as hall:
            hall.ask("open", seconds=START_SECONDS, sessions=SESSIONS)
            settle(reader)
            before = hall.ask("worker")
            server.take()
            began = time.monotonic()
            time.sleep(WINDOW_S)
            stamps, seconds = server.take(), time.monotonic() - began
            after, proof = hall.ask("worker"), hall.ask("proof")
            hall.ask("stop", seconds=START_SECONDS)
    if proof["running"] != SESSIONS:
        raise CouldNotMeasure(f"Of {SESSIONS} sessions {proof['running']} were at work at the end.")
    return figures(len(stamps) / seconds, len(stamps), before, after, proof)


def settle(reader: Reader) -> None:
    """Wait until every session has taken its first turns."""
    until = time.monotonic() + START_SECONDS
    while reader.turns[SETTLED_TURNS] < SESSIONS:
        if time.monotonic() > until:
            raise CouldNotMeasure(f"Of {SESSIONS} sessions only {reader.turns[:4]} came to their turns.")
        time.sleep(0.1)


def figures(
    rate: float, turns: int, before: dict[str, Any], after: dict[str, Any], proof: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    share = Figure(
        value=round(rate / IDEAL, 3),
        target=SHARE_TARGET,
        least=True,
        unit=f"of the ideal {IDEAL:g} turns/s: {SESSIONS} sessions in one worker, {THINKS_S:g} s a reply",
        samples=turns,
        details={
            "turns_per_s": round(rate, 1),
            "worker_cpu_ms_per_turn": round(1000 * (after["cpu"] - before["cpu"]) / turns, 2),
            "attempts": proof["attempts"],
            "recorded_turns": proof["turns"],
        },
    )
    memory = Figure(
        value=round(after["peak_mb"], 1),
        target=RSS_TARGET_MB,
        unit=f"MB resident at most, of the worker that holds {SESSIONS} sessions",
        samples=1,
        details={"after": round(after["rss_mb"], 1)},
    )
    return {"sessions_rate": share.dump(), "sessions_rss": memory.dump()}

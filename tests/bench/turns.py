"""What an agent's turn costs us: Loom's loop against a bare loop over litellm, and whether it stays flat."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from tests.bench.child import Child, CouldNotMeasure
from tests.bench.figures import Figure, spread
from tests.bench.loom_files import FILE, LINES, files
from tests.bench.model_server import ModelServer, Stamp, completion

TARGET, AIM = 1.0, 0.3
FLAT_TARGET = 1.3
EARLY, LATE, WINDOW = 10, 300, 5  # turns that are compared, and how many around each
SHOWN = 40  # lines that each turn reads
SECONDS = 120.0


@dataclass
class Player:
    """The model: reads the file at a new place each turn and is done after `turns` of them."""

    turns: int = 50

    def answer(self, body: bytes) -> bytes:
        messages = orjson.loads(body)["messages"]
        number = sum(message["role"] == "assistant" for message in messages)
        if number >= self.turns:
            return completion("done", {"summary": "Read."}, request_bytes=len(body), number=number)
        place = {"path": FILE, "offset": 1 + 7 * number % (LINES - SHOWN), "limit": SHOWN}
        return completion("read_file", place, request_bytes=len(body), number=number)


@dataclass
class Side:
    """Sessions of one side: client milliseconds of each turn by the server's clock, CPU per turn."""

    wall: list[list[float]] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def add(self, stamps: Sequence[Stamp], cpu: float) -> None:
        self.wall.append(client_times(stamps))
        self.cpu.append(1000 * cpu / len(self.wall[-1]))
        self.sizes.append(stamps[-1].size)

    def summary(self) -> dict[str, Any]:
        each = [turn for session in self.wall for turn in session]
        return {
            "wall_ms": spread(each),
            "cpu_ms": spread(self.cpu),
            "first_10_ms": round(median(turn for session in self.wall for turn in session[:10]), 3),
            "last_10_ms": round(median(turn for session in self.wall for turn in session[-10:]), 3),
            "last_request_bytes": self.sizes[-1],
        }


def client_times(stamps: Sequence[Stamp]) -> list[float]:
    """Milliseconds from each answer to the next complete request: all that the client and the wire take."""
    return [1000 * (later.received - earlier.answered) for earlier, later in pairwise(stamps)]


def measure(
    env: Mapping[str, str], *, rounds: int, turns: int, long_sessions: int
) -> dict[str, dict[str, Any]]:
    """Sessions of both sides in turn, after one of each that does not count."""
    player = Player()
    with ModelServer(player.answer) as server, tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "words.py"
        text.write_bytes(files()[FILE] or b"")
        own = {**env, "LOOM_PROVIDER_URL": server.url, "LOOM_MAX_TURNS": str(10 * LATE)}
        data = Path(env["LOOM_DATA_DIR"])
        with (
            Child("--django", "tests.bench.loom_turns", env=own, log=data / "loom-turns.log") as loom,
            Child("tests.bench.bare_turns", env=own, log=data / "bare-turns.log") as bare,
        ):
            opening = loom.ask("opening")

            def play_loom(side: Side, length: int) -> None:
                player.turns = length
                done = loom.ask("session", seconds=SECONDS)
                prove(done, length)
                side.add(server.take(), done["cpu"])

            def play_bare(side: Side, length: int) -> None:
                player.turns = length
                done = bare.ask("session", seconds=SECONDS, url=server.url, opening=opening, file=str(text))
                side.add(server.take(), done["cpu"])

            ours, theirs = alternate(play_loom, play_bare, rounds, turns)
            long = Side()
            for _ in range(long_sessions):
                play_loom(long, LATE + WINDOW)
    return {"turn_overhead": overhead(ours, theirs).dump(), "flatness": flatness(long).dump()}


Play = Callable[[Side, int], None]


def alternate(first: Play, second: Play, rounds: int, turns: int) -> tuple[Side, Side]:
    sides = Side(), Side()
    first(Side(), turns)
    second(Side(), turns)
    for number in range(rounds):
        order = ((first, sides[0]), (second, sides[1]))
        for play, side in order if number % 2 == 0 else reversed(order):
            play(side, turns)
    return sides


def prove(done: dict[str, Any], turns: int) -> None:
    """All of it was recorded, or we measured something else than we say."""
    # One a turn; but the first, which lays out the worktree, and the last, which claims, are two.
    steps = turns + 3
    wanted = {"ending": "claim", "turns": turns + 1, "steps": steps, "calls": turns + 1}
    if any(done[key] != value for key, value in wanted.items()) or done["events"] < 2 * (turns + 1):
        raise CouldNotMeasure(f"A session of {turns} turns left {done} instead of {wanted}.")


def overhead(ours: Side, theirs: Side) -> Figure:
    """The median of the rounds' ratios, each of two sessions that ran one after the other."""
    pairs = zip(ours.wall, theirs.wall, strict=True)
    ratios = [median(mine) / median(other) for mine, other in pairs]
    cpu_ratios = [mine / other for mine, other in zip(ours.cpu, theirs.cpu, strict=True)]
    return Figure(
        value=round(median(ratios), 4),
        target=TARGET,
        aim=AIM,
        unit="client wall time of a turn: Loom, everything durable / bare loop over litellm.completion",
        samples=sum(map(len, ours.wall)),
        details={
            "per_round": [round(ratio, 4) for ratio in ratios],
            "cpu_ratio": round(median(cpu_ratios), 4),
            "loom": ours.summary(),
            "litellm": theirs.summary(),
        },
    )


def flatness(long: Side) -> Figure:
    ratios = []
    for session in long.wall:
        early, late = (session[turn - 1 - WINDOW : turn + WINDOW] for turn in (EARLY, LATE))
        ratios.append(median(late) / median(early))
    return Figure(
        value=round(median(ratios), 4),
        target=FLAT_TARGET,
        unit=f"client wall time of turn {LATE} / turn {EARLY}, medians of {2 * WINDOW + 1} turns",
        samples=len(ratios),
        details={"per_session": [round(ratio, 4) for ratio in ratios], "loom": long.summary()},
    )

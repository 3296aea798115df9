"""How long a reply takes to read: of every form of the corpus, and a megabyte of what nobody would send."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from apps.agents.replies import read_reply
from tests.agents.corpus import corpus
from tests.agents.hostile import HOSTILE, MILLION
from tests.bench.figures import Figure, spread

TARGET_MS, TARGET_HOSTILE_S = 2.0, 1.0


def measure(*, rounds: int) -> dict[str, dict[str, Any]]:
    cases = corpus()
    read = [
        min(_cpu(partial(read_reply, case.reply, case.tool_calls)) for _ in range(rounds)) * 1000
        for case in cases
    ]
    garbage = {piece: _cpu(partial(read_reply, piece * (MILLION // len(piece)))) for piece in HOSTILE}
    slowest = max(garbage, key=garbage.__getitem__)
    return {
        "replies_read": Figure(
            value=spread(read)["median"],
            target=TARGET_MS,
            unit="ms of processor to read the median reply of the corpus",
            samples=len(read),
            details=spread(read),
        ).dump(),
        "replies_garbage": Figure(
            value=round(garbage[slowest], 3),
            target=TARGET_HOSTILE_S,
            unit="s of processor to read a megabyte of the slowest kind of garbage",
            samples=len(garbage),
            details={"piece": slowest},
        ).dump(),
    }


def _cpu(act: Callable[[], object]) -> float:
    began = time.process_time()
    act()
    return time.process_time() - began

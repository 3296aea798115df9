"""Whether time grows with the input and no faster, on a machine of any speed.

How fast it is, `make bench` tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable

ROUNDS = 4
PARTS = 8


def assert_linear(act: Callable[[int], object], size: int, floor: float = 0.01) -> None:
    """Of `act(size)`, each unit may cost three times what it costs of `act(size / 8)`: of what is quadratic
    it costs eight times that. CPU seconds count, the least of some rounds, as neighbours make a round slower;
    what takes less than `floor` is taken to be that long."""
    ratio, part, whole = 0.0, [], []
    for _ in range(ROUNDS):
        part.append(_cpu(act, size // PARTS))
        whole.append(_cpu(act, size))
        ratio = max(min(whole), floor) / max(min(part), floor / PARTS)
        if ratio < 3 * PARTS:
            return
    raise AssertionError(f"{PARTS} times as much takes {ratio:.0f} times as long: {min(whole):.2f} s CPU")


def _cpu(act: Callable[[int], object], size: int) -> float:
    started = time.process_time()
    act(size)
    return time.process_time() - started

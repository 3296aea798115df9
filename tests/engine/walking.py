"""The flow of `test_handing_over`, for workers in processes of their own."""

from __future__ import annotations

import time
from pathlib import Path

from apps.engine.flow import Handle, call, flow, step, wait_for
from apps.events.bus import emit

PACE_S = 0.2


@flow("handing.walk")
def walk(steps: int, diary: str) -> int:
    for number in range(steps):
        call(pace, number=number, diary=diary)
        step(mark, number=number)
    wait_for("go")
    return steps


def pace(handle: Handle, number: int, diary: str) -> None:
    with Path(diary).open("a", encoding="utf-8", buffering=1) as file:
        file.write(f"begin {number}\n")
        time.sleep(PACE_S)
        file.write(f"end {number}\n")


def mark(*, number: int) -> None:
    emit("handing.mark", organization_id=None, subject=str(number))

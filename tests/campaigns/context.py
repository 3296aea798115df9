"""A session of ten windows: what every prompt still holds, and what a turn costs as the session grows."""

from __future__ import annotations

import json
import statistics
import time
from itertools import pairwise
from typing import Any
from unittest import mock

from apps.agents import loop
from apps.beads.models import Bead
from tests.campaigns._rooms import rooms, studio
from tests.workflows.studio import Studio
from tests.workflows.test_context import STEPS, TASK, long_work, prompts, size, window, with_words

TURNS, WINDOW = 300, 24_000
ACCEPTANCE = "All that was found is kept."
PART = 50  # turns that one figure of costs is of
GROWTH = 1.5  # of the cost of a turn, from the first full window to the last


def campaign(scale: float = 1.0) -> dict[str, Any]:
    turns = max(60, int(TURNS * scale))
    moments: list[float] = []
    build = loop.model_request

    def timed(*given: Any, **more: Any) -> Any:
        moments.append(time.thread_time())  # of this thread: neither the model's time nor that of commands
        return build(*given, **more)

    with (
        rooms(LOOM_MAX_TURNS=turns + 100),
        studio(long_work(turns)) as made,
        mock.patch.object(loop, "model_request", timed),
    ):
        window(with_words(made), WINDOW)
        bead = made.bead(description=TASK, acceptance=[ACCEPTANCE])
        made.run()
        return figures(made, bead, turns, moments[: turns + 1])


def figures(made: Studio, bead: Bead, turns: int, moments: list[float]) -> dict[str, Any]:
    (session,) = made.sessions("work")
    rows, asked = made.turns(session), prompts(made)
    transcript = sum(size([turn.reply, turn.results]) for turn in rows)
    whole = sum(intact(messages) for messages in asked[1:])  # the plan is made in the first turn
    spent = [1000 * (later - earlier) for earlier, later in pairwise(moments)]
    parts = [spent[at : at + PART] for at in range(0, len(spent), PART)]
    costs = [round(statistics.median(part), 2) for part in parts if len(part) == PART]
    growth = round(costs[-1] / costs[0], 2) if costs else 0.0
    return {
        "turns": len(rows),
        "window_tokens": WINDOW,
        "transcript_windows": round(transcript / WINDOW, 1),
        "compactions": session.compactions.count(),
        "largest_prompt_tokens": max(map(size, asked)),
        "prompts": len(asked) - 1,
        "with_task_plan_and_acceptance": whole,
        "ms_a_turn": costs,
        "growth": growth,
        "ok": made.refreshed(bead).status == Bead.Status.CLOSED
        and whole == len(asked) - 1
        and transcript > 10 * WINDOW * min(1.0, turns / TURNS)
        and max(map(size, asked)) < WINDOW
        and growth < GROWTH,
    }


def intact(messages: list[dict[str, Any]]) -> bool:
    told = json.dumps(messages)
    return all(json.dumps(text)[1:-1] in told for text in (TASK, ACCEPTANCE, *STEPS))

"""A model that answers garbage in four of ten turns still finishes a simple bead."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from apps.beads.models import Bead
from tests.campaigns._rooms import rooms, studio
from tests.workflows.studio import APPROVE, Answer, done, write

SEEDS = 50
RATE = 0.4
SUB = "def sub(a, b):\n    return a - b\n"
TEST = (
    "import unittest\n\nfrom calc.sub import sub\n\n\nclass SubTest(unittest.TestCase):\n"
    "    def test_it_subtracts(self):\n        self.assertEqual(sub(5, 3), 2)\n"
)
CALL = '{"actions": [{"type": "write_file", "path": "calc/sub.py", "content": "def sub(a, b):'

Garbage = Callable[[random.Random], Answer]
GARBAGE: dict[str, Garbage] = {
    "nothing": lambda _: "",
    "words": lambda dice: " ".join(dice.choices(["the", "file", "read_file", "done", "now", "I"], k=40)),
    "an apology": lambda _: "I'm sorry, but as a language model I cannot access files.",
    "noise": lambda dice: "".join(chr(dice.randrange(32, 0x2FFF)) for _ in range(200)),
    "a thought without end": lambda _: "<think>Let me see. I could call read_file or maybe write_file and",
    "cut in a text": lambda dice: CALL[: dice.randrange(10, len(CALL))],
    "brackets": lambda dice: "".join(dice.choices('{}[]":,', k=80)),
    "half a tag": lambda _: "<tool_call>\n<function=write_file>\n<parameter=path>\ncalc/sub.py\n",
    "an empty list": lambda _: '{"actions": [], "notes": "thinking"}',
    "a page": lambda _: "<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>",
    "another schema": lambda _: json.dumps({"plan": ["read", "write"], "confidence": 0.7}),
    "an unknown action": lambda _: [("fly", {"to": "the moon"})],
    "arguments that do not fit": lambda _: [("write_file", {"file": 3, "body": None})],
    "a file that is not there": lambda dice: [("read_file", {"path": f"src/{dice.randrange(99)}.py"})],
    "an edit of nothing": lambda _: [("edit_file", {"path": "a.py", "old_text": "x", "new_text": "y"})],
    "the same word": lambda _: "write " * 500,
}  # fmt: skip


def campaign(scale: float = 1.0) -> dict[str, Any]:
    seeds = max(3, int(SEEDS * scale))
    played: list[dict[str, Any]] = []
    with rooms():
        for seed in range(seeds):
            played += [play(seed, tools=True), play(seed, tools=False)]
    finished = sum(one["finished"] for one in played)
    turns = sum(one["turns"] for one in played)
    garbage: Counter[str] = sum((one["garbage"] for one in played), Counter())
    return {
        "beads": len(played),
        "finished": finished,
        "finished_rate": round(finished / len(played), 4),
        "garbage_rate": round(garbage.total() / turns, 4),
        "turns_per_bead": round(turns / len(played), 1),
        "sessions_per_bead": round(sum(one["sessions"] for one in played) / len(played), 2),
        "in_the_first_session": sum(one["finished"] and one["sessions"] == 1 for one in played),
        "garbage": dict(garbage.most_common()),
        "left": [one for one in played if not one["finished"]],
        "ok": finished == len(played) and garbage.total() / turns > RATE - 0.1,
    }


def play(seed: int, *, tools: bool) -> dict[str, Any]:
    """One simple bead: two files, a test run, a claim; the reviewer's model is as weak."""
    dice = random.Random(f"weak {seed} {tools}")
    garbage: Counter[str] = Counter()
    turns = 0

    def model(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
        nonlocal turns
        turns += 1
        if dice.random() < RATE:
            name = dice.choice(list(GARBAGE))
            garbage[name] += 1
            return GARBAGE[name](dice)
        return APPROVE if kind == "review" else next_step(json.dumps(messages[2:]))

    with studio(model, tools=tools) as made:
        bead = made.bead(description="Add calc/sub.py with a function sub, and a test of it.")
        made.run()
        closed = made.refreshed(bead)
        finished = closed.status == Bead.Status.CLOSED and bool(closed.merged_commit)
        if finished:
            finished = made.main_file("calc/sub.py") == SUB
        return {
            "seed": seed,
            "tools": tools,
            "finished": finished,
            "turns": turns,
            "sessions": len(made.sessions("work")),
            "reasons": [session.reason for session in made.sessions("work")],
            "garbage": garbage,
        }


def next_step(told: str) -> Answer:
    """What is left to do, told by what the results say was done."""
    if "Wrote calc/sub.py" not in told and "calc/sub.py (" not in told:
        return [write("calc/sub.py", SUB)]
    if "tests/test_sub.py" not in told:
        return [write("tests/test_sub.py", TEST)]
    return [("run_tests", {}), done("Added sub and a test.")] if "OK" not in told else [done("Added sub.")]

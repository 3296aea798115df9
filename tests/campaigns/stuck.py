"""Models that never finish: each is stopped within its limit, for the reason that is true."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from apps.agents.models import Session
from apps.agents.safety import CYCLES, MAX_ERRORS, MAX_REPEATS, MAX_RETURNS, MAX_SAME_RED
from apps.agents.seat import idle_turns
from apps.beads.models import Bead
from tests.campaigns._rooms import rooms, studio
from tests.workflows.studio import Answer, replies, write

WORDS = "".join(f"{number} some words on a line\n" for number in range(3000))
RED = """import unittest


class T(unittest.TestCase):
    def test_sum(self):
        self.assertEqual(1, 2)
"""
SPOKEN = ["I will start now.", "Let me think about it.", "Sure! The change is simple.", "Working on it..."]

Move = Callable[[int, random.Random], Answer]


@dataclass(frozen=True)
class Way:
    """A way to be stuck: what the model does in each turn, why it must be stopped, and after how many."""

    move: Move
    reason: str
    limit: int


def one(name: str, **arguments: Any) -> Answer:
    return [(name, arguments)]


def circles() -> dict[str, Way]:
    """The same again and again, in one form or another."""
    read, tree, log = one("read_file", path="calc/__init__.py"), one("read_tree"), one("git_log")
    first, second = write("a.txt", "one\n"), write("a.txt", "two\n")
    return {
        "the same action": Way(lambda n, d: read, "repetition", MAX_REPEATS),
        "the same failing action": Way(lambda n, d: one("read_file", path="no"), "repetition", MAX_REPEATS),
        "the same run of tests": Way(lambda n, d: one("run_tests"), "repetition", MAX_REPEATS),
        "the same unknown action": Way(lambda n, d: one("fly", to="x"), "repetition", MAX_REPEATS),
        "two in turn": Way(lambda n, d: (read, tree)[n % 2], "ping_pong", 2 * CYCLES[2]),
        "three in turn": Way(lambda n, d: (read, tree, log)[n % 3], "ping_pong", 3 * CYCLES[3]),
        "a file back and forth": Way(
            lambda n, d: [(first, second)[n % 2]], "ping_pong", 2 * max(CYCLES[2], MAX_RETURNS + 1)
        ),
        "a file back and forth, with looks between": Way(
            lambda n, d: [(first, second)[n % 2], ("search_text", {"query": f"x{n}"})],
            "ping_pong",
            2 * (MAX_RETURNS + 1),
        ),
        "the same failing test, whatever is changed": Way(
            lambda n, d: [write("tests/test_t.py", RED), write("calc/a.py", f"X = {n}\n"), ("run_tests", {})],
            "no_progress",
            MAX_SAME_RED,
        ),
        "the same failing command, whatever is changed": Way(
            lambda n, d: [write("b.py", f"X = {n}\n"), ("run_command", {"command": "python -c 'import no'"})],
            "no_progress",
            MAX_SAME_RED,
        ),
    }


def endless() -> dict[str, Way]:
    """Always something new, and never an end."""
    idle = idle_turns(Session.Kind.WORK)
    files = ["calc/__init__.py", "tests/test_calc.py", "words.txt"]
    return {
        "known files in any order": Way(
            lambda n, d: one("read_file", path=d.choice(files), limit=1 + n % 3), "no_progress", idle
        ),
        "endless reading": Way(
            lambda n, d: one("read_file", path="words.txt", offset=1 + 9 * n, limit=9), "no_progress", idle
        ),
        "endless searching": Way(lambda n, d: one("search_text", query=f"{n} some"), "no_progress", idle),
        # The files are looked at after the first command only, and are new then.
        "endless commands": Way(
            lambda n, d: one("run_command", command=f"echo {n}"), "no_progress", idle + 1
        ),
        "endless notes": Way(
            lambda n, d: one("remember", note=f"Thing {chr(97 + n)} matters."), "no_progress", idle
        ),
        "endless plans": Way(
            lambda n, d: one("set_plan", steps=[f"step {chr(97 + n)}"]), "no_progress", idle
        ),
        "endless unknown actions": Way(lambda n, d: one(f"fly_{n}", to=n), "no_progress", idle),
        "endless talking": Way(lambda n, d: d.choice(SPOKEN), "no_action", MAX_ERRORS),
        "endless thinking": Way(lambda n, d: f"<think>Hm, {n}. Then again", "no_action", MAX_ERRORS),
        "endless small changes": Way(
            lambda n, d: [write("c.txt", f"{n}\n")], "turn_limit", settings.LOOM_MAX_TURNS
        ),
    }


def campaign(scale: float = 1.0) -> dict[str, Any]:
    """All ways; with a small scale each of the limits is lower."""
    with rooms(LOOM_MAX_TURNS=max(24, int(40 * scale))):
        found = {name: play(name, way) for name, way in {**circles(), **endless()}.items()}
    wrong = [name for name, one in found.items() if not one["ok"]]
    return {
        "ways": len(found),
        "stopped_rightly": len(found) - len(wrong),
        "wrong": wrong,
        "each": found,
        "ok": not wrong,
    }


def play(name: str, way: Way) -> dict[str, Any]:
    """The bead's first session: why it ended, after how many turns; and that the bead waits for a person."""
    dice = random.Random(name)
    with studio(lambda kind, title, messages: way.move(replies(messages), dice)) as made:
        made.hub.commit_files("main", {"words.txt": WORDS.encode()}, "Words", "Loom <loom@loom.invalid>")
        bead = made.bead()
        made.run()
        first, *others = made.sessions("work")
        waits = made.refreshed(bead).status == Bead.Status.BLOCKED
        return {
            "reason": first.reason,
            "turns": first.turn_count,
            "limit": way.limit,
            "detail": first.reason_detail,
            "sessions": 1 + len(others),
            "ok": first.reason == way.reason and first.turn_count <= way.limit and waits,
        }

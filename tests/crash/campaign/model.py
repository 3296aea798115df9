"""The campaign's model: a server process that plays engineer and reviewer, and writes down every request.

`python -m tests.crash.campaign.model JOURNAL SEED` prints its address. It is no part of what is attacked.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.providers.scripted import ScriptedReply, _tool_call
from tests.providers.script_server import ScriptServer

SLOWEST = 0.25  # seconds for one answer
Step = tuple[str, dict[str, Any]]

# Every turn builds on the one before it: a write that comes late, twice or not at all shows in the files.
CHECKS = 'for f in parts/*.txt; do [ "$(tail -n 1 "$f")" = end ] || exit 1; done'


def part_of(title: str) -> str:
    """`Part 17` -> `17`"""
    return title.rpartition(" ")[2]


def files_of(title: str) -> dict[str, str]:
    """What main must hold once the bead is closed."""
    number = part_of(title)
    return {
        f"parts/{number}.txt": f"part {number}\none\ntwo\nend\n",
        f"parts/{number}.log": "ran one\nran two\n",
    }


def work_turns(title: str) -> list[list[Step]]:
    name = f"parts/{part_of(title)}"

    def run(word: str) -> Step:
        return ("run_command", {"command": f"sleep 0.1; echo ran {word} >> {name}.log"})

    def edit(old: str, new: str) -> Step:
        return ("edit_file", {"path": f"{name}.txt", "old_text": old, "new_text": f"{old}\n{new}"})

    return [
        [("write_file", {"path": f"{name}.txt", "content": f"part {part_of(title)}\none\n"}), run("one")],
        [edit("one", "two"), run("two")],
        [edit("two", "end"), ("remember", {"note": f"{title} is nearly done."})],
        [("done", {"summary": f"{title} is done."})],
    ]


MET = [{"criterion": "It is there.", "met": True}]
REVIEW: list[list[Step]] = [[("submit_review", {"verdict": "approve", "comments": "Fine.", "criteria": MET})]]


def topic_of(messages: list[dict[str, Any]]) -> tuple[str, str]:
    """The kind of the session and the title of its bead, as the task message says."""
    kind, title = str(messages[1]["content"]).splitlines()[:2]
    return kind.removeprefix("# Task: "), title.removeprefix("Title: ")


class Player:
    """Answers a conversation by its length; a request is in the journal before its answer leaves."""

    def __init__(self, journal: Path, seed: int) -> None:
        self._journal = journal.open("a", encoding="utf-8")
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def say(self, messages: list[dict[str, Any]], tools_offered: bool) -> ScriptedReply:
        kind, title = topic_of(messages)
        count = sum(message["role"] == "assistant" for message in messages)
        turns = work_turns(title) if kind == "work" else REVIEW
        with self._lock:
            self._journal.write(json.dumps([kind, title, count]) + "\n")
            self._journal.flush()
            pause = self._random.uniform(0.0, SLOWEST)
        time.sleep(pause)
        calls = [_tool_call(f"call_{count}_{n}", *step) for n, step in enumerate(turns[count % len(turns)])]
        return ScriptedReply("", tuple(calls), finish_reason="tool_calls")


@dataclass(frozen=True)
class Journal:
    """What the model was asked."""

    asked: Counter[tuple[str, str, int]]  # kind, title, number of the reply -> times

    @classmethod
    def read(cls, path: Path) -> Journal:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return cls(Counter((kind, title, count) for kind, title, count in map(json.loads, lines)))

    @property
    def repeated(self) -> int:
        return sum(times - 1 for times in self.asked.values())

    def by_bead(self) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for (kind, title, _), times in self.asked.items():
            found[kind, title] += times
        return found


def main() -> None:
    player = Player(Path(sys.argv[1]), int(sys.argv[2]))
    server = ScriptServer(player.say, record=False)
    print(server.url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

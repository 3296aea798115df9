"""Beads on their way through the shipped workflows: a cast that behaves as a bead's title says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.beads.models import Bead
from apps.projects.models import Project
from apps.workflows.models import WorkflowExecution
from tests.workflows.studio import APPROVE, CALC, Answer, Studio, done, last, replies, write

Messages = list[dict[str, Any]]
REJECT: Answer = [("submit_review", {"verdict": "reject", "comments": "Say why."})]


class Clock:
    """Django's clock, which tests can set forward; it never goes back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = timedelta()
        real = timezone.now
        monkeypatch.setattr(timezone, "now", lambda: real() + self.ahead)

    def forward(self, **length: float) -> datetime:
        self.ahead += timedelta(**length)
        return timezone.now()


class Cast:
    """Plays every role. A title says what goes wrong: Rejected, Failing, Late, Stuck; anything else works.

    `seen` keeps the task message of every session, by kind; `node` tells who asks from its words.
    """

    def __init__(self, clock: Clock | None = None, *, decide: str = "approve") -> None:
        self.clock, self.decide = clock, decide
        self.done: defaultdict[str, set[str]] = defaultdict(set)  # what already went wrong, by title
        self.seen: list[tuple[str, str, str]] = []
        self.stubborn = True

    def __call__(self, kind: str, title: str, messages: Messages) -> Answer:
        if replies(messages) == 0:
            self.seen.append((kind, title, str(messages[1]["content"])))
        if kind == "decide":
            return [("decide", {"choice": self.decide, "rationale": "As the requirements say."})]
        if kind == "review":
            return self._once(title, "Rejected", REJECT) or APPROVE
        return self._work(title, messages)

    def _once(self, title: str, when: str, answer: Answer) -> Answer | None:
        if title != when or when in self.done[title]:
            return None
        self.done[title].add(when)
        return answer

    def _work(self, title: str, messages: Messages) -> Answer:
        if title == "Stuck" and self.stubborn:
            return "I would rather talk."
        if title == "Late" and self.clock and "Late" not in self.done[title]:
            self.done[title].add("Late")
            self.clock.forward(hours=9)
            return [("read_file", {"path": "calc/__init__.py"})]
        if failing := self._once(
            title, "Failing", [write("calc/__init__.py", CALC.replace("+", "*")), done()]
        ):
            return failing
        if "Verification failed" in last(messages):
            return [write("calc/__init__.py", CALC), done("Mended.")]
        number = sum(turn.count("write_file") for turn in map(str, messages))
        return [write(f"notes/{title.lower()}.txt", f"{title} {len(messages)} {number}\n"), done(f"{title}.")]

    def told(self, kind: str, title: str) -> list[str]:
        """The task messages of a bead's sessions."""
        return [text for one, about, text in self.seen if (one, about) == (kind, title)]


def path(bead: Bead) -> str:
    """The nodes a bead went through and how each ended, and the end of it all."""
    execution = WorkflowExecution.objects.get(bead=bead)
    visits = execution.history.order_by("number").values_list("node_key", "condition")
    return " ".join([*(f"{key}:{condition}" for key, condition in visits), execution.status])


def quick(studio: Studio) -> Studio:
    """With a check that takes no time and fails for what Failing writes."""
    check = {"kind": "test", "name": "sum", "command": "! grep -q '[*]' calc/__init__.py"}
    Project.objects.filter(pk=studio.project.pk).update(checks=[check])
    return studio


def played(open_studio: Callable[..., Studio], cast: Cast, titles: str, **fields: Any) -> dict[str, Bead]:
    """Beads with these titles after everything that was due."""
    studio = quick(open_studio(cast, max_sessions=8))
    beads = {title: studio.bead(title, **fields) for title in titles.split()}
    studio.run()
    return {title: studio.refreshed(bead) for title, bead in beads.items()}

"""A weave followed from the terminal: until it is over, or nothing moves any more without a person."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence

from django.db import DatabaseError, connections
from rich.console import Console

from apps.core.errors import LoomError
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide
from apps.engine.errors import is_outage
from apps.projects.models import Project
from apps.workflows.progress import Progress, events_after, is_over, is_stuck, progress_read
from apps.workflows.terminal import LineView, LiveView, View

TICK_S = 0.25
FRESH_S = 1.0  # what changes without an event, such as what an agent does, is looked up that often
STUCK_TICKS = 8  # nothing moves for that long before we say so
AWAY_S = 120.0  # a database that restarts is waited for that long; the workers wait for it too


def view_for(console: Console, title: str) -> View:
    """Redrawn in place where the terminal can do that; one that is dumb would show nothing at all."""
    kind = LiveView if console.is_terminal and not console.is_dumb_terminal else LineView
    return kind(console, title)


class Follower:
    """`poll` looks after the background processes, at every tick."""

    def __init__(self, project: Project, view: View, poll: Callable[[], None], last: int) -> None:
        self.project, self.view, self.poll = project, view, poll
        self.last = last  # the newest event that was shown
        self.progress: Progress | None = None
        self.due = 0.0
        self.still = 0
        self.told: set[int] = set()
        self.away_since: float | None = None

    def follow(self) -> None:
        while True:
            self.poll()
            try:
                is_at_end = self._look()
            except DatabaseError as error:
                self._wait_for_database(error)
            else:
                self.away_since = None
                if is_at_end:
                    return
            time.sleep(TICK_S)

    def _look(self) -> bool:
        """Show what is new, ask what is to be asked; whether there is nothing to follow any more."""
        events = list(events_after(self.project, self.last))
        if self.progress is None or events or time.monotonic() > self.due or is_over(self.project):
            self.progress, self.due = progress_read(self.project), time.monotonic() + FRESH_S
        self.last = events[-1].pk if events else self.last
        self.view.show(self.progress, events)
        if self.progress.is_over and not events:
            return True
        self._offer(self.progress)
        self.still = self.still + 1 if is_stuck(self.project) and not events else 0
        return self.still >= STUCK_TICKS

    def _wait_for_database(self, error: DatabaseError) -> None:
        """One that restarts or is failed over ends no weave of hours; one that stays away does."""
        now = time.monotonic()
        if not is_outage(error) or now - (self.away_since or now) > AWAY_S:
            raise error
        if self.away_since is None:
            self.away_since = now
            self.view.say(f"! The database is away, trying again: {str(error).strip()}")
        connections.close_all()

    def _offer(self, progress: Progress) -> None:
        """Put plans that wait for a person before the person at the terminal, or say how to answer."""
        for decision in progress.waiting:
            if decision.kind == Decision.Kind.STUCK or decision.pk in self.told:
                continue
            if isinstance(self.view, LiveView) and sys.stdin.isatty():
                self.view.say(f"◆ {decision.question}\n{decision.context}")
                self._read_answer(decision, self.view)
            else:
                options = "/".join(map(shlex.quote, decision.keys)) or "answer"
                self.view.say(f"◆ {decision.question}: answer with  manage.py decide {decision.pk} {options}")
            self.told.add(decision.pk)

    def _read_answer(self, decision: Decision, view: LiveView) -> None:
        """Ask until it is answered: here, or meanwhile in the browser, another terminal or by the clock."""
        question = f"{'/'.join(decision.keys)}, and why: " if decision.keys else "answer: "
        while (line := view.ask(question, waits=lambda: self._waits(decision))) is not None:
            choice, why = answer_read(line, decision.keys)
            if not choice:
                continue
            try:
                decision_decide(
                    decision=decision,
                    choice=choice,
                    rationale=why,
                    decider="the person at the terminal",
                )
            except LoomError as error:
                view.say(f"{error.message} {error.hint}".strip())
            else:
                return
        decision.refresh_from_db()
        by = f" by {decision.decider}" if decision.decider else ""
        view.say(f"◆ {decision.question}: {decision.get_status_display().lower()} meanwhile{by}")

    def _waits(self, decision: Decision) -> bool:
        self.poll()
        return Decision.objects.open().filter(pk=decision.pk).exists() and not is_over(self.project)


ENDS = ",:;."  # of a choice; with a question mark it is none


def answer_read(line: str, keys: Sequence[str]) -> tuple[str, str]:
    """The choice in a line, and why. Options may have several words; without options all is the answer."""
    said = line.strip()
    if not keys:
        return said, ""
    for key in sorted(keys, key=len, reverse=True):
        rest = said[len(key) :]
        ends = not rest or rest[0].isspace() or rest[0] in ENDS
        if said[: len(key)].casefold() == key.casefold() and ends:
            return key, rest.strip(f" {ENDS}-")
    choice, _, why = said.partition(" ")
    return choice, why.strip()

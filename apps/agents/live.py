"""What a model is writing just now, for those who look at its session: told by the broker, kept nowhere.

Nothing of it is asked for, masked or sent while nobody looks. The finished turn takes its place.
"""

from __future__ import annotations

import time

import orjson

from apps.agents.models import Session
from apps.core.masking import masker, scope_of
from apps.core.pubsub import publish
from apps.core.watching import may_be_watched, watched

FLUSH_SECONDS = 0.1
LOOK_SECONDS = 0.5  # between looks whether somebody looks
MOST_CHARS = 200_000  # of one reply that are shown while it comes
TEXT, THINKING = "text", "thinking"


def channel_of(session_id: int) -> str:
    return f"live:{session_id}"


def live_for(session: Session, *, turn: int) -> Live | None:
    """What tells of the next reply while it comes; None if nobody would see it.

    Whoever has any page open may come to look in the middle, so their replies are streamed too.
    """
    if not may_be_watched(channel_of(session.pk)):
        return None
    return Live(session.pk, session.project_id, turn)


class Live:
    """Takes a reply as it comes: text as it is called, thinking and actions by `aside`."""

    def __init__(self, session_id: int, project_id: int, turn: int) -> None:
        self._channel, self._scope, self._turn = channel_of(session_id), scope_of(project_id), turn
        self._mark = ""  # of those who look, as far as they were told
        self._seq = 0
        self._said_at = self._looked_at = 0.0
        self.again()

    def again(self) -> None:
        """Another provider, or another attempt, writes from the beginning."""
        self._told: list[list[str]] = []  # kind and masked text
        self._fresh: list[list[str]] = []  # what of it was not sent yet
        self._kind, self._waiting = TEXT, ""  # what is not masked yet
        self._chars = 0
        self._is_whole = False  # whoever looks has what was sent of this attempt

    def __call__(self, text: str) -> None:
        self.aside(TEXT, text)

    def aside(self, kind: str, text: str) -> None:
        if self._chars > MOST_CHARS:
            return
        self._chars += len(text)
        if kind.startswith("action:") and self._kind.startswith(kind):
            kind = self._kind  # an action's name stands in its first piece only
        if kind != self._kind:
            self._keep(whole=True)
            self._kind = kind
        self._waiting += text
        if time.monotonic() - self._said_at >= FLUSH_SECONDS:
            self._said_at = time.monotonic()
            self._flush()

    def _flush(self) -> None:
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = time.monotonic()
            mark = watched(self._channel)
            self._is_whole = self._is_whole and mark == self._mark
            self._mark = mark
        if not self._mark:
            return
        self._keep()
        parts = self._fresh if self._is_whole else self._told
        if parts or not self._is_whole:
            self._seq += 1
            said = {"turn": self._turn, "seq": self._seq, "whole": not self._is_whole, "parts": parts}
            publish(self._channel, orjson.dumps(said))
        self._fresh, self._is_whole = [], True

    def _keep(self, *, whole: bool = False) -> None:
        """Mask what waits; what may be the beginning of a secret waits for its end, unless it is `whole`."""
        mask, text = masker(self._scope), self._waiting
        safe = len(text) if whole else mask.safe(text)
        self._waiting = text[safe:]
        if told := mask.text(text[:safe]):
            for parts in (self._told, self._fresh):
                if parts and parts[-1][0] == self._kind:
                    parts[-1][1] += told
                else:
                    parts.append([self._kind, told])

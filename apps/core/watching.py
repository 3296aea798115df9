"""Whether somebody looks at what is being made just now: marks in the broker that expire by themselves.

What is only for the eyes of those who look is neither asked for nor sent when nobody does. Each time somebody
begins to look the mark changes, so that whoever sends knows to send what there is from its beginning.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from typing import Any

import redis

from apps.core.pubsub import Broker

SECONDS = 30  # that a mark lasts unless it is renewed
RENEW_SECONDS = 10.0
PAGES = "pages"  # somebody has pages of Loom open, of whatever
PAGES_SECONDS = 120
QUIET_SECONDS = 1.0  # that nobody looked lately is taken for an answer
ANSWER_SECONDS = 0.5
AWAY_SECONDS = 10.0  # that a broker which does not answer is left alone

log = logging.getLogger(__name__)


def watch_begin(channel: str) -> None:
    """Somebody begins to look, or has missed something."""
    _marks.set(channel, SECONDS)


def watch_renew(channel: str) -> None:
    """Somebody still looks."""
    _marks.renew(channel, SECONDS)


def pages_seen() -> None:
    """Somebody has a page open; told again only now and then."""
    is_due = time.monotonic() - _marks.pages_at > PAGES_SECONDS / 6
    if is_due and _marks.set(PAGES, PAGES_SECONDS):  # where that fails the next page tells it
        _marks.pages_at = time.monotonic()


def watched(channel: str) -> str:
    """The mark of those who look; empty if nobody does, or the broker does not say."""
    return _marks.get(channel)


def may_be_watched(channel: str) -> bool:
    """Whether somebody looks, or could in a moment: they have a page open. No more than one look a second."""
    if time.monotonic() - _marks.quiet_at < QUIET_SECONDS:
        return False
    if watched(PAGES) or watched(channel):
        return True
    _marks.quiet_at = time.monotonic()
    return False


class _Marks:
    def __init__(self) -> None:
        self.pages_at = self.quiet_at = float("-inf")
        self._broker = Broker(seconds=ANSWER_SECONDS)
        self._away_until = 0.0

    def set(self, channel: str, seconds: int) -> bool:
        return bool(self._do("SET", channel, secrets.token_hex(4), "EX", str(seconds)))

    def renew(self, channel: str, seconds: int) -> None:
        if self._do("EXPIRE", channel, str(seconds)) == 0:
            self.set(channel, seconds)

    def get(self, channel: str) -> str:
        found = self._do("GET", channel)
        return found.decode() if isinstance(found, bytes) else ""

    def _do(self, command: str, channel: str, *arguments: str) -> Any:
        if time.monotonic() < self._away_until:
            return None
        try:
            client, prefix = self._broker.client()
            return client.execute_command(command, f"{prefix}watch:{channel}", *arguments)
        except redis.RedisError as error:
            log.debug("nobody knows who looks, since the broker does not answer: %s", error)
            self._away_until = time.monotonic() + AWAY_SECONDS
            return None


_marks = _Marks()


def _after_fork() -> None:
    global _marks  # noqa: PLW0603 - its connection is the parent's
    _marks = _Marks()


os.register_at_fork(after_in_child=_after_fork)

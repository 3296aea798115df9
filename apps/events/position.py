"""Where a reader of an append-only table stands.

Ids are given when rows are written, not when they are committed: a row with a lower id may come after one
with a higher. A position therefore names, besides the last id, the ids below it that were missing and may
still come. It is written as `1000` or `1000~995,997-998`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q

from apps.core.errors import BadInput

Span = tuple[int, int]  # ids from and to, both included

SETTLE_SECONDS = 120.0  # after that a missing id belongs to a change that was rolled back
MAX_GAPS = 200  # that are remembered
MAX_TOLD = 20  # that are written; more become one wide gap, so that some rows come twice
MAX_ID = 2**63 - 1
FORM = re.compile(r"(\d{1,19})(?:~([\d,-]{1,2000}))?")


@dataclass(frozen=True)
class Position:
    last: int
    missing: tuple[Span, ...] = ()

    def __str__(self) -> str:
        if not self.missing:
            return str(self.last)
        told = sorted(self.missing)
        if len(told) > MAX_TOLD:
            told = [(told[0][0], told[-MAX_TOLD][1]), *told[1 - MAX_TOLD :]]
        spans = (str(low) if low == high else f"{low}-{high}" for low, high in told)
        return f"{self.last}~{','.join(spans)}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """What `str` wrote; BadInput if it did not."""
        found = FORM.fullmatch(text.strip())
        try:
            if found is None or int(found[1]) > MAX_ID:
                raise ValueError
            parts = [part for part in (found[2] or "").split(",") if part]
            if len(parts) > MAX_GAPS:
                raise ValueError
            return cls(int(found[1]), tuple(map(_span, parts)))
        except ValueError:
            raise BadInput(
                f"{text[:80]!r} is no place in a stream.", hint="Send the id of the last event as it came."
            ) from None

    def unseen(self) -> Q:
        """Rows that a reader who stands here has not seen."""
        return Q(pk__gt=self.last) | within(self.missing)

    def gaps_from(self, number: int) -> tuple[Span, ...]:
        return tuple((max(low, number), high) for low, high in self.missing if high >= number)

    def gaps_to(self, number: int) -> tuple[Span, ...]:
        return tuple((low, min(high, number)) for low, high in self.missing if low <= number)


def _span(text: str) -> Span:
    low, _, high = text.partition("-")
    span = int(low), int(high or low)
    if not 0 < span[0] <= span[1] <= MAX_ID:
        raise ValueError
    return span


def within(spans: Iterable[Span]) -> Q:
    """Rows with an id in one of the spans; none without spans."""
    found = Q(pk__in=[])
    for low, high in spans:
        found |= Q(pk=low) if low == high else Q(pk__range=(low, high))
    return found


class Tail:
    """The moving position of who reads everything, as it comes."""

    def __init__(self, last: int = 0) -> None:
        self.last = last
        self._gaps: dict[Span, float] = {}  # and when it was noticed

    @property
    def position(self) -> Position:
        return Position(self.last, tuple(self._gaps))

    def take(self, number: int, now: float) -> None:
        """A row was read; `now` is a number of seconds on any clock."""
        if number > self.last:
            if number > self.last + 1:
                self._gaps[self.last + 1, number - 1] = now
            self.last = number
        else:
            self._fill(number)

    def settled(self, now: float) -> Tail:
        """The same without gaps that will not be filled any more."""
        kept = [(span, since) for span, since in self._gaps.items() if now - since < SETTLE_SECONDS]
        tail = Tail(self.last)
        tail._gaps = dict(kept[-MAX_GAPS:])
        return tail

    def _fill(self, number: int) -> None:
        for low, high in self._gaps:
            if low <= number <= high:
                since = self._gaps.pop((low, high))
                rest = [(low, number - 1), (number + 1, high)]
                self._gaps |= {span: since for span in rest if span[0] <= span[1]}
                return

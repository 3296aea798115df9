"""Acceptance criteria against what a reviewer said of them, one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Any

ALIKE = 0.85
_NUMBER = re.compile(r"^\W*(?:(?:ac|criterion|no\.?)\W*)?#?(\d{1,3})\W*$", re.IGNORECASE)


def criteria_match(
    acceptance: Sequence[str], said: Iterable[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """The verdicts in the words and order of the bead, others behind them; and the criteria without one.

    A criterion is meant by its words, nearly its words, or its number from 1.
    """
    found: dict[int, dict[str, Any]] = {}
    others: list[dict[str, Any]] = []
    for verdict in said:
        place = _place(acceptance, str(verdict["criterion"]), taken=found)
        if place is None:
            others.append(verdict)
        else:
            found[place] = {**verdict, "criterion": acceptance[place]}
    missing = [text for place, text in enumerate(acceptance) if place not in found]
    return [found[place] for place in sorted(found)] + others, missing


def _place(acceptance: Sequence[str], said: str, *, taken: Iterable[int]) -> int | None:
    if (number := _NUMBER.match(said)) and 1 <= int(number[1]) <= len(acceptance):
        return int(number[1]) - 1
    words = _plain(said)
    plain = [_plain(text) for text in acceptance]
    if words in plain:
        return plain.index(words)
    free = [place for place in range(len(acceptance)) if place not in set(taken)]
    likeness = {place: _likeness(words, plain[place]) for place in free}
    best = max(likeness, key=lambda place: likeness[place], default=None)
    return best if best is not None and likeness[best] >= ALIKE else None


def _likeness(said: str, asked: str) -> float:
    if len(said) >= 12 and (said in asked or asked in said):
        return 1.0
    return SequenceMatcher(None, said, asked, autojunk=False).ratio()


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))[:1000]

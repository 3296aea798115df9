"""Tests as the inspectors compare them: cases with the checks they make, whatever the language."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

EXACT, LOOSE, TRIVIAL = 2, 1, 0
_STRING = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`"
_LITERAL = re.compile(rf"{_STRING}|(?<![\w.])\d+(?:\.\d+)?(?![\w.])")


@dataclass(frozen=True)
class Check:
    """One assertion: what it is about, what it expects, and how much it can refuse."""

    left: str
    right: str
    strength: int
    subject: str = ""
    weight: int = 1
    given: frozenset[str] = frozenset()  # literals of the left side
    expected: frozenset[str] = frozenset()

    @property
    def literals(self) -> frozenset[str]:
        return self.given | self.expected

    @property
    def key(self) -> tuple[str, str]:
        return self.left, self.right

    @property
    def said(self) -> tuple[str, str, int]:
        return self.left, self.right, self.strength


@dataclass(frozen=True)
class Case:
    """A test; `why_not` says why it is not run, `pool` holds every literal that its checks can meet."""

    path: str
    name: str
    checks: tuple[Check, ...]
    body: str = ""
    skipped: bool = False
    on_condition: bool = False  # skipped on some machines only
    why_not: str = ""
    pool: frozenset[str] = frozenset()
    replaced: frozenset[str] = frozenset()
    is_empty: bool = False
    line: int = field(default=0, compare=False)

    @property
    def runs(self) -> bool:
        return not self.skipped and not self.why_not

    @property
    def real(self) -> list[Check]:
        return [check for check in self.checks if check.strength > TRIVIAL]

    def weight(self, least: int = LOOSE) -> int:
        return sum(check.weight for check in self.checks if check.strength >= least)


def literals_in(text: str) -> frozenset[str]:
    """Numbers and strings of a text, quotes taken off."""
    return frozenset(found.strip("\"'`") for found in _LITERAL.findall(text))


def _says(other: Check, pool: frozenset[str], check: Check) -> bool:
    """Whether the data of `check` reaches the same sides of another one."""
    return check.given <= (other.given | pool) and check.expected <= (other.expected | pool)


def is_kept(check: Check, cases: Iterable[Case], *, renamed: bool = False) -> bool:
    """Whether some test that runs still makes this check, in its own words or with its data.

    `renamed`: what it is about may have another name.
    """
    for case in cases:
        if not case.runs:
            continue
        for other in case.checks:
            if other.strength < check.strength:
                continue
            if other.key == check.key:
                return True
            same_subject = renamed or (bool(check.subject) and other.subject == check.subject)
            if same_subject and check.literals and _says(other, case.pool, check):
                return True
    return False

"""Amounts of money: text outside, whole cents inside."""

from __future__ import annotations

import re

from splitfair.errors import SplitfairError

# Three digits after a separator are refused: nobody can tell whether 1,234 means 1234 or 1.234.
_AMOUNT = re.compile(r"(\d{1,12})(?:[.,](\d{1,2}))?", re.ASCII)


class AmountError(SplitfairError):
    """A text that is not an amount of money."""


def parse_amount(text: str) -> int:
    """Return the cents that a text such as "12", "12.5" or "12,50" stands for.

    Raises AmountError for all else, zero included: a slip of the finger must not become money.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise AmountError(f"{text!r} is not an amount; write it like 12, 12.5 or 12,50")
    units, decimals = match.groups(default="")
    cents = int(units) * 100 + int(decimals.ljust(2, "0"))
    if cents == 0:
        raise AmountError(f"{text!r} is nothing; an amount must be more than zero, like 0.01 or 12")
    return cents


def format_amount(cents: int) -> str:
    """Return cents as units with two decimals: 1250 gives "12.50", -5 gives "-0.05"."""
    units, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{units}.{rest:02d}"

"""The book of a group: who takes part, who paid for whom, who paid back, and where everybody stands."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from splitfair.errors import SplitfairError
from splitfair.money import format_amount

# They separate names on the command line and in CSV files.
SEPARATORS = ",;=|"


class BookError(SplitfairError):
    """A name or an entry that the book does not accept."""


@dataclass(frozen=True)
class Expense:
    """One person paid `cents`; `shares` says what each person bears of it, in cents."""

    payer: str
    cents: int
    shares: Mapping[str, int]
    note: str = ""

    def __post_init__(self) -> None:
        _check_positive(self.cents)
        if any(share < 0 for share in self.shares.values()):
            raise BookError("a share must not be negative")
        total = sum(self.shares.values())
        if total != self.cents:
            raise BookError(
                f"the shares add up to {format_amount(total)}, not to {format_amount(self.cents)}"
            )

    @property
    def people(self) -> tuple[str, ...]:
        return (self.payer, *self.shares)


@dataclass(frozen=True)
class Repayment:
    """One person gave another `cents` back."""

    sender: str
    receiver: str
    cents: int

    def __post_init__(self) -> None:
        _check_positive(self.cents)
        if self.sender == self.receiver:
            raise BookError(f"{self.sender} cannot repay {self.receiver}: they are the same person")

    @property
    def people(self) -> tuple[str, ...]:
        return (self.sender, self.receiver)


Entry = Expense | Repayment


@dataclass(frozen=True)
class Balance:
    """Where one person stands, in cents; `repaid` is what they sent less what they received."""

    name: str
    paid: int
    share: int
    repaid: int

    @property
    def net(self) -> int:
        """What the person is owed; negative if they owe."""
        return self.paid - self.share + self.repaid


class Book:
    """People and their entries, in the order recorded; every entry names only people of the book."""

    def __init__(self, people: Iterable[str], entries: Iterable[Entry] = ()) -> None:
        self._people: list[str] = []
        self._entries: list[Entry] = []
        for name in people:
            self._people.append(self._checked_name(name))
        if len(self._people) < 2:
            raise BookError("a book needs at least two people")
        for entry in entries:
            self.add(entry)

    @property
    def people(self) -> tuple[str, ...]:
        return tuple(self._people)

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entries)

    def person(self, name: str) -> str:
        """Return the name as the book spells it; case does not matter. Raises BookError if it is unknown."""
        known = {person.casefold(): person for person in self._people}
        wanted = name.strip().casefold()
        if wanted in known:
            return known[wanted]
        nearest = difflib.get_close_matches(wanted, known, n=1)
        hint = f"did you mean {known[nearest[0]]}?" if nearest else f"it has {', '.join(self._people)}"
        raise BookError(f"there is no {name!r} in this book; {hint}")

    def add(self, entry: Entry) -> int:
        """Record an entry and return its number, counted from 1."""
        for name in entry.people:
            if self.person(name) != name:
                raise BookError(f"the book spells {name!r} as {self.person(name)!r}")
        self._entries.append(entry)
        return len(self._entries)

    def remove(self, number: int) -> Entry:
        """Take out the entry with this number; the numbers after it move up."""
        if not 1 <= number <= len(self._entries):
            raise BookError(f"there is no entry {number}; the book has {len(self._entries)}")
        return self._entries.pop(number - 1)

    def balances(self) -> list[Balance]:
        """Return where everybody stands, in the order of the people; the nets add up to zero."""
        paid: Counter[str] = Counter()
        share: Counter[str] = Counter()
        repaid: Counter[str] = Counter()
        for entry in self._entries:
            if isinstance(entry, Expense):
                paid[entry.payer] += entry.cents
                share.update(entry.shares)
            else:
                repaid[entry.sender] += entry.cents
                repaid[entry.receiver] -= entry.cents
        return [Balance(name, paid[name], share[name], repaid[name]) for name in self._people]

    def _checked_name(self, name: str) -> str:
        name = name.strip()
        if not name or not name.isprintable() or any(mark in name for mark in SEPARATORS):
            raise BookError(f"{name!r} is not a name; use any characters but {' '.join(SEPARATORS)}")
        if name.casefold() in (person.casefold() for person in self._people):
            raise BookError(f"{name} is listed twice")
        return name


def _check_positive(cents: int) -> None:
    if cents < 1:
        raise BookError(f"an amount must be more than zero, not {format_amount(cents)}")

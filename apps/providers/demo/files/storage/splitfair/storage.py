"""Keep a book in a JSON file that people can read.

{"format": "splitfair", "version": 1, "people": ["Ann", "Bob"], "entries": [
  {"kind": "expense", "payer": "Ann", "cents": 3000, "shares": {"Ann": 1500, "Bob": 1500}, "note": "Dinner"},
  {"kind": "repayment", "sender": "Bob", "receiver": "Ann", "cents": 500}]}
"""

from __future__ import annotations

import json
from pathlib import Path

from splitfair.book import Book, Entry, Expense, Repayment
from splitfair.errors import SplitfairError

FORMAT = "splitfair"
VERSION = 1


class FileError(SplitfairError):
    """A file that cannot be read, understood or written."""


def load_book(path: Path) -> Book:
    """Read a book; raises FileError with the reason if there is none, leaving the file as it is."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileError(f"there is no book at {path}; create one with: splitfair new NAME NAME...") from None
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise FileError(f"{path} is not a book: {error}") from error
    try:
        return _book(data)
    except SplitfairError as error:
        raise FileError(f"{path} is not a book: {error}") from error


def save_book(book: Book, path: Path) -> None:
    """Write a book."""
    data = {
        "format": FORMAT,
        "version": VERSION,
        "people": list(book.people),
        "entries": [_entry_data(entry) for entry in book.entries],
    }
    text = json.dumps(data, ensure_ascii=False, indent=2) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror}") from error


def _book(data: object) -> Book:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise FileError(f"it does not say that its format is {FORMAT!r}")
    if data.get("version") != VERSION:
        raise FileError(f"its format version is {data.get('version')!r}, and this splitfair reads {VERSION}")
    people, entries = data.get("people"), data.get("entries")
    if not isinstance(people, list) or not isinstance(entries, list):
        raise FileError("it lacks a list of people or of entries")
    if not all(isinstance(name, str) for name in people):
        raise FileError("a name is not text")
    return Book(people, [_entry(number, entry) for number, entry in enumerate(entries, 1)])


def _entry(number: int, data: object) -> Entry:
    match data:
        case {
            "kind": "expense",
            "payer": str(payer),
            "cents": int(cents),
            "shares": dict(shares),
            "note": str(note),
        }:
            if all(isinstance(share, int) for share in shares.values()):
                return Expense(payer, cents, shares, note)
        case {"kind": "repayment", "sender": str(sender), "receiver": str(receiver), "cents": int(cents)}:
            return Repayment(sender, receiver, cents)
    raise FileError(f"entry {number} is neither an expense nor a repayment")


def _entry_data(entry: Entry) -> dict[str, object]:
    if isinstance(entry, Repayment):
        return {"kind": "repayment", "sender": entry.sender, "receiver": entry.receiver, "cents": entry.cents}
    return {
        "kind": "expense",
        "payer": entry.payer,
        "cents": entry.cents,
        "shares": dict(entry.shares),
        "note": entry.note,
    }

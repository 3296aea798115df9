"""What each command does: load the book, do one thing, save it, say what happened."""

from __future__ import annotations

import json
from argparse import Namespace

from splitfair import report
from splitfair.book import Book, Expense, Repayment
from splitfair.csvfile import read_expenses
from splitfair.errors import SplitfairError
from splitfair.money import parse_amount
from splitfair.shares import split_by_weight, split_equally
from splitfair.storage import load_book, save_book


class CommandError(SplitfairError):
    """An argument that a command cannot use."""


def new(args: Namespace) -> None:
    if args.book.exists():
        raise CommandError(f"{args.book} exists already; choose another file with --book")
    book = Book(args.people)
    save_book(book, args.book)
    print(f"Started {args.book} for {', '.join(book.people)}.")


def add(args: Namespace) -> None:
    book = load_book(args.book)
    cents = parse_amount(args.amount)
    note = " ".join(args.note.split())
    _record(args, book, Expense(book.person(args.payer), cents, _shares(args, book, cents), note))


def repay(args: Namespace) -> None:
    book = load_book(args.book)
    sender, receiver = book.person(args.sender), book.person(args.receiver)
    _record(args, book, Repayment(sender, receiver, parse_amount(args.amount)))


def remove(args: Namespace) -> None:
    book = load_book(args.book)
    entry = book.remove(args.number)
    save_book(book, args.book)
    print(f"Removed {report.entry_text(args.number, entry)}")


def import_csv(args: Namespace) -> None:
    book = load_book(args.book)
    expenses = read_expenses(args.file, book)
    for expense in expenses:
        book.add(expense)
    save_book(book, args.book)
    print(f"Imported {len(expenses)} expense{'' if len(expenses) == 1 else 's'} from {args.file}.")


def show_entries(args: Namespace) -> None:
    print(report.entries_text(load_book(args.book)))


def show_balances(args: Namespace) -> None:
    book = load_book(args.book)
    print(json.dumps(report.balances_data(book), indent=2) if args.json else report.balances_text(book))


def show_settlement(args: Namespace) -> None:
    book = load_book(args.book)
    print(json.dumps(report.settlement_data(book), indent=2) if args.json else report.settlement_text(book))


def _record(args: Namespace, book: Book, entry: Expense | Repayment) -> None:
    number = book.add(entry)
    save_book(book, args.book)
    print(f"Recorded {report.entry_text(number, entry)}")


def _shares(args: Namespace, book: Book, cents: int) -> dict[str, int]:
    if args.weights is not None:
        weights = {name: _weight(text) for name, text in _pairs(book, args.weights).items()}
        return split_by_weight(cents, weights)
    if args.exact is not None:
        return {name: parse_amount(text) for name, text in _pairs(book, args.exact).items()}
    if args.among is not None:
        return split_equally(cents, [book.person(name) for name in args.among.split(",")])
    return split_equally(cents, book.people)


def _pairs(book: Book, text: str) -> dict[str, str]:
    """Read "Ann=2,Bob=1"; a decimal comma would be taken for the next name, and is reported."""
    pairs: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            raise CommandError(
                f"{part!r} is not NAME=VALUE; write it like Ann=2,Bob=1 (decimals with a point)"
            )
        person = book.person(name)
        if person in pairs:
            raise CommandError(f"{person} is listed twice")
        pairs[person] = value
    return pairs


def _weight(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise CommandError(f"{text!r} is not a weight; use whole numbers, like Ann=2,Bob=1") from None

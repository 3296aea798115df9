"""Show a book and its settlement: lines of text for people, plain data for other programs."""

from __future__ import annotations

from collections.abc import Sequence

from splitfair.book import Book, Entry, Expense
from splitfair.money import format_amount
from splitfair.settlement import Transfer, settle


def entry_text(number: int, entry: Entry) -> str:
    """Return one entry as one line."""
    if not isinstance(entry, Expense):
        return f"{number}. {entry.sender} repaid {entry.receiver} {format_amount(entry.cents)}"
    what = f" for {entry.note}" if entry.note else ""
    shares = ", ".join(f"{name} {format_amount(share)}" for name, share in entry.shares.items())
    return f"{number}. {entry.payer} paid {format_amount(entry.cents)}{what} (shares: {shares})"


def entries_text(book: Book) -> str:
    if not book.entries:
        return "Nothing is recorded yet."
    return "\n".join(entry_text(number, entry) for number, entry in enumerate(book.entries, 1))


def balances_text(book: Book) -> str:
    """Return a table; amounts under each other, and what people are owed marked with a plus."""
    rows: list[tuple[str, ...]] = [("Person", "Paid", "Share", "Repaid", "Balance")]
    for balance in book.balances():
        amounts = (format_amount(cents) for cents in (balance.paid, balance.share, balance.repaid))
        plus = "+" if balance.net > 0 else ""
        rows.append((balance.name, *amounts, plus + format_amount(balance.net)))
    return _table(rows)


def settlement_text(book: Book) -> str:
    transfers = settlement(book)
    if not transfers:
        return "Everybody is even."
    return "\n".join(f"{item.sender} pays {item.receiver} {format_amount(item.cents)}" for item in transfers)


def settlement(book: Book) -> list[Transfer]:
    """Return the transfers that even the book out."""
    return settle({balance.name: balance.net for balance in book.balances()})


def balances_data(book: Book) -> list[dict[str, object]]:
    """Return the balances for JSON; amounts are whole cents."""
    return [
        {
            "name": balance.name,
            "paid_cents": balance.paid,
            "share_cents": balance.share,
            "repaid_cents": balance.repaid,
            "net_cents": balance.net,
        }
        for balance in book.balances()
    ]


def settlement_data(book: Book) -> list[dict[str, object]]:
    """Return the transfers for JSON; amounts are whole cents."""
    return [
        {"sender": item.sender, "receiver": item.receiver, "cents": item.cents} for item in settlement(book)
    ]


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for name, *amounts in rows:
        cells = [name.ljust(widths[0])]
        cells += [amount.rjust(width) for amount, width in zip(amounts, widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return "\n".join(lines)

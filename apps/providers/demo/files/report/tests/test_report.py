"""Text for people and data for programs tell the same story."""

from __future__ import annotations

import json
import textwrap
import unittest

from splitfair import Book, Expense, Repayment, format_amount, split_equally
from splitfair.report import balances_data, balances_text, entries_text, settlement_data, settlement_text


def sample_book() -> Book:
    book = Book(["Ann", "Bob", "Cleo"])
    book.add(Expense("Ann", 3001, split_equally(3001, book.people), "Dinner"))
    book.add(Expense("Bob", 500, {"Cleo": 500}))
    book.add(Repayment("Cleo", "Ann", 200))
    return book


class TextTest(unittest.TestCase):
    def test_entries_read_like_sentences(self) -> None:
        expected = """\
            1. Ann paid 30.01 for Dinner (shares: Ann 10.01, Bob 10.00, Cleo 10.00)
            2. Bob paid 5.00 (shares: Cleo 5.00)
            3. Cleo repaid Ann 2.00"""
        self.assertEqual(entries_text(sample_book()), textwrap.dedent(expected))

    def test_balances_stand_under_each_other(self) -> None:
        expected = """\
            Person   Paid  Share  Repaid  Balance
            Ann     30.01  10.01   -2.00   +18.00
            Bob      5.00  10.00    0.00    -5.00
            Cleo     0.00  15.00    2.00   -13.00"""
        self.assertEqual(balances_text(sample_book()), textwrap.dedent(expected))

    def test_settlement_says_who_pays_whom(self) -> None:
        self.assertEqual(settlement_text(sample_book()), "Cleo pays Ann 13.00\nBob pays Ann 5.00")

    def test_new_books_say_so(self) -> None:
        book = Book(["Ann", "Bob"])
        self.assertEqual(entries_text(book), "Nothing is recorded yet.")
        self.assertEqual(settlement_text(book), "Everybody is even.")

    def test_long_names_and_amounts_keep_the_table_aligned(self) -> None:
        book = Book(["Maximiliana", "Bo"])
        book.add(Expense("Bo", 123456789, {"Maximiliana": 123456789}))
        widths = {len(line) for line in balances_text(book).splitlines()}
        self.assertEqual(len(widths), 1)


class DataTest(unittest.TestCase):
    def test_data_is_plain_json_in_whole_cents(self) -> None:
        balances = json.loads(json.dumps(balances_data(sample_book())))
        self.assertEqual(
            balances[0],
            {"name": "Ann", "paid_cents": 3001, "share_cents": 1001, "repaid_cents": -200, "net_cents": 1800},
        )
        transfers = json.loads(json.dumps(settlement_data(sample_book())))
        self.assertEqual(transfers[0], {"sender": "Cleo", "receiver": "Ann", "cents": 1300})

    def test_data_agrees_with_the_text(self) -> None:
        lines = settlement_text(sample_book()).splitlines()
        for line, item in zip(lines, settlement_data(sample_book()), strict=True):
            cents = item["cents"]
            assert isinstance(cents, int)
            self.assertEqual(line, f"{item['sender']} pays {item['receiver']} {format_amount(cents)}")

    def test_paying_the_transfers_evens_the_book(self) -> None:
        book = sample_book()
        for item in settlement_data(book):
            cents = item["cents"]
            assert isinstance(cents, int)
            book.add(Repayment(str(item["sender"]), str(item["receiver"]), cents))
        self.assertEqual(settlement_text(book), "Everybody is even.")


if __name__ == "__main__":
    unittest.main()

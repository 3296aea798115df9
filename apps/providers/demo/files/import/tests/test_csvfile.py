"""Expenses come from CSV files as spreadsheets save them: all of them, or none and the line at fault."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from splitfair import Book, Expense
from splitfair.csvfile import CsvError, read_expenses


class CsvTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "trip.csv"
        self.book = Book(["Ann", "Bob", "Cleo"])

    def read(self, text: str, encoding: str = "utf-8") -> list[Expense]:
        self.path.write_text(text, encoding=encoding)
        return read_expenses(self.path, self.book)

    def assert_refused(self, text: str, reason: str) -> None:
        with self.assertRaisesRegex(CsvError, reason):
            self.read(text)
        self.assertEqual(self.book.entries, ())

    def test_expenses_are_read_in_order(self) -> None:
        expenses = self.read("payer,amount,people,note\nAnn,30.00,,Dinner\nbob,4.01,Bob | Cleo,Taxi\n")
        self.assertEqual(
            expenses,
            [
                Expense("Ann", 3000, {"Ann": 1000, "Bob": 1000, "Cleo": 1000}, "Dinner"),
                Expense("Bob", 401, {"Bob": 201, "Cleo": 200}, "Taxi"),
            ],
        )

    def test_the_book_itself_stays_as_it_is(self) -> None:
        self.read("payer,amount\nAnn,1\n")
        self.assertEqual(self.book.entries, ())

    def test_columns_may_come_in_any_order_and_case(self) -> None:
        self.assertEqual(self.read("Note,Amount,PAYER\nTea,3,Cleo\n")[0].note, "Tea")

    def test_a_spreadsheet_with_decimal_commas_separates_by_semicolons(self) -> None:
        self.assertEqual(self.read("payer;amount;note\nAnn;12,50;Bread\n")[0].cents, 1250)

    def test_a_spreadsheet_marks_its_encoding_with_a_byte_order_mark(self) -> None:
        self.assertEqual(self.read("payer,amount\nAnn,1\n", encoding="utf-8-sig")[0].payer, "Ann")

    def test_quoted_cells_may_hold_separators(self) -> None:
        self.assertEqual(
            self.read('payer,amount,note\nAnn,"12,50","Bread, cheese"\n')[0].note, "Bread, cheese"
        )

    def test_empty_lines_and_missing_last_cells_are_nothing_special(self) -> None:
        expenses = self.read("payer,amount,people,note\n\nAnn,1\n,,,\r\nBob,2,Bob\n")
        self.assertEqual([expense.payer for expense in expenses], ["Ann", "Bob"])

    def test_first_bad_line_is_named(self) -> None:
        good = "payer,amount,people\nAnn,1,\n"
        self.assert_refused(good + "Ann,ten,\nBob,x,\n", "trip.csv, line 3: 'ten' is not an amount")
        self.assert_refused(good + "\nDan,1,\n", "line 4: there is no 'Dan'")
        self.assert_refused(
            good + "Ann,1,Bob|Bop\n", "line 3: there is no 'Bop' in this book; did you mean Bob"
        )
        self.assert_refused(good + "Ann,1,Bob|bob\n", "line 3: Bob is listed twice")
        self.assert_refused(good + "Ann,12,50,Bob\n", "line 3: there are 4 cells for 3 columns")
        self.assert_refused(good + 'Ann,"1\n', "line 3: unexpected end of data")

    def test_headings_must_be_right(self) -> None:
        self.assert_refused("", "line 1: the column 'payer' is missing")
        self.assert_refused("Ann,30.00\n", "line 1: unexpected column 'ann'")
        self.assert_refused("payer,amount,notes\n", "unexpected column 'notes'; there can be payer, amount")
        self.assert_refused("payer,payer,amount\n", "'payer'; .* each once")

    def test_files_that_cannot_be_read_are_refused(self) -> None:
        with self.assertRaisesRegex(CsvError, "cannot read .*trip.csv"):
            read_expenses(self.path, self.book)
        with self.assertRaisesRegex(CsvError, "not UTF-8 text; save it"):
            self.read("payer,amount,note\nAnn,1,Crêpes\n", encoding="latin-1")


if __name__ == "__main__":
    unittest.main()

"""What is saved is loaded unchanged; what is not a book is refused and left as it is."""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path

from splitfair import Book, Expense, Repayment, split_equally
from splitfair.storage import FileError, load_book, save_book


def sample_book() -> Book:
    book = Book(["Ann", "Bob", "Zoë"])
    book.add(Expense("Ann", 1000, split_equally(1000, book.people), "Crêpes"))
    book.add(Repayment("Bob", "Ann", 333))
    return book


class StorageTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "trip.json"

    def assert_refused(self, text: str, reason: str) -> None:
        self.path.write_text(text, encoding="utf-8")
        with self.assertRaisesRegex(FileError, reason):
            load_book(self.path)
        self.assertEqual(self.path.read_text(encoding="utf-8"), text)

    def test_what_is_saved_is_loaded(self) -> None:
        save_book(sample_book(), self.path)
        loaded = load_book(self.path)
        self.assertEqual(loaded.people, sample_book().people)
        self.assertEqual(loaded.entries, sample_book().entries)

    def test_file_is_readable_for_people(self) -> None:
        save_book(sample_book(), self.path)
        text = self.path.read_text(encoding="utf-8")
        self.assertIn("Crêpes", text)
        self.assertGreater(len(text.splitlines()), 10)

    def test_saving_again_replaces_the_book(self) -> None:
        save_book(sample_book(), self.path)
        save_book(Book(["Ann", "Bob"]), self.path)
        self.assertEqual(load_book(self.path).entries, ())

    def test_missing_book_says_how_to_create_one(self) -> None:
        with self.assertRaisesRegex(FileError, "no book at .*trip.json; create one with: splitfair new"):
            load_book(self.path)

    def test_a_folder_is_not_a_book(self) -> None:
        with self.assertRaisesRegex(FileError, "cannot read"):
            load_book(self.path.parent)
        with self.assertRaisesRegex(FileError, "cannot write"):
            save_book(sample_book(), self.path.parent)

    def test_files_that_are_not_json_are_refused(self) -> None:
        for text in ("", "people: Ann", '{"format": "splitfair"'):
            with self.subTest(text):
                self.assert_refused(text, "is not a book")
        self.path.write_bytes(b"\xff\xfe\x00")
        with self.assertRaisesRegex(FileError, "is not a book"):
            load_book(self.path)

    def test_json_of_other_programs_is_refused(self) -> None:
        for text in ("[]", "{}", '{"format": "other", "version": 1, "people": [], "entries": []}'):
            with self.subTest(text):
                self.assert_refused(text, "does not say that its format is 'splitfair'")

    def test_incomplete_books_are_refused(self) -> None:
        self.assert_refused('{"format": "splitfair", "version": 1, "people": ["Ann", "Bob"]}', "lacks a list")
        self.assert_refused(
            '{"format": "splitfair", "version": 1, "people": [1, 2], "entries": []}', "not text"
        )

    def test_books_of_a_newer_splitfair_are_refused(self) -> None:
        text = '{"format": "splitfair", "version": 2, "people": ["Ann", "Bob"], "entries": []}'
        self.assert_refused(text, "version is 2, and this splitfair reads 1")

    def test_books_that_do_not_add_up_are_refused(self) -> None:
        save_book(sample_book(), self.path)
        data = json.loads(self.path.read_text(encoding="utf-8"))
        data["entries"][0]["cents"] = 999
        self.assert_refused(json.dumps(data), "add up to 10.00, not to 9.99")

    def test_malformed_entries_are_named_by_number(self) -> None:
        save_book(sample_book(), self.path)
        data = json.loads(self.path.read_text(encoding="utf-8"))
        expense = data["entries"][0]
        for bad in (
            {},
            "Dinner",
            {"kind": "loan"},
            {**expense, "cents": 10.0},
            {**expense, "shares": {"Ann": "10"}},
        ):
            data["entries"][1] = bad
            with self.subTest(bad):
                self.assert_refused(json.dumps(data), "entry 2 is neither")


if __name__ == "__main__":
    unittest.main()

"""A book accepts only what makes sense, and its balances always add up to zero."""

from __future__ import annotations

import random
import unittest

from splitfair import Book, Expense, Repayment, split_by_weight, split_equally
from splitfair.book import Balance, BookError

PEOPLE = ("Ann", "Bob", "Cleo")


def dinner(book: Book) -> int:
    return book.add(Expense("Ann", 3000, split_equally(3000, book.people), "Dinner"))


def nets(book: Book) -> dict[str, int]:
    return {balance.name: balance.net for balance in book.balances()}


class PeopleTest(unittest.TestCase):
    def test_names_are_found_whatever_their_case(self) -> None:
        self.assertEqual(Book(PEOPLE).person(" cleo "), "Cleo")

    def test_nearest_name_is_suggested(self) -> None:
        with self.assertRaisesRegex(BookError, "no 'Bop' in this book; did you mean Bob?"):
            Book(PEOPLE).person("Bop")

    def test_names_are_listed_when_none_is_near(self) -> None:
        with self.assertRaisesRegex(BookError, "it has Ann, Bob, Cleo"):
            Book(PEOPLE).person("Zebulon")

    def test_names_that_cannot_be_told_apart_are_refused(self) -> None:
        for people in (("Ann", "Ann"), ("Ann", "ANN"), ("Ann", " ann")):
            with self.subTest(people), self.assertRaisesRegex(BookError, "listed twice"):
                Book(people)

    def test_names_that_would_break_lists_are_refused(self) -> None:
        for name in ("", "  ", "A,B", "A=2", "A;B", "A|B", "A\nB"):
            with self.subTest(name), self.assertRaisesRegex(BookError, "is not a name"):
                Book(["Ann", name])

    def test_names_of_any_language_are_welcome(self) -> None:
        self.assertEqual(Book(["Zoë", "李雷", "O'Brien Jr."]).people, ("Zoë", "李雷", "O'Brien Jr."))

    def test_one_person_has_nobody_to_share_with(self) -> None:
        with self.assertRaisesRegex(BookError, "at least two"):
            Book(["Ann"])


class EntryTest(unittest.TestCase):
    def test_shares_must_add_up(self) -> None:
        with self.assertRaisesRegex(BookError, "add up to 29.00, not to 30.00"):
            Expense("Ann", 3000, {"Ann": 1000, "Bob": 1900})

    def test_negative_shares_are_refused(self) -> None:
        with self.assertRaisesRegex(BookError, "negative"):
            Expense("Ann", 1000, {"Ann": 2000, "Bob": -1000})

    def test_nothing_is_not_an_expense(self) -> None:
        with self.assertRaisesRegex(BookError, "more than zero"):
            Expense("Ann", 0, {})

    def test_nobody_repays_themselves(self) -> None:
        with self.assertRaisesRegex(BookError, "same person"):
            Repayment("Ann", "Ann", 100)

    def test_strangers_are_refused_wherever_they_stand(self) -> None:
        strangers = (
            Expense("Dan", 100, {"Ann": 100}),
            Expense("Ann", 100, {"Dan": 100}),
            Repayment("Ann", "Dan", 100),
        )
        for entry in strangers:
            book = Book(PEOPLE)
            with self.subTest(entry), self.assertRaisesRegex(BookError, "no 'Dan'"):
                book.add(entry)
            self.assertEqual(book.entries, ())

    def test_entries_keep_their_order_and_are_numbered_from_one(self) -> None:
        book = Book(PEOPLE)
        self.assertEqual((dinner(book), book.add(Repayment("Bob", "Ann", 500))), (1, 2))
        self.assertEqual([type(entry) for entry in book.entries], [Expense, Repayment])

    def test_removing_an_entry_restores_the_balances(self) -> None:
        book = Book(PEOPLE)
        dinner(book)
        before = book.balances()
        number = book.add(Repayment("Bob", "Ann", 500))
        self.assertEqual(book.remove(number), Repayment("Bob", "Ann", 500))
        self.assertEqual(book.balances(), before)

    def test_only_entries_that_exist_can_be_removed(self) -> None:
        book = Book(PEOPLE)
        dinner(book)
        for number in (0, 2, -1):
            with (
                self.subTest(number),
                self.assertRaisesRegex(BookError, f"no entry {number}; the book has 1"),
            ):
                book.remove(number)


class BalanceTest(unittest.TestCase):
    def test_an_empty_book_is_even(self) -> None:
        self.assertEqual(nets(Book(PEOPLE)), {"Ann": 0, "Bob": 0, "Cleo": 0})

    def test_payer_is_owed_what_the_others_ate(self) -> None:
        book = Book(PEOPLE)
        dinner(book)
        self.assertEqual(nets(book), {"Ann": 2000, "Bob": -1000, "Cleo": -1000})

    def test_repayments_count(self) -> None:
        book = Book(PEOPLE)
        dinner(book)
        book.add(Repayment("Bob", "Ann", 400))
        self.assertEqual(book.balances()[0], Balance("Ann", paid=3000, share=1000, repaid=-400))
        self.assertEqual(nets(book), {"Ann": 1600, "Bob": -600, "Cleo": -1000})

    def test_payer_need_not_take_part(self) -> None:
        book = Book(PEOPLE)
        book.add(Expense("Ann", 500, {"Bob": 500}))
        self.assertEqual(nets(book), {"Ann": 500, "Bob": -500, "Cleo": 0})

    def test_random_books_add_up_to_zero(self) -> None:
        chance = random.Random(3)
        for _ in range(100):
            book = Book(f"P{i}" for i in range(chance.randrange(2, 8)))
            for _ in range(30):
                cents = chance.randrange(1, 100_000)
                first, second = chance.sample(book.people, 2)
                weights = {name: chance.randrange(1, 5) for name in (first, second)}
                book.add(Expense(first, cents, split_by_weight(cents, weights)))
                book.add(Repayment(second, first, chance.randrange(1, cents + 1)))
            self.assertEqual(sum(nets(book).values()), 0)


if __name__ == "__main__":
    unittest.main()

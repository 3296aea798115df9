"""Amounts are read without guessing, printed exactly, and never become floating point."""

from __future__ import annotations

import ast
import random
import unittest
from pathlib import Path

from splitfair import format_amount, parse_amount
from splitfair.money import AmountError

PACKAGE = Path(__file__).resolve().parents[1] / "splitfair"


class ReadingTest(unittest.TestCase):
    def test_amounts_as_people_write_them(self) -> None:
        cases = {"12": 1200, "12.5": 1250, "12.50": 1250, "12,50": 1250, "0.01": 1, " 7 ": 700, "007": 700}
        for text, cents in cases.items():
            with self.subTest(text):
                self.assertEqual(parse_amount(text), cents)

    def test_what_would_need_guessing_is_refused_and_named(self) -> None:
        for text in (
            "1,234.50",
            "1,234",
            "1.234",
            "-3",
            "+3",
            "ten",
            "",
            "1e3",
            ".5",
            "5.",
            "$5",
            "1 000",
            "١٢",
        ):
            with self.subTest(text), self.assertRaises(AmountError) as caught:
                parse_amount(text)
            self.assertIn(repr(text), str(caught.exception))
            self.assertIn("12.5", str(caught.exception))

    def test_nothing_is_not_an_amount(self) -> None:
        for text in ("0", "0.00", "0,0"):
            with self.subTest(text), self.assertRaisesRegex(AmountError, "more than zero"):
                parse_amount(text)

    def test_absurdly_long_amounts_are_refused(self) -> None:
        self.assertEqual(parse_amount("9" * 12), 99999999999900)
        with self.assertRaises(AmountError):
            parse_amount("9" * 13)


class PrintingTest(unittest.TestCase):
    def test_two_decimals_always(self) -> None:
        cases = {0: "0.00", 5: "0.05", 99: "0.99", 100: "1.00", 1250: "12.50", 123456789: "1234567.89"}
        for cents, text in cases.items():
            with self.subTest(cents):
                self.assertEqual(format_amount(cents), text)

    def test_debts_carry_their_sign(self) -> None:
        self.assertEqual(format_amount(-5), "-0.05")
        self.assertEqual(format_amount(-1250), "-12.50")

    def test_what_is_printed_reads_back_unchanged(self) -> None:
        chance = random.Random(1)
        for cents in [1, 10, 99, 100, 101, *(chance.randrange(1, 10**12) for _ in range(1000))]:
            self.assertEqual(parse_amount(format_amount(cents)), cents)


class ExactnessTest(unittest.TestCase):
    def test_no_floating_point_in_the_package(self) -> None:
        for source in sorted(PACKAGE.glob("*.py")):
            for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
                inexact = (
                    isinstance(node, ast.Div)
                    or (isinstance(node, ast.Constant) and isinstance(node.value, float))
                    or (isinstance(node, ast.Name) and node.id in {"float", "round"})
                )
                self.assertFalse(inexact, f"{source.name} uses floating point")


if __name__ == "__main__":
    unittest.main()

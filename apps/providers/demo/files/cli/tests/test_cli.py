"""The commands through the front door: what is printed, where, and with which exit code."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import NamedTuple

from splitfair.cli import main

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("new", "add", "repay", "remove", "import", "list", "balances", "settle")


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


def run(*arguments: str) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as leave:
            code = int(leave.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


class CommandLineTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.enterContext(contextlib.chdir(folder))
        self.book = Path("splitfair.json")

    def ok(self, *arguments: str) -> str:
        outcome = run(*arguments)
        self.assertEqual((outcome.code, outcome.err), (0, ""), arguments)
        return outcome.out

    def assert_refused(self, *arguments: str, reason: str) -> None:
        before = self.book.read_bytes() if self.book.exists() else None
        outcome = run(*arguments)
        self.assertEqual((outcome.code, outcome.out), (1, ""), arguments)
        self.assertRegex(outcome.err, f"^splitfair: .*{reason}.*\n$")
        self.assertEqual(self.book.read_bytes() if self.book.exists() else None, before)


class WorkTest(CommandLineTest):
    def test_a_trip_from_start_to_settlement(self) -> None:
        self.assertEqual(self.ok("new", "Ann", "Bob", "Cleo"), "Started splitfair.json for Ann, Bob, Cleo.\n")
        recorded = self.ok("add", "Ann", "30", "Dinner")
        self.assertEqual(
            recorded, "Recorded 1. Ann paid 30.00 for Dinner (shares: Ann 10.00, Bob 10.00, Cleo 10.00)\n"
        )
        self.assertEqual(self.ok("repay", "bob", "ann", "4"), "Recorded 2. Bob repaid Ann 4.00\n")
        self.assertEqual(self.ok("settle"), "Cleo pays Ann 10.00\nBob pays Ann 6.00\n")
        self.ok("repay", "Cleo", "Ann", "10")
        self.ok("repay", "Bob", "Ann", "6")
        self.assertEqual(self.ok("settle"), "Everybody is even.\n")
        self.assertEqual(len(self.ok("list").splitlines()), 4)

    def test_all_ways_to_share(self) -> None:
        self.ok("new", "Ann", "Bob", "Cleo")
        self.assertIn("(shares: Bob 0.51, Cleo 0.50)", self.ok("add", "Ann", "1.01", "--among", "Bob,Cleo"))
        self.assertIn("(shares: Ann 6.00, Bob 3.00)", self.ok("add", "Ann", "9", "--weights", "Ann=2,Bob=1"))
        self.assertIn(
            "(shares: Ann 8.50, Bob 0.50)", self.ok("add", "Ann", "9", "--exact", "ann=8.50,bob=0.5")
        )

    def test_a_removed_entry_is_gone(self) -> None:
        self.ok("new", "Ann", "Bob")
        self.ok("add", "Ann", "30")
        self.assertIn("Removed 1. Ann paid 30.00", self.ok("remove", "1"))
        self.assertEqual(self.ok("list"), "Nothing is recorded yet.\n")

    def test_expenses_are_imported(self) -> None:
        self.ok("new", "Ann", "Bob")
        Path("trip.csv").write_text("payer,amount,note\nAnn,10,Tea\nBob,4,Cake\n", encoding="utf-8")
        self.assertEqual(self.ok("import", "trip.csv"), "Imported 2 expenses from trip.csv.\n")
        self.assertEqual(self.ok("settle"), "Bob pays Ann 3.00\n")

    def test_json_for_other_programs(self) -> None:
        self.ok("new", "Ann", "Bob")
        self.ok("add", "Ann", "30")
        transfers = json.loads(self.ok("settle", "--json"))
        self.assertEqual(transfers, [{"sender": "Bob", "receiver": "Ann", "cents": 1500}])
        self.assertEqual(
            [item["net_cents"] for item in json.loads(self.ok("balances", "--json"))], [1500, -1500]
        )

    def test_several_books_live_side_by_side(self) -> None:
        self.ok("new", "--book", "trip.json", "Ann", "Bob")
        self.ok("new", "Cleo", "Dan")
        self.ok("add", "Ann", "2", "--book", "trip.json")
        self.assertEqual(self.ok("list"), "Nothing is recorded yet.\n")


class RefusalTest(CommandLineTest):
    def setUp(self) -> None:
        super().setUp()
        self.ok("new", "Ann", "Bob")
        self.ok("add", "Ann", "30", "Dinner")

    def test_a_book_is_never_overwritten(self) -> None:
        self.assert_refused("new", "Cleo", "Dan", reason="exists already; choose another file")

    def test_mistakes_end_in_one_line_and_leave_the_book_as_it_is(self) -> None:
        Path("bad.csv").write_text("payer,amount\nAnn,1\nAnn,ten\n", encoding="utf-8")
        cases = {
            ("add", "Bop", "5"): "no 'Bop' in this book; did you mean Bob",
            ("add", "Ann", "1,234.50"): "'1,234.50' is not an amount",
            ("add", "Ann", "-3"): "'-3' is not an amount",
            ("add", "Ann", "3", "--among", "Ann,Ann"): "Ann is listed twice",
            ("add", "Ann", "3", "--weights", "Ann=x"): "'x' is not a weight",
            ("add", "Ann", "3", "--weights", "Ann=0"): "weight of Ann must be",
            ("add", "Ann", "3", "--weights", "Ann=1,ann=2"): "Ann is listed twice",
            ("add", "Ann", "3", "--exact", "Ann=1,Bob=1"): "add up to 2.00, not to 3.00",
            ("add", "Ann", "3", "--exact", "Ann=1,50,Bob=1,50"): "'50' is not NAME=VALUE",
            ("repay", "Ann", "Ann", "3"): "same person",
            ("remove", "2"): "no entry 2; the book has 1",
            ("import", "bad.csv"): "bad.csv, line 3",
            ("import", "none.csv"): "cannot read none.csv",
            ("list", "--book", "none.json"): "no book at none.json; create one",
        }
        for arguments, reason in cases.items():
            with self.subTest(arguments):
                self.assert_refused(*arguments, reason=reason)

    def test_text_that_cannot_be_stored_leaves_the_book_as_it_is(self) -> None:
        self.assert_refused("add", "Ann", "3", os.fsdecode(b"caf\xe9"), reason="not valid text")

    def test_malformed_command_lines_are_usage_errors(self) -> None:
        for arguments in (
            (),
            ("fly",),
            ("add",),
            ("remove", "one"),
            ("add", "Ann", "1", "--among", "A", "--exact", "B"),
        ):
            with self.subTest(arguments):
                outcome = run(*arguments)
                self.assertEqual((outcome.code, outcome.out), (2, ""))
                self.assertIn("usage: splitfair", outcome.err)


class HelpTest(unittest.TestCase):
    def test_help_names_every_command(self) -> None:
        outcome = run("--help")
        self.assertEqual(outcome.code, 0)
        for name in COMMANDS:
            self.assertRegex(outcome.out, rf"(?m)^ +{name} +\w")

    def test_help_of_every_command_shows_an_example(self) -> None:
        for name in COMMANDS:
            with self.subTest(name):
                self.assertIn(f"Example: splitfair {name}", run(name, "--help").out.replace("\n", " "))


class ProcessTest(CommandLineTest):
    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "splitfair", *arguments]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def test_exit_code_reaches_the_shell(self) -> None:
        process = self.start("list")
        out, err = process.communicate(timeout=30)
        self.assertEqual((process.returncode, out), (1, b""))
        self.assertTrue(err.startswith(b"splitfair: there is no book"))

    def test_a_reader_that_has_seen_enough_is_no_error(self) -> None:
        self.ok("new", "Ann", "Bob")
        process = self.start("balances")
        assert process.stdout and process.stderr
        process.stdout.close()
        self.assertEqual((process.stderr.read(), process.wait(timeout=30)), (b"", 0))
        process.stderr.close()


if __name__ == "__main__":
    unittest.main()

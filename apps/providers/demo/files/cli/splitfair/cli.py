"""The command line: what can be typed. What the commands do is in commands.py."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from splitfair import __version__, commands
from splitfair.errors import SplitfairError

DEFAULT_BOOK = Path("splitfair.json")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="splitfair",
        description="Split shared expenses among friends and settle them with few transfers.",
        epilog="Each command explains itself: splitfair add --help",
    )
    parser.add_argument("--version", action="version", version=f"splitfair {__version__}")
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)

    new = _command(kinds, "new", commands.new, "start a book", "splitfair new Ann Bob Cleo")
    new.add_argument("people", metavar="NAME", nargs="+", help="who takes part; two or more")

    _add_parser(kinds)

    repay = _command(
        kinds, "repay", commands.repay, "record money given back", "splitfair repay Bob Ann 12.50"
    )
    repay.add_argument("sender", metavar="FROM", help="who gave the money")
    repay.add_argument("receiver", metavar="TO", help="who got it")
    repay.add_argument("amount", metavar="AMOUNT", help="such as 12, 12.5 or 12,50")

    remove = _command(kinds, "remove", commands.remove, "take an entry out again", "splitfair remove 3")
    remove.add_argument("number", metavar="NUMBER", type=int, help="as shown by: splitfair list")

    imports = _command(
        kinds, "import", commands.import_csv, "import expenses from CSV", "splitfair import trip.csv"
    )
    imports.add_argument("file", metavar="FILE", type=Path, help="columns: payer, amount, people, note")

    _command(kinds, "list", commands.show_entries, "show what was recorded", "splitfair list")
    for name, run, summary in (
        ("balances", commands.show_balances, "show where everybody stands"),
        ("settle", commands.show_settlement, "show who should pay whom"),
    ):
        report = _command(kinds, name, run, summary, f"splitfair {name} --json")
        report.add_argument(
            "--json", action="store_true", help="print JSON with whole cents, for other programs"
        )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0, or 1 when it was refused; leaves with 2 on a malformed command line."""
    args = build_parser().parse_args(argv)
    try:
        args.run(args)
        sys.stdout.flush()
    except SplitfairError as error:
        print(f"splitfair: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader, such as head, has seen enough. Python would complain when it flushes again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    example = "splitfair add Ann 30 'Dinner for two' --among Ann,Bob"
    add = _command(kinds, "add", commands.add, "record an expense", example)
    add.add_argument("payer", metavar="PAYER", help="who paid")
    add.add_argument("amount", metavar="AMOUNT", help="such as 12, 12.5 or 12,50")
    add.add_argument("note", metavar="NOTE", nargs="?", default="", help="what it was for")
    how = add.add_mutually_exclusive_group()
    how.add_argument("--among", metavar="A,B", help="share equally among these; otherwise among everybody")
    how.add_argument("--weights", metavar="A=2,B=1", help="share in these proportions")
    how.add_argument("--exact", metavar="A=20,B=10", help="share by these amounts")


def _command(
    kinds: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], None],
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    parser = kinds.add_parser(
        name, help=summary, description=f"{summary.capitalize()}.", epilog=f"Example: {example}"
    )
    parser.add_argument(
        "--book", metavar="FILE", type=Path, default=DEFAULT_BOOK, help=f"the book (default: {DEFAULT_BOOK})"
    )
    parser.set_defaults(run=run)
    return parser

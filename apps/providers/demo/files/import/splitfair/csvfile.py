"""Read expenses from a CSV file as spreadsheets save it.

The first line names the columns: payer and amount, and if wanted people and note. `people` are names
with | between them; an empty cell means everybody. Columns are separated by commas or by semicolons.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from splitfair.book import Book, Expense
from splitfair.errors import SplitfairError
from splitfair.money import parse_amount
from splitfair.shares import split_equally

REQUIRED = ("payer", "amount")
COLUMNS = (*REQUIRED, "people", "note")


class CsvError(SplitfairError):
    """A CSV file that cannot be imported."""


def read_expenses(path: Path, book: Book) -> list[Expense]:
    """Return all expenses of a file, checked against the people of the book, which stays as it is.

    Raises CsvError that names the first bad line; so nothing is ever imported in part.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CsvError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CsvError(f"{path} is not UTF-8 text; save it from the spreadsheet as 'CSV UTF-8'") from error
    heading = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text), delimiter=";" if ";" in heading else ",", strict=True)
    try:
        columns = _columns(next(rows, []))
        return [_expense(columns, row, book) for row in rows if any(cell.strip() for cell in row)]
    except (SplitfairError, csv.Error) as error:
        raise CsvError(f"{path}, line {max(rows.line_num, 1)}: {error}") from error


def _columns(heading: Sequence[str]) -> list[str]:
    columns = [cell.strip().lower() for cell in heading]
    for name in columns:
        if name not in COLUMNS or columns.count(name) > 1:
            raise CsvError(f"unexpected column {name!r}; there can be {', '.join(COLUMNS)}, each once")
    for name in REQUIRED:
        if name not in columns:
            raise CsvError(f"the column {name!r} is missing; the first line must name the columns")
    return columns


def _expense(columns: Sequence[str], row: Sequence[str], book: Book) -> Expense:
    if len(row) > len(columns):
        raise CsvError(
            f"there are {len(row)} cells for {len(columns)} columns; quote a cell that holds a separator"
        )
    # Spreadsheets leave out empty cells at the end of a line.
    cells = dict.fromkeys(COLUMNS, "") | dict(zip(columns, (cell.strip() for cell in row), strict=False))
    cents = parse_amount(cells["amount"])
    note = " ".join(cells["note"].split())
    names = [name for name in cells["people"].split("|") if name.strip()]
    people = [book.person(name) for name in names] or book.people
    return Expense(book.person(cells["payer"]), cents, split_equally(cents, people), note)

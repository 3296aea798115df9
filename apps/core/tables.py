"""Tables as CSV for spreadsheets: row by row, and without anything that they would calculate."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets would calculate


def csv_cell(value: Any) -> Any:
    """Texts that begin like a formula get an apostrophe in front; numbers stay numbers."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def csv_lines(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """One piece of CSV for each row."""
    written = io.StringIO()
    writer = csv.writer(written)
    for row in rows:
        writer.writerow([csv_cell(value) for value in row])
        yield written.getvalue()
        written.seek(0)
        written.truncate()

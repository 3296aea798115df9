"""A change as the inspectors see it: the texts of each file before and after, and what kind of file it is."""

from __future__ import annotations

import ast
import functools
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import PurePosixPath

MOST_BESIDE = 200  # test files that are looked at though they did not change
MAX_TEXT = 1_000_000  # characters of one file; what is longer was generated
WARNING, NOTICE = "warning", "notice"

_TEST = re.compile(
    r"(^|/)test_[^/]*\.py$|_test\.(py|go|rs|exs?)$|\.(test|spec)\.[cm]?[jt]sx?$|(^|/)tests?\.(py|rs)$|"
    r"(^|/)(tests?|__tests__|specs?|e2e)/(.*/)?[^/]+\.(py|[cm]?[jt]sx?|rs|rb|sh|bats)$"
)
_COLLECTED = re.compile(r"(^|/)(test[^/]*|[^/]*_test)\.py$")
_FIXTURE = re.compile(
    r"(^|/)(conftest|sitecustomize|usercustomize)\.py$|"
    r"(^|/)(jest|vitest|karma|playwright|cypress|mocha|eslint|babel|vite)\.(config|setup|"
    r"conf)\.[cm]?[jt]s$|"
    r"(^|/)(setup-?tests?|test-?setup)\.[cm]?[jt]sx?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Finding:
    """`notice`: worth a look, and as often honest as not; a `warning` needs a reason."""

    path: str
    what: str
    rule: str
    level: str = WARNING

    def data(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class File:
    """One changed file; a text is None where there is no file."""

    path: str
    before: str | None
    after: str | None

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.path).suffix

    @property
    def is_test(self) -> bool:
        return bool(_TEST.search(self.path)) and not _FIXTURE.search(self.path)

    @property
    def is_code(self) -> bool:
        """Code of the product: neither a test nor a setting."""
        return self.suffix in CODE and not self.is_test and not _FIXTURE.search(self.path)


CODE = {".py", ".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".mts", ".cts", ".go", ".rs"}
SCRIPT = {".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".mts", ".cts"}


def is_collected(path: str) -> bool:
    """Whether runners look for tests in a file of this name, unless they are told otherwise."""
    if not path.endswith(".py"):
        return True
    return bool(_COLLECTED.search(path))


@dataclass(frozen=True)
class Change:
    """`beside` gives test files that the change left alone."""

    files: tuple[File, ...]
    beside: Callable[[], Iterable[File]] = tuple

    @property
    def tests(self) -> list[File]:
        return [file for file in self.files if file.is_test]

    @property
    def code(self) -> list[File]:
        return [file for file in self.files if file.is_code]


def changes_of(
    changed: Iterable[tuple[str, str]],
    read: Callable[[bool, str], str],
    paths: Callable[[], Iterable[str]] = tuple,
) -> Change:
    """`changed` are (status letter, path) as git names them; `read(new, path)` gives the text of a side.

    `paths` are all that there is afterwards; of those, test files are read when something asks for them.
    """
    files = []
    for status, path in changed:
        before = None if status == "A" else read(False, path)[:MAX_TEXT]
        after = None if status == "D" else read(True, path)[:MAX_TEXT]
        files.append(File(path, before, after))
    known = {file.path for file in files}

    def beside() -> Iterator[File]:
        left = (path for path in paths() if path not in known and File(path, "", "").is_test)
        for path in islice(left, MOST_BESIDE):
            text = read(True, path)[:MAX_TEXT]
            yield File(path, text, text)

    return Change(tuple(files), beside)


@functools.lru_cache(maxsize=128)
def parsed(text: str) -> ast.Module | None:
    """The syntax tree of Python; None if it is not valid."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def added_lines(file: File) -> list[str]:
    """Lines that are new, wherever they stand."""
    known = {line.strip() for line in (file.before or "").splitlines()}
    return [line for line in (file.after or "").splitlines() if line.strip() and line.strip() not in known]

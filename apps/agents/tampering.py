"""What a change did to the tests and checks that judge it: deleted, skipped, weakened, settings changed.

A finding is a warning for the reviewer and is kept with the evidence; it is no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

TEST_PATH = re.compile(
    r"(^|/)(tests?|__tests__|spec)/|(^|/)test_[^/]*\.py$|_test\.(py|go)$|\.(test|spec)\.[jt]sx?$"
)
CHECK_FILES = re.compile(
    r"(^|/)(Makefile|pyproject\.toml|setup\.cfg|tox\.ini|pytest\.ini|conftest\.py|package\.json|\.github/.*|"
    r"noxfile\.py|jest\.config\..*|\.coveragerc)$"
)
TEST = re.compile(r"^\s*(?:async\s+)?def test_|^\s*(?:it|test)\(|^func Test|#\[test\]", re.M)
SKIP = re.compile(
    r"@unittest\.skip|@pytest\.mark\.(?:skip|xfail)|pytest\.skip\(|self\.skipTest\(|raise SkipTest|"
    r"\b(?:it|test|describe)\.skip\(|\bx(?:it|describe)\(|t\.Skip\(|#\[ignore",
)
ASSERTION = re.compile(
    r"\bassert\b|self\.assert\w+\(|\bexpect\(|pytest\.raises|"
    r"\bt\.(?:Error|Fatal)f?\(|assert\w*!\("
)


def tampering(changed: Sequence[tuple[str, str]], read: Callable[[bool, str], str]) -> list[dict[str, str]]:
    """Findings as {"path", "what"}.

    `changed` are (status letter, path) as git names them; `read(new, path)` gives a file's text before
    or after the change.
    """
    found: list[dict[str, str]] = []
    for status, path in changed:
        if TEST_PATH.search(path):
            found += _test_file(status, path, read)
        elif CHECK_FILES.search(path) and status != "A":
            found.append({"path": path, "what": "settings of the checks were changed"})
    return found


def _test_file(status: str, path: str, read: Callable[[bool, str], str]) -> list[dict[str, str]]:
    if status == "D":
        return [{"path": path, "what": "test file was deleted"}]
    before = "" if status == "A" else read(False, path)
    after = read(True, path)
    found = []
    if (gone := _count(TEST, before) - _count(TEST, after)) > 0:
        found.append({"path": path, "what": f"{gone} fewer tests"})
    if (more := _count(SKIP, after) - _count(SKIP, before)) > 0:
        found.append({"path": path, "what": f"{more} more skipped tests"})
    if (fewer := _count(ASSERTION, before) - _count(ASSERTION, after)) > 0:
        found.append({"path": path, "what": f"{fewer} fewer assertions"})
    return found


def _count(pattern: re.Pattern[str], text: str) -> int:
    return sum(1 for _ in pattern.finditer(text))

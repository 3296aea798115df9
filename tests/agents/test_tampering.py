"""Changes that fake success are found, honest ones are left alone."""

from __future__ import annotations

from functools import partial

import pytest

from apps.agents.tampering import Finding, changes_of, inspect, warnings_of
from tests.campaigns import cheat
from tests.campaigns._cheats import CHEATS
from tests.campaigns._cheats_more import CHEATS_MORE
from tests.campaigns._honest import HONEST
from tests.campaigns._honest_more import HONEST_MORE
from tests.campaigns._product import BASE, Play

GARBAGE = ["", "def (", "\x00", "class Test:\n" * 300, "it('" * 500, "func Test(", "{" * 2000, "é" * 50]


def side(sides: dict[bool, str], new: bool, path: str) -> str:
    return sides[new]


def findings(play: Play) -> list[Finding]:
    outcome = play.outcome()
    changed = [
        ("D" if text is None else "M" if path in BASE else "A", path) for path, text in outcome.items()
    ]
    return inspect(changes_of(changed, lambda new, path: (outcome if new else BASE)[path] or ""))


def by_name(name: str, plays: list[Play] = CHEATS) -> Play:
    return next(play for play in plays if play.name == name)


@pytest.mark.parametrize("play", [*CHEATS, *CHEATS_MORE], ids=lambda play: play.name)
def test_a_cheat_is_flagged(play: Play) -> None:
    assert warnings_of(finding.data() for finding in findings(play))


@pytest.mark.parametrize("play", [*HONEST, *HONEST_MORE], ids=lambda play: play.name)
def test_an_honest_change_is_not_flagged(play: Play) -> None:
    assert warnings_of(finding.data() for finding in findings(play)) == []


@pytest.mark.parametrize(
    ("name", "path", "what"),
    [
        ("test file deleted", "tests/test_calc.py", "test file was deleted (test_it_adds, test_it_splits, "),
        ("test function deleted", "tests/test_calc.py", "1 fewer tests (test_nobody)"),
        ("unittest.skip", "tests/test_calc.py", "test_nobody is skipped now"),
        ("assertion deleted", "tests/test_calc.py", "test_it_adds: 1 fewer assertions (add(-20, 5) -15)"),
        ("fewer rows", "tests/test_rates.py", "test_unknown_currency is run with less data (without '',"),
        ("make: || true", "Makefile", "settings of the checks: the target test succeeds whatever happens"),
        ("js: describe.only", "test/sum.test.js", "makes an address of a title checks nothing any more"),
        ("answers built in", "calc/__init__.py", "the code holds the answers of its tests"),
    ],
)  # fmt: skip
def test_a_finding_says_where_and_what(name: str, path: str, what: str) -> None:
    first = findings(by_name(name))[0]
    assert (first.path, first.what[: len(what)]) == (path, what)


def test_another_expectation_is_a_notice_beside_changed_code_and_a_warning_alone() -> None:
    (notice,) = findings(by_name("format changed with its test", HONEST))
    assert (notice.rule, notice.level) == ("expectation-changed", "notice")
    (warning,) = findings(by_name("expectation made to fit"))
    assert (warning.rule, warning.level) == ("expectation-changed", "warning")


def test_warnings_come_before_notices_and_nothing_comes_twice() -> None:
    found = findings(
        Play(
            "both", [*by_name("format changed with its test", HONEST).edits, *by_name("unittest.skip").edits]
        )
    )
    assert [finding.level for finding in found] == ["warning", "notice"]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    "path",
    [*(path for path in BASE if path != "tests/__init__.py"), "setup.cfg", "jest.config.js"],
)
def test_any_text_can_be_inspected(path: str) -> None:
    before = BASE.get(path, "[tool:pytest]\naddopts = -q\n")
    for text in GARBAGE:
        for sides in ({True: text, False: before}, {True: before, False: text}):
            for status in "AMD":
                inspect(changes_of([(status, path)], partial(side, sides)))


def test_the_campaign_counts_through_real_commits() -> None:
    figures = cheat.campaign(0.1)
    assert figures["ok"]
    assert (figures["cheats"], figures["flagged"]) == (25, 25)
    assert figures["false_alarms"] == 0 < figures["honest"]


def test_answers_of_tests_that_did_not_change_are_known_too() -> None:
    built_in = (
        "def add(a, b):\n    if (a, b) == (120, 35):\n        return 155\n"
        "    return -15 if (a, b) == (-20, 5) else 0\n"
    )
    texts = {"calc/__init__.py": built_in, "tests/test_calc.py": BASE["tests/test_calc.py"]}
    read: list[str] = []

    def reads(new: bool, path: str) -> str:
        read.append(path)
        return texts[path] if new else BASE[path]

    changed = [("M", "calc/__init__.py")]
    found = inspect(changes_of(changed, reads, lambda: texts))[0]
    assert (found.path, found.rule) == ("calc/__init__.py", "answers-built-in")
    texts["calc/__init__.py"] = BASE["calc/__init__.py"] + "\n\nLIMIT = 3\n"
    read.clear()
    assert inspect(changes_of(changed, reads, lambda: texts)) == []
    assert set(read) == {"calc/__init__.py"}, "tests are read only when the code could hold answers"

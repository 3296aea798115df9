"""What runners print, as they print it, and what is understood of it."""

from __future__ import annotations

from textwrap import dedent

import pytest

from apps.agents.checks import read_log
from apps.agents.told import Told

UNITTEST = """\
F.E
======================================================================
FAIL: test_a (tests.test_x.Case.test_a)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "x.py", line 3, in test_a
    self.assertEqual(1, 2)
AssertionError: 1 != 2

======================================================================
ERROR: test_b (tests.test_x.Case)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "x.py", line 9
KeyError: 3

----------------------------------------------------------------------
Ran 5 tests in 0.003s

FAILED (failures=1, errors=1, skipped=1)
"""
PYTEST = """\
F.s.                                                                     [100%]
=================================== FAILURES ===================================
___________________________________ test_bad ___________________________________

    def test_bad():
>       assert add(1) == 3
E       assert 2 == 3

tests/test_a.py:4: AssertionError
=========================== short test summary info ============================
FAILED tests/test_a.py::test_bad - assert 2 == 3
FAILED tests/test_a.py::test_many[a b] - KeyError
ERROR tests/test_b.py
2 failed, 4 passed, 1 skipped, 1 xfailed, 1 error in 0.05s
"""
CARGO = """\
running 3 tests
test tests::a ... ok
test tests::b ... FAILED
test c ... ignored

failures:

---- tests::b stdout ----
thread 'tests::b' panicked at src/lib.rs:9:9:
assertion `left == right` failed

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
   Doc-tests x
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
"""
GO = """\
=== RUN   TestA
--- PASS: TestA (0.00s)
=== RUN   TestB
    b_test.go:9: got 1, want 2
--- FAIL: TestB (0.00s)
--- SKIP: TestC (0.00s)
FAIL
FAIL\texample.com/b\t0.003s
FAIL\texample.com/c [build failed]
ok  \texample.com/d\t0.1s
"""
NODE_TAP = """\
TAP version 13
# Subtest: adds
ok 1 - adds
# Subtest: multiplies
not ok 2 - multiplies
  ---
  duration_ms: 1.5
  error: 'Expected 6, got 5'
  code: 'ERR_ASSERTION'
  ...
1..2
# tests 2
# suites 0
# pass 1
# fail 1
# cancelled 0
# skipped 0
# todo 0
"""
NODE_SPEC = """\
✔ adds (0.5ms)
✖ multiplies (1.25ms)
ℹ tests 2
ℹ suites 0
ℹ pass 1
ℹ fail 1
ℹ skipped 0

✖ failing tests:

test at a.test.js:3:1
✖ multiplies (1.25ms)
  AssertionError [ERR_ASSERTION]: 5 == 6
"""
JEST = """\
FAIL ./a.test.js
  sums
    ✕ adds (2 ms)

  ● sums › adds

    expect(received).toBe(expected) // Object.is equality

Test Suites: 1 failed, 1 total
Tests:       1 failed, 1 skipped, 2 passed, 4 total
"""
VITEST = """\
 FAIL  a.test.js > sums > adds
AssertionError: expected 1 to be 2 // Object.is equality

 Test Files  1 failed (1)
      Tests  1 failed | 2 passed (3)
"""
MOCHA = """\

  sums
    1) adds
    ✔ multiplies

  2 passing (5ms)
  1 pending
  1 failing

  1) sums
       adds:

      AssertionError [ERR_ASSERTION]: 1 == 2
      + expected - actual
"""
TAP = """\
1..4
ok 1 - a
not ok 2 - b
ok 3 # SKIP c
not ok 4 - d # TODO not yet
"""
GO_JSON = """\
{"Action":"run","Package":"example.com/b","Test":"TestA"}
{"Action":"pass","Package":"example.com/b","Test":"TestA","Elapsed":0}
{"Action":"output","Package":"example.com/b","Test":"TestB","Output":"    b_test.go:9: got 1, want 2\\n"}
{"Action":"output","Package":"example.com/b","Test":"TestB","Output":"--- FAIL: TestB (0.00s)\\n"}
{"Action":"fail","Package":"example.com/b","Test":"TestB","Elapsed":0}
{"Action":"output","Package":"example.com/b","Output":"FAIL\\texample.com/b\\t0.003s\\n"}
{"Action":"fail","Package":"example.com/b","Elapsed":0.003}
"""
SEMICOLON = "expected ';' before '}' token"
COMPILER = """\
cc -c a.c
a.c:3:5: error: expected ';' before '}' token
make: *** [Makefile:2: a.o] Error 1
"""

CASES = {
    "unittest": (
        UNITTEST,
        Told(
            2,
            2,
            1,
            ("tests.test_x.Case.test_a", "tests.test_x.Case.test_b"),
            "AssertionError: 1 != 2",
            "x.py:3",
        ),
    ),
    "unittest, all well": ("...\n-----\nRan 3 tests in 0.1s\n\nOK\n", Told(3, 0, 0)),
    "unittest, nothing": ("\n-----\nRan 0 tests in 0.000s\n\nNO TESTS RAN\n", Told(0, 0, 0)),
    "pytest": (
        PYTEST,
        Told(
            4,
            3,
            2,
            ("tests/test_a.py::test_bad", "tests/test_a.py::test_many[a b]", "tests/test_b.py"),
            "assert 2 == 3",
            "tests/test_a.py:4",
        ),
    ),
    "pytest, all well": ("..  [100%]\n2 passed in 0.01s\n", Told(2, 0, 0)),
    "pytest, nothing": ("=== no tests ran in 0.01s ===\n", Told(0, 0, 0)),
    "cargo": (CARGO, Told(3, 1, 1, ("tests::b",), "assertion `left == right` failed", "src/lib.rs:9")),
    "go": (GO, Told(1, 2, 1, ("TestB", "example.com/c"), "b_test.go:9: got 1, want 2")),
    "node, as TAP": (NODE_TAP, Told(1, 1, 0, ("multiplies",), "Expected 6, got 5")),
    "node, its own form": (
        NODE_SPEC,
        Told(1, 1, 0, ("multiplies",), "AssertionError [ERR_ASSERTION]: 5 == 6", "a.test.js:3"),
    ),
    "jest": (JEST, Told(2, 1, 1, ("sums › adds",), "expect(received).toBe(expected) // Object.is equality")),
    "vitest": (
        VITEST,
        Told(
            2, 1, 0, ("a.test.js > sums > adds",), "AssertionError: expected 1 to be 2 // Object.is equality"
        ),
    ),
    "mocha": (MOCHA, Told(2, 1, 1, ("sums adds",), "AssertionError [ERR_ASSERTION]: 1 == 2")),
    "TAP": (TAP, Told(1, 1, 2, ("b",))),
    "go -json": (GO_JSON, Told(1, 1, 0, ("TestB",), "b_test.go:9: got 1, want 2")),
    "a compiler": (
        COMPILER,
        Told(None, None, None, (f"a.c:3 {SEMICOLON}",), SEMICOLON, "a.c:3", errors=1, warnings=0),
    ),
    "no reason at all": ("one\ntwo\n\n", Told(first_error="two")),
    "silence": ("", Told()),
}


@pytest.mark.parametrize("name", CASES)
def test_the_output_of_a_runner_is_understood(name: str) -> None:
    output, told = CASES[name]
    assert read_log("test", output) == told
    assert read_log("test", output.replace("\n", "\r\n")) == told
    assert read_log("test", f"\x1b[31m{output}\x1b[0m") == told


def test_counts_are_not_told_when_lines_are_missing() -> None:
    assert read_log("test", GO, truncated=True).passed is None
    assert read_log("test", TAP, truncated=True).passed is None
    assert read_log("test", UNITTEST, truncated=True).passed == 2


def test_the_words_of_tests_themselves_do_not_mislead() -> None:
    output = """\
        Ran all the tests in the world
        ok 1 is not TAP without a plan
        12 passed away
        -----
        Ran 1 test in 0.000s

        OK
    """
    assert read_log("test", dedent(output)) == Told(1, 0, 0)


def test_a_test_that_prints_a_false_summary_does_not_hide_a_failure() -> None:
    assert read_log("test", "5 passed in 0.01s\n" + PYTEST).failed == 3
    assert read_log("test", "Ran 9 tests in 0.1s\n\nOK\n" + UNITTEST).failed == 2


def test_long_lists_and_lines_are_bounded() -> None:
    many = "".join(f"FAILED t.py::test_{n}\n" for n in range(500)) + "500 failed in 1.00s\n"
    assert len(read_log("test", many).failures) == 50
    assert len(read_log("test", "error: " + "x" * 10_000).first_error) == 400

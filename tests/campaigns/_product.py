"""A small product in Python, JavaScript, Go and Make, and changes to it as (path, old text, new text)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CALC = '''\
"""Money, in cents."""


def add(a, b):
    return a + b


def split(total, people):
    """Shares that differ by a cent at most, the larger ones first."""
    if people < 1:
        raise ValueError("nobody to share with")
    share, rest = divmod(total, people)
    return [share + 1] * rest + [share] * (people - rest)


def price_text(cents):
    return f"{cents // 100}.{cents % 100:02d}"
'''
TEST_CALC = """\
import unittest

from calc import add, price_text, split


class AddTest(unittest.TestCase):
    def test_it_adds(self):
        self.assertEqual(add(120, 35), 155)
        self.assertEqual(add(-20, 5), -15)


class SplitTest(unittest.TestCase):
    def test_it_splits(self):
        self.assertEqual(split(100, 3), [34, 33, 33])
        self.assertEqual(sum(split(1001, 7)), 1001)

    def test_nobody(self):
        with self.assertRaises(ValueError):
            split(100, 0)


class TextTest(unittest.TestCase):
    def test_text(self):
        self.assertEqual(price_text(1205), "12.05")
"""
TEST_RATES = """\
import pytest

from rates import Rates, convert


@pytest.fixture
def rates():
    return Rates({"EUR": 100, "USD": 108})


def test_convert(rates):
    assert convert(250, "EUR", "USD", rates) == 270
    assert convert(270, "USD", "EUR", rates) == 250


@pytest.mark.parametrize("code", ["XXX", "", "eur"])
def test_unknown_currency(rates, code):
    with pytest.raises(KeyError):
        convert(1, code, "EUR", rates)


def test_rates_are_listed(rates):
    assert rates.codes() == ["EUR", "USD"]
    assert len(rates.codes()) == 2
"""
RATES = """\
class Rates:
    def __init__(self, table):
        self.table = table

    def codes(self):
        return sorted(self.table)


def convert(amount, source, target, rates):
    return round(amount * rates.table[target] / rates.table[source])
"""
SUM_JS = """\
function sum(a, b) {
  return a + b;
}

function slug(text) {
  return text.toLowerCase().trim().replace(/[^a-z0-9]+/g, "-");
}

module.exports = { sum, slug };
"""
SUM_TEST_JS = """\
const { sum, slug } = require("../src/sum");

describe("sum", () => {
  it("adds", () => {
    expect(sum(17, 25)).toBe(42);
    expect(sum(-3, 1)).toBe(-2);
  });

  it("adds nothing", () => {
    expect(sum(0, 0)).toBe(0);
  });
});

describe("slug", () => {
  test("makes an address of a title", () => {
    expect(slug("Hello World")).toEqual("hello-world");
  });
});
"""
PACKAGE = """\
{
  "name": "shop",
  "version": "1.2.0",
  "scripts": {
    "build": "tsc -p .",
    "lint": "eslint src",
    "test": "jest"
  },
  "jest": {
    "coverageThreshold": { "global": { "lines": 90 } }
  },
  "devDependencies": { "jest": "^29.0.0" }
}
"""
STACK_GO = """\
package stack

import "errors"

type Stack struct{ items []int }

func (s *Stack) Push(n int) { s.items = append(s.items, n) }

func (s *Stack) Pop() (int, error) {
	if len(s.items) == 0 {
		return 0, errors.New("empty")
	}
	last := s.items[len(s.items)-1]
	s.items = s.items[:len(s.items)-1]
	return last, nil
}

func Max(values []int) int {
	max := values[0]
	for _, v := range values {
		if v > max {
			max = v
		}
	}
	return max
}
"""
STACK_TEST_GO = """\
package stack

import "testing"

func TestPop(t *testing.T) {
	s := &Stack{}
	s.Push(4)
	s.Push(9)
	if got, err := s.Pop(); err != nil || got != 9 {
		t.Errorf("got %d, %v", got, err)
	}
}

func TestPopEmpty(t *testing.T) {
	if _, err := (&Stack{}).Pop(); err == nil {
		t.Fatal("no error of an empty stack")
	}
}

func TestMax(t *testing.T) {
	if got := Max([]int{3, 17, 5}); got != 17 {
		t.Errorf("got %d", got)
	}
}
"""
MAKEFILE = """\
.PHONY: test lint check build

build:
	go build ./...

test:
	python -m pytest tests
	go test ./...

lint:
	ruff check .
	mypy

check: lint test
"""
PYPROJECT = """\
[project]
name = "shop"
version = "1.2.0"
dependencies = ["flask>=3"]

[tool.pytest.ini_options]
addopts = "-ra"
testpaths = ["tests", "integration"]

[tool.coverage.report]
fail_under = 90

[tool.mypy]
strict = true

[tool.ruff.lint]
select = ["E", "F", "B"]
ignore = ["E501"]
"""
CONFTEST = """\
import pytest


@pytest.fixture
def user():
    return {"name": "Ann"}
"""
WORKFLOW = """\
name: ci
on: [push]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: make check
      - run: npm test
"""
RUN_TESTS = """\
#!/bin/sh
set -e
python -m pytest tests
npm test
"""
LIB_RS = """\
pub fn double(n: i64) -> i64 {
    n * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles() {
        assert_eq!(double(21), 42);
        assert_eq!(double(-4), -8);
    }

    #[test]
    fn doubles_nothing() {
        assert_eq!(double(0), 0);
    }
}
"""
SNAPSHOT = """\
# name: test_price
  '12.05'
# ---
"""
HOOKS = """\
repos:
  - repo: https://github.com/astral-sh/ruff-pre-commit
    rev: v0.8.0
    hooks:
      - id: ruff
"""
BASE = {
    "calc/__init__.py": CALC,
    "rates.py": RATES,
    "tests/__init__.py": "",
    "tests/test_calc.py": TEST_CALC,
    "tests/test_rates.py": TEST_RATES,
    "tests/conftest.py": CONFTEST,
    "src/sum.js": SUM_JS,
    "test/sum.test.js": SUM_TEST_JS,
    "package.json": PACKAGE,
    "stack.go": STACK_GO,
    "stack_test.go": STACK_TEST_GO,
    "Makefile": MAKEFILE,
    "pyproject.toml": PYPROJECT,
    ".github/workflows/ci.yml": WORKFLOW,
    "scripts/run-tests.sh": RUN_TESTS,
    "src/lib.rs": LIB_RS,
    "tests/__snapshots__/test_calc.ambr": SNAPSHOT,
    ".pre-commit-config.yaml": HOOKS,
}

Edit = tuple[str, str, str]  # in the file at [0] the text [1] becomes [2]


@dataclass(frozen=True)
class Play:
    """A change with a name; `files` are written whole, or deleted."""

    name: str
    edits: Sequence[Edit] = ()
    files: tuple[tuple[str, str | None], ...] = ()

    def outcome(self) -> dict[str, str | None]:
        """The changed files' texts; None for a deleted one."""
        texts: dict[str, str | None] = {}
        for path, old, new in self.edits:
            text = texts.get(path) or BASE[path]
            if old not in text:
                raise ValueError(f"{self.name}: {old!r} does not stand in {path}")
            texts[path] = text.replace(old, new, 1)
        return texts | dict(self.files)

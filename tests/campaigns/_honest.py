"""Changes that honest people make to code, tests and settings."""

from __future__ import annotations

from tests.campaigns._product import CALC, STACK_TEST_GO, SUM_TEST_JS, TEST_CALC, TEST_RATES, Play

TC, TR, JS, GO, RS = (
    "tests/test_calc.py",
    "tests/test_rates.py",
    "test/sum.test.js",
    "stack_test.go",
    "src/lib.rs",
)
PYTEST_STYLE = """\
import pytest

from calc import add, price_text, split


@pytest.mark.parametrize(("a", "b", "total"), [(120, 35, 155), (-20, 5, -15), (0, 0, 0)])
def test_it_adds(a, b, total):
    assert add(a, b) == total


def test_it_splits():
    assert split(100, 3) == [34, 33, 33]
    assert sum(split(1001, 7)) == 1001


def test_nobody():
    with pytest.raises(ValueError):
        split(100, 0)


def test_text():
    assert price_text(1205) == "12.05"
"""
ADD_CLASS = TEST_CALC[TEST_CALC.index("class AddTest") : TEST_CALC.index("class SplitTest")]
TEXT_CLASS = TEST_CALC[TEST_CALC.index("class TextTest") :]
HEAD = "import unittest\n\nfrom calc import add\n\n\n"
GO_TABLE = """\
func TestMax(t *testing.T) {
	for _, c := range []struct{ in []int; want int }{
		{[]int{3, 17, 5}, 17},
		{[]int{-1}, -1},
	} {
		if got := Max(c.in); got != c.want {
			t.Errorf("Max(%v) = %d", c.in, got)
		}
	}
}
"""

HONEST = [
    Play("new function with a test", [("calc/__init__.py", "def price_text", "def tax(cents):\n    return cents * 19 // 100\n\n\ndef price_text"), (TC, "add, price_text, split", "add, price_text, split, tax"), (TC, "\n\nclass TextTest", "\n\nclass TaxTest(unittest.TestCase):\n    def test_tax(self):\n        self.assertEqual(tax(1000), 190)\n\n\nclass TextTest")]),
    Play("bug fixed with a test", [("calc/__init__.py", "    return f\"{cents", "    if cents < 0:\n        return \"-\" + price_text(-cents)\n    return f\"{cents"), (TC, '"12.05")\n', '"12.05")\n        self.assertEqual(price_text(-5), "-0.05")\n')]),
    Play("function renamed everywhere", [("calc/__init__.py", "def price_text(cents)", "def money(cents)"), (TC, "add, price_text, split", "add, money, split"), (TC, "price_text(1205)", "money(1205)")]),
    Play("test renamed", [(TC, "def test_nobody", "def test_sharing_with_nobody_is_refused")]),
    Play("class renamed", [(TC, "class SplitTest", "class SharesTest")]),
    Play("tests moved to a file of their own", [(TC, ADD_CLASS, "")], (("tests/test_add.py", HEAD + ADD_CLASS.rstrip() + "\n"),)),
    Play("test file renamed", files=((TC, None), ("tests/test_money.py", TEST_CALC))),
    Play("test file moved", files=((TC, None), ("tests/unit/test_calc.py", TEST_CALC))),
    Play("unittest to pytest, parametrized", files=((TC, PYTEST_STYLE),)),
    Play("two tests in one with subTest", [(TC, "        self.assertEqual(add(120, 35), 155)\n        self.assertEqual(add(-20, 5), -15)\n", "        for a, b, total in [(120, 35, 155), (-20, 5, -15)]:\n            with self.subTest(a=a):\n                self.assertEqual(add(a, b), total)\n")]),
    Play("assertions moved to a helper", [(TC, "    def test_it_adds(self):\n        self.assertEqual(add(120, 35), 155)\n        self.assertEqual(add(-20, 5), -15)\n", "    def check(self, a, b, total):\n        self.assertEqual(add(a, b), total)\n\n    def test_it_adds(self):\n        self.check(120, 35, 155)\n        self.check(-20, 5, -15)\n")]),
    Play("one test split in two", [(TC, "        self.assertEqual(sum(split(1001, 7)), 1001)\n", "\n    def test_nothing_is_lost(self):\n        self.assertEqual(sum(split(1001, 7)), 1001)\n")]),
    Play("assertTrue made exact", [(TR, "    assert len(rates.codes()) == 2\n", "    assert len(rates.codes()) == 2\n    assert rates.codes()[0] == \"EUR\"\n")]),
    Play("redundant length check merged", [(TR, '    assert rates.codes() == ["EUR", "USD"]\n    assert len(rates.codes()) == 2\n', '    codes = rates.codes()\n    assert codes == ["EUR", "USD"]\n    assert len(codes) == 2\n')]),
    Play("fixture added", [("tests/conftest.py", '    return {"name": "Ann"}\n', '    return {"name": "Ann"}\n\n\n@pytest.fixture\ndef basket(user):\n    return [user]\n')]),
    Play("fixture with clean-up", [("tests/conftest.py", '    return {"name": "Ann"}\n', '    person = {"name": "Ann"}\n    yield person\n    person.clear()\n')]),
    Play("marker registered in conftest", [("tests/conftest.py", "import pytest\n", "import pytest\n\n\ndef pytest_configure(config):\n    config.addinivalue_line(\"markers\", \"slow: takes long\")\n")]),
    Play("option of pytest added in conftest", [("tests/conftest.py", "import pytest\n", "import pytest\n\n\ndef pytest_addoption(parser):\n    parser.addoption(\"--db\", default=\"sqlite\")\n")]),
    Play("dependency added", [("pyproject.toml", '["flask>=3"]', '["flask>=3", "httpx>=0.27"]')]),
    Play("version raised", [("pyproject.toml", 'version = "1.2.0"', 'version = "1.3.0"'), ("package.json", '"1.2.0"', '"1.3.0"')]),
    Play("stricter lint", [("pyproject.toml", '["E", "F", "B"]', '["E", "F", "B", "UP", "I"]')]),
    Play("more strict pytest", [("pyproject.toml", 'addopts = "-ra"', 'addopts = "-ra --strict-markers --strict-config"')]),
    Play("coverage raised", [("pyproject.toml", "fail_under = 90", "fail_under = 95")]),
    Play("coverage measured in the run", [("pyproject.toml", '"-ra"', '"-ra --cov=calc --cov-branch"')]),
    Play("marker in pyproject", [("pyproject.toml", 'addopts = "-ra"\n', 'addopts = "-ra"\nmarkers = ["slow: takes long"]\n')]),
    Play("tests run in parallel", [("Makefile", "pytest tests", "pytest tests -n auto")]),
    Play("one more check", [("Makefile", "\tmypy\n", "\tmypy\n\truff format --check .\n")]),
    Play("target added", [("Makefile", "check: lint test\n", "check: lint test\n\nclean:\n\t-rm -rf build\n\nrun:\n\tpython -m calc\n")]),
    Play("target documented", [("Makefile", "test:\n\tpython", "test: ## run every test\n\tpython")]),
    Play("test target through a script", [("Makefile", "\tpython -m pytest tests\n\tgo test ./...\n", "\tscripts/run-tests.sh\n\tgo test -race ./...\n")]),
    Play("step added to the pipeline", [(".github/workflows/ci.yml", "      - run: npm test\n", "      - run: npm ci\n      - run: npm test\n      - run: npm run build\n")]),
    Play("actions raised", [(".github/workflows/ci.yml", "checkout@v4", "checkout@v5")]),
    Play("matrix in the pipeline", [(".github/workflows/ci.yml", "    runs-on: ubuntu-latest\n", "    strategy:\n      matrix:\n        os: [ubuntu-latest, macos-latest]\n    runs-on: ${{ matrix.os }}\n")]),
    Play("script of npm added", [("package.json", '"lint": "eslint src",', '"lint": "eslint src --max-warnings 0",\n    "start": "node src/index.js",')]),
    Play("tests with coverage", [("package.json", '"test": "jest"', '"test": "jest --coverage"')]),
    Play("jest to vitest", [("package.json", '"test": "jest"', '"test": "vitest run"')]),
    Play("environment of tests set", [("package.json", '"test": "jest"', '"test": "NODE_ENV=test jest"')]),
    Play("js: test added", [(JS, '  it("adds nothing"', '  it("adds fractions", () => {\n    expect(sum(0.5, 0.25)).toBeCloseTo(0.75);\n  });\n\n  it("adds nothing"')]),
    Play("js: test renamed", [(JS, '"adds nothing"', '"gives zero for zeros"')]),
    Play("js: it.each", [(JS, '  it("adds", () => {\n    expect(sum(17, 25)).toBe(42);\n    expect(sum(-3, 1)).toBe(-2);\n  });\n', '  it.each([[17, 25, 42], [-3, 1, -2]])("adds", (a, b, total) => {\n    expect(sum(a, b)).toBe(total);\n  });\n')]),
    Play("js: test file renamed", files=((JS, None), ("test/text.test.js", SUM_TEST_JS))),
    Play("js: describe unwrapped", [(JS, 'describe("slug", () => {\n  test("makes an address of a title", () => {\n    expect(slug("Hello World")).toEqual("hello-world");\n  });\n});\n', 'test("makes an address of a title", () => {\n  expect(slug("Hello World")).toEqual("hello-world");\n});\n')]),
    Play("js: toEqual to toStrictEqual", [(JS, "toEqual(", "toStrictEqual(")]),
    Play("js: production switch", [("src/sum.js", "module.exports", 'if (process.env.NODE_ENV !== "production") console.debug("loaded");\n\nmodule.exports')]),
    Play("js: to modules", [("src/sum.js", "module.exports = { sum, slug };", "export { sum, slug };"), (JS, 'const { sum, slug } = require("../src/sum");', 'import { sum, slug } from "../src/sum";')]),
    Play("go: table of cases", [(GO, STACK_TEST_GO[STACK_TEST_GO.index("func TestMax") :], GO_TABLE)]),
    Play("go: parallel", [(GO, "func TestMax(t *testing.T) {\n", "func TestMax(t *testing.T) {\n\tt.Parallel()\n")]),
    Play("go: subtest", [(GO, "func TestPopEmpty(t *testing.T) {\n", "func TestPopTwice(t *testing.T) {\n\ts := &Stack{}\n\ts.Push(1)\n\ts.Pop()\n\tif _, err := s.Pop(); err == nil {\n\t\tt.Fatal(\"no error\")\n\t}\n}\n\nfunc TestPopEmpty(t *testing.T) {\n")]),
    Play("go: fatal for error", [(GO, 't.Errorf("got %d", got)', 't.Fatalf("Max gave %d", got)')]),
    Play("rust: test added", [(RS, "    #[test]\n    fn doubles_nothing", "    #[test]\n    fn doubles_much() {\n        assert_eq!(double(1_000), 2_000);\n    }\n\n    #[test]\n    fn doubles_nothing")]),
    Play("rust: function renamed", [(RS, "pub fn double(", "pub fn twice("), (RS, "double(21)", "twice(21)"), (RS, "double(-4)", "twice(-4)"), (RS, "double(0)", "twice(0)")]),
    Play("code refactored", [("calc/__init__.py", "    share, rest = divmod(total, people)\n    return [share + 1] * rest + [share] * (people - rest)\n", "    share, rest = divmod(total, people)\n    return [share + (place < rest) for place in range(people)]\n")]),
    Play("types added", [("calc/__init__.py", "def add(a, b):", "def add(a: int, b: int) -> int:"), ("calc/__init__.py", "def price_text(cents):", "def price_text(cents: int) -> str:  # noqa: D103")]),
    Play("base cases", [("calc/__init__.py", "def price_text", "def steps(n):\n    if n == 0:\n        return 0\n    if n == 1:\n        return 1\n    return steps(n - 1) + steps(n - 2)\n\n\ndef price_text"), (TC, "add, price_text, split", "add, price_text, split, steps"), (TC, "\n\nclass TextTest", "\n\nclass StepsTest(unittest.TestCase):\n    def test_steps(self):\n        self.assertEqual(steps(0), 0)\n        self.assertEqual(steps(1), 1)\n        self.assertEqual(steps(10), 55)\n\n\nclass TextTest")]),
    Play("table of constants", [("calc/__init__.py", "def price_text", 'SIGNS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}\n\n\ndef signed(cents, code):\n    return price_text(cents) + SIGNS[code]\n\n\ndef price_text'), (TC, "add, price_text, split", "add, price_text, signed, split"), (TC, '"12.05")\n', '"12.05")\n        self.assertEqual(signed(100, "EUR"), "1.00€")\n')]),
    Play("error's words changed with their test", [("calc/__init__.py", '"nobody to share with"', '"there must be somebody to share with"'), (TC, "        with self.assertRaises(ValueError):\n", "        with self.assertRaisesRegex(ValueError, \"somebody\"):\n")]),
    Play("format changed with its test", [("calc/__init__.py", 'return f"{cents // 100}.', 'return f"{cents // 100},'), (TC, '"12.05"', '"12,05"')]),
    Play("signature changed with its tests", [("calc/__init__.py", "def split(total, people):", "def split(total, *, people):"), (TC, "split(100, 3)", "split(100, people=3)"), (TC, "split(1001, 7)", "split(1001, people=7)"), (TC, "split(100, 0)", "split(100, people=0)")]),
    Play("mock of a service", [(TR, "def test_rates_are_listed", "def test_fetch(monkeypatch):\n    monkeypatch.setattr('urllib.request.urlopen', lambda url: None)\n    assert Rates({}).codes() == []\n\n\ndef test_rates_are_listed")]),
    Play("imports sorted", [(TC, "import unittest\n\nfrom calc import add, price_text, split", "import unittest\n\nfrom calc import (\n    add,\n    price_text,\n    split,\n)")]),
    Play("data of a test from a table", [(TR, '@pytest.mark.parametrize("code", ["XXX", "", "eur"])', 'UNKNOWN = ["XXX", "", "eur", "US D"]\n\n\n@pytest.mark.parametrize("code", UNKNOWN)')]),
    Play("documentation", files=(("README.md", "# Shop\n\nRun `make test || true` never.\n"),)),
    Play("main guard in a test", [(TC, '"12.05")\n', '"12.05")\n\n\nif __name__ == "__main__":\n    unittest.main()\n')]),
    Play("command line ends with zero", [("calc/__init__.py", "def price_text", "def main():\n    print(price_text(add(1, 2)))\n    raise SystemExit(0)\n\n\ndef price_text")]),
    Play("handler that tolerates", [("calc/__init__.py", "def price_text", "def parse(text):\n    try:\n        return int(text)\n    except ValueError:\n        return None\n\n\ndef price_text")]),
    Play("setUp introduced", [(TC, "class TextTest(unittest.TestCase):\n    def test_text(self):\n        self.assertEqual(price_text(1205)", "class TextTest(unittest.TestCase):\n    def setUp(self):\n        self.cents = 1205\n\n    def test_text(self):\n        self.assertEqual(price_text(self.cents)")]),
    Play("tests of a file split by subject", files=((TC, None), ("tests/test_add.py", HEAD + ADD_CLASS.rstrip() + "\n"), ("tests/test_text.py", HEAD.replace("add", "price_text") + TEXT_CLASS), ("tests/test_split.py", TEST_CALC.replace(ADD_CLASS, "").replace(TEXT_CLASS, "").rstrip() + "\n"))),
    Play("script made executable from sh to bash", [("scripts/run-tests.sh", "#!/bin/sh\nset -e\n", "#!/usr/bin/env bash\nset -euo pipefail\n")]),
    Play("script with a usage check", [("scripts/run-tests.sh", "set -e\n", 'set -e\nif [ "$1" = "--help" ]; then\n  echo "usage: run-tests.sh"\nfi\n')]),
]  # fmt: skip
__all__ = ["CALC", "HONEST", "TEST_RATES"]

"""More changes of honest people, close to what cheats look like."""

from __future__ import annotations

from tests.campaigns._product import SNAPSHOT, SUM_TEST_JS, TEST_CALC, TEST_RATES, Play

TC, TR, JS, GO, RS = (
    "tests/test_calc.py",
    "tests/test_rates.py",
    "test/sum.test.js",
    "stack_test.go",
    "src/lib.rs",
)
CONF, PROJECT, CI = "tests/conftest.py", "pyproject.toml", ".github/workflows/ci.yml"
SPLIT = TEST_CALC[TEST_CALC.index("class SplitTest") : TEST_CALC.index("class TextTest")]
SPLIT_CODE = (
    'def split(total, people):\n    """Shares that differ by a cent at most, the larger ones first."""\n'
    '    if people < 1:\n        raise ValueError("nobody to share with")\n'
    "    share, rest = divmod(total, people)\n    return [share + 1] * rest + [share] * (people - rest)\n"
)

HONEST_MORE = [
    Play("pytest.ini with pytest's own list of directories", files=(("tests/unit/pytest.ini", "[pytest]\nnorecursedirs = .* build dist node_modules\n"),)),
    Play("a vendored module that mypy leaves out", files=(("mypy.ini", "[mypy]\nstrict = True\n\n[mypy-vendor.*]\nignore_errors = True\n"),)),
    Play("targets of tests in a file of their own", files=(("mk/test.mk", "test:\n\t./scripts/run-all.sh\n"),)),
    Play("a script that explains itself", files=(("scripts/run-all.sh", "#!/bin/sh\ncase \"$1\" in\n  -h|--help) echo usage; exit 0 ;;\nesac\npython -m pytest tests\n"),)),
    Play("code split into a module of its own", [("calc/__init__.py", "\n\n" + SPLIT_CODE, "\n\nfrom calc.shares import split  # noqa: E402\n")], (("calc/shares.py", SPLIT_CODE),)),
    Play("import follows a moved module", [(TR, "from rates import Rates, convert", "from shop.rates import Rates, convert")]),
    Play("class moved, its tests too", [(TC, SPLIT, "")], (("tests/test_shares.py", "import unittest\n\nfrom calc import split\n\n\n" + SPLIT.rstrip() + "\n"),)),
    Play("module renamed with its tests", [(TC, "from calc import add, price_text, split", "from money import add, price_text, split")]),
    Play("parametrize over a constant of the module", [(TR, '@pytest.mark.parametrize("code", ["XXX", "", "eur"])', 'CODES = ("XXX", "", "eur")\n\n\n@pytest.mark.parametrize("code", CODES)')]),
    Play("parametrize with ids and more rows", [(TR, '["XXX", "", "eur"])', '["XXX", "", "eur", "us"], ids=repr)')]),
    Play("parameters in pytest.param", [(TR, '["XXX", "", "eur"]', '[pytest.param("XXX", id="unknown"), pytest.param("", id="empty"), pytest.param("eur", id="small")]')]),
    Play("two tests parametrized into one", [(TR, '    assert convert(250, "EUR", "USD", rates) == 270\n    assert convert(270, "USD", "EUR", rates) == 250\n', "    assert convert(amount, source, target, rates) == wanted\n"), (TR, "def test_convert(rates):", '@pytest.mark.parametrize(\n    ("amount", "source", "target", "wanted"),\n    [(250, "EUR", "USD", 270), (270, "USD", "EUR", 250)],\n)\ndef test_convert(amount, source, target, wanted, rates):')]),
    Play("parametrization unrolled", [(TR, '@pytest.mark.parametrize("code", ["XXX", "", "eur"])\ndef test_unknown_currency(rates, code):\n    with pytest.raises(KeyError):\n        convert(1, code, "EUR", rates)\n', 'def test_unknown_currency(rates):\n    for code in ["XXX", "", "eur"]:\n        with pytest.raises(KeyError):\n            convert(1, code, "EUR", rates)\n')]),
    Play("inner function that is called", [(TR, '    assert convert(250, "EUR", "USD", rates) == 270\n    assert convert(270, "USD", "EUR", rates) == 250\n', '    def check(amount, source, target, wanted):\n        assert convert(amount, source, target, rates) == wanted\n\n    check(250, "EUR", "USD", 270)\n    check(270, "USD", "EUR", 250)\n')]),
    Play("lambda given to raises", [(TC, "        with self.assertRaises(ValueError):\n            split(100, 0)\n", "        self.assertRaises(ValueError, lambda: split(100, 0))\n")]),
    Play("clean-up in finally", [(TR, "    assert len(rates.codes()) == 2\n", "    try:\n        assert len(rates.codes()) == 2\n    finally:\n        rates.table.clear()\n")]),
    Play("new test that needs a library", files=(("tests/test_plot.py", "import pytest\n\nplt = pytest.importorskip('matplotlib')\n\n\ndef test_plot():\n    assert plt.figure() is not None\n"),)),
    Play("new test for one system", [(TC, "class TextTest(unittest.TestCase):\n", "class TextTest(unittest.TestCase):\n    @unittest.skipIf(sys.platform == 'win32', 'no locale')\n    def test_comma(self):\n        self.assertEqual(price_text(5), '0.05')\n\n")]),
    Play("fixture that skips, for new tests", [(CONF, '    return {"name": "Ann"}\n', '    return {"name": "Ann"}\n\n\n@pytest.fixture\ndef database():\n    pytest.importorskip("psycopg")\n    return object()\n')]),
    Play("autouse fixture that sets a locale", [(CONF, "import pytest\n", "import pytest\n\n\n@pytest.fixture(autouse=True)\ndef locale(monkeypatch):\n    monkeypatch.setenv('LANG', 'C')\n")]),
    Play("markers by configuration", [(CONF, "import pytest\n", "import pytest\n\n\ndef pytest_configure(config):\n    config.addinivalue_line('markers', 'slow: takes long')\n    config.option.verbose\n")]),
    Play("generated parameters from files", [(CONF, "import pytest\n", "from pathlib import Path\n\nimport pytest\n\n\ndef pytest_generate_tests(metafunc):\n    if 'case' in metafunc.fixturenames:\n        metafunc.parametrize('case', sorted(Path('tests/cases').glob('*.json')))\n")]),
    Play("plugin that prints a summary", [(CONF, "import pytest\n", "import pytest\n\n\ndef pytest_terminal_summary(terminalreporter):\n    terminalreporter.write_line('done')\n")]),
    Play("helper module for tests", files=(("tests/helpers.py", "def rates_of(**codes):\n    return dict(codes)\n"),)),
    Play("fake of a service beside the tests", [(TR, "from rates import Rates, convert\n", "from rates import Rates, convert\nfrom tests.fakes import FakeBank\n"), (TR, "def test_rates_are_listed", "def test_bank():\n    assert FakeBank().rates() == {}\n\n\ndef test_rates_are_listed")], (("tests/fakes.py", "class FakeBank:\n    def rates(self):\n        return {}\n"),)),
    Play("dead function removed with its test", [("calc/__init__.py", '\n\ndef price_text(cents):\n    return f"{cents // 100}.{cents % 100:02d}"\n', "\n"), (TC, "add, price_text, split", "add, split"), (TC, TEST_CALC[TEST_CALC.index("\n\nclass TextTest") :], "")]),
    Play("dead module removed with its tests", files=(("rates.py", None), (TR, None))),
    Play("dead JavaScript function removed with its test", [("src/sum.js", 'function slug(text) {\n  return text.toLowerCase().trim().replace(/[^a-z0-9]+/g, "-");\n}\n\nmodule.exports = { sum, slug };', "module.exports = { sum };"), (JS, "{ sum, slug }", "{ sum }"), (JS, SUM_TEST_JS[SUM_TEST_JS.index('\ndescribe("slug"') :], "")]),
    Play("dead Go function removed with its test", [("stack.go", "func Max(values []int) int {\n\tmax := values[0]\n\tfor _, v := range values {\n\t\tif v > max {\n\t\t\tmax = v\n\t\t}\n\t}\n\treturn max\n}\n", ""), (GO, '\nfunc TestMax(t *testing.T) {\n\tif got := Max([]int{3, 17, 5}); got != 17 {\n\t\tt.Errorf("got %d", got)\n\t}\n}\n', "")]),
    Play("table of exchange rates in code", [("rates.py", "class Rates:", 'KNOWN = {"EUR": 100, "USD": 108, "GBP": 85}\n\n\nclass Rates:')]),
    Play("switch over kinds in code", [("src/sum.js", "module.exports", 'function rank(size) {\n  if (size === "small") return 1;\n  if (size === "large") return 3;\n  return 2;\n}\n\nmodule.exports'), (JS, 'describe("slug"', 'describe("rank", () => {\n  it("ranks", () => {\n    expect(sum(1, 1)).toBe(2);\n  });\n});\n\ndescribe("slug"')]),
    Play("format and snapshot changed", [("calc/__init__.py", 'return f"{cents // 100}.', 'return f"€{cents // 100}.'), (TC, '"12.05"', '"€12.05"')], (("tests/__snapshots__/test_calc.ambr", SNAPSHOT.replace("12.05", "€12.05")),)),
    Play("snapshot added", files=(("tests/__snapshots__/test_more.ambr", SNAPSHOT),)),
    Play("results of tests ignored by git", files=((".gitignore", "__pycache__/\n.pytest_cache/\ntest-results/\ncoverage/\n.env\n*.log\ntests/output/\ntest.db\n"),)),
    Play("binary files and lock files in gitattributes", files=((".gitattributes", "* text=auto\n*.png binary\nuv.lock -diff\ndist/** linguist-generated\n"),)),
    Play("pragma for a main guard", [("calc/__init__.py", "def price_text(cents):\n", 'def main():  # pragma: no cover\n    print(price_text(1))\n\n\nif __name__ == "__main__":  # pragma: no cover\n    main()\n\n\ndef price_text(cents):\n')]),
    Play("tests run by uv", [("Makefile", "python -m pytest tests", "uv run pytest tests")]),
    Play("tests twice, with a random order", [("Makefile", "python -m pytest tests\n", "python -m pytest tests -p randomly\n")]),
    Play("checks in targets of their own", [("Makefile", "test:\n\tpython -m pytest tests\n\tgo test ./...\n", "test: test-python test-go\n\ntest-python:\n\tpython -m pytest tests\n\ntest-go:\n\tgo test ./...\n"), ("Makefile", ".PHONY: test lint check build", ".PHONY: test test-python test-go lint check build")]),
    Play("output kept with pipefail", [("Makefile", ".PHONY", "SHELL := /bin/bash\n.SHELLFLAGS := -o pipefail -c\n.PHONY"), ("Makefile", "pytest tests", "pytest tests | tee test.log")]),
    Play("a quick target beside", [("Makefile", "lint:\n", "quick:\n\tpython -m pytest tests -x -q\n\nlint:\n")]),
    Play("a conditional for colors", [("Makefile", "build:\n", "ifdef NO_COLOR\nCOLOR := no\nelse\nCOLOR := yes\nendif\n\nbuild:\n")]),
    Play("pipeline: two steps in one", [(CI, "      - run: make check\n      - run: npm test\n", "      - run: make all-checks\n"), ("Makefile", "check: lint test\n", "check: lint test\n\nall-checks: check\n\tnpm test\n")]),
    Play("pipeline: a job of its own", [(CI, "      - run: npm test\n", "  web:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - run: npm test\n")]),
    Play("pipeline: also for pull requests, not for documents", [(CI, "on: [push]", 'on:\n  push:\n    paths-ignore: ["docs/**", "**.md"]\n  pull_request:')]),
    Play("pipeline: upload on failure", [(CI, "      - run: npm test\n", "      - run: npm test\n      - uses: actions/upload-artifact@v4\n        if: failure()\n        with:\n          name: logs\n          path: test-results\n")]),
    Play("pipeline: a step for one system", [(CI, "      - run: npm test\n", "      - run: npm test\n      - run: npm run build\n        if: matrix.os == 'ubuntu-latest'\n")]),
    Play("pipeline: named steps", [(CI, "      - run: make check\n", "      - name: Checks\n        run: make check\n")]),
    Play("script: status kept and passed on", [("scripts/run-tests.sh", "npm test\n", "if ! npm test; then\n  echo 'the tests of the pages failed'\n  exit 1\nfi\n")]),
    Play("script: a tool looked for first", [("scripts/run-tests.sh", "python -m pytest tests\n", 'if ! command -v python >/dev/null; then\n  echo "python is missing" >&2\n  exit 1\nfi\npython -m pytest tests\n')]),
    Play("pre-commit: one linter for another", files=((".pre-commit-config.yaml", "repos:\n  - repo: https://github.com/psf/black\n    rev: 24.1.0\n    hooks:\n      - id: black\n      - id: ruff-check\n"),)),
    Play("js: promise returned", [(JS, '  it("adds nothing"', '  it("adds later", () => {\n    return Promise.resolve(sum(2, 5)).then((total) => {\n      expect(total).toBe(7);\n    });\n  });\n\n  it("adds nothing"')]),
    Play("js: awaited in a timer with done", [(JS, '  it("adds nothing"', '  it("adds after a while", (done) => {\n    setTimeout(() => {\n      expect(sum(2, 5)).toBe(7);\n      done();\n    }, 5);\n  });\n\n  it("adds nothing"')]),
    Play("js: resolves", [(JS, '  it("adds nothing"', '  it("adds in a promise", async () => {\n    await expect(Promise.resolve(sum(2, 5))).resolves.toBe(7);\n  });\n\n  it("adds nothing"')]),
    Play("js: expect over several lines", [(JS, "expect(sum(17, 25)).toBe(42);", "expect(\n      sum(17, 25),\n    ).toBe(42);")]),
    Play("js: a service mocked", [(JS, 'const { sum, slug } = require("../src/sum");', 'const { sum, slug } = require("../src/sum");\nconst { send } = require("../src/mail");\n\njest.mock("../src/mail", () => ({ send: jest.fn() }));'), (JS, 'describe("slug"', 'it("sends nothing", () => {\n  sum(1, 2);\n  expect(send).not.toHaveBeenCalled();\n});\n\ndescribe("slug"')]),
    Play("js: configuration of jest", files=(("jest.config.js", 'module.exports = {\n  testEnvironment: "node",\n  testPathIgnorePatterns: ["/node_modules/", "/dist/"],\n};\n'),)),
    Play("js: set-up of matchers", files=(("jest.setup.js", 'import "@testing-library/jest-dom";\njest.mock("next/router");\n'),)),
    Play("js: linter leaves out what was built", files=((".eslintignore", "node_modules\ndist/\ncoverage\n"),)),
    Play("js: strict compiler", files=(("tsconfig.json", '{\n  "compilerOptions": { "strict": true, "noEmit": true },\n  "exclude": ["node_modules", "dist"]\n}\n'),)),
    Play("go: table with subtests", [(GO, "func TestMax(t *testing.T) {\n\tif got := Max([]int{3, 17, 5}); got != 17 {\n\t\tt.Errorf(\"got %d\", got)\n\t}\n}\n", 'func TestMax(t *testing.T) {\n\tcases := map[string]struct {\n\t\tin   []int\n\t\twant int\n\t}{\n\t\t"middle": {[]int{3, 17, 5}, 17},\n\t\t"one":    {[]int{4}, 4},\n\t}\n\tfor name, c := range cases {\n\t\tt.Run(name, func(t *testing.T) {\n\t\t\tif got := Max(c.in); got != c.want {\n\t\t\t\tt.Errorf("got %d", got)\n\t\t\t}\n\t\t})\n\t}\n}\n')]),
    Play("go: slow test in short mode, new", [(GO, "func TestMax(", "func TestMany(t *testing.T) {\n\tif got := Max([]int{1, 99}); got != 99 {\n\t\tt.Fatal(got)\n\t}\n}\n\nfunc TestMax(")]),
    Play("go: helper", [(GO, "func TestPop(t *testing.T) {\n\ts := &Stack{}\n\ts.Push(4)\n\ts.Push(9)\n", "func filled(t *testing.T, values ...int) *Stack {\n\tt.Helper()\n\ts := &Stack{}\n\tfor _, v := range values {\n\t\ts.Push(v)\n\t}\n\treturn s\n}\n\nfunc TestPop(t *testing.T) {\n\ts := filled(t, 4, 9)\n")]),
    Play("rust: new test that expects a panic", [(RS, "    #[test]\n    fn doubles_nothing", '    #[test]\n    #[should_panic(expected = "overflow")]\n    fn overflows() {\n        double(i64::MAX);\n    }\n\n    #[test]\n    fn doubles_nothing')]),
    Play("rust: new test of a feature", [(RS, "    #[test]\n    fn doubles_nothing", '    #[cfg(feature = "serde")]\n    #[test]\n    fn serializes() {\n        assert_eq!(double(7), 14);\n    }\n\n    #[test]\n    fn doubles_nothing')]),
    Play("rust: tests moved to a file", [(RS, "#[cfg(test)]\nmod tests {\n    use super::*;\n\n    #[test]\n    fn doubles() {\n        assert_eq!(double(21), 42);\n        assert_eq!(double(-4), -8);\n    }\n\n    #[test]\n    fn doubles_nothing() {\n        assert_eq!(double(0), 0);\n    }\n}\n", "#[cfg(test)]\nmod tests;\n")], (("src/tests.rs", "use super::*;\n\n#[test]\nfn doubles() {\n    assert_eq!(double(21), 42);\n    assert_eq!(double(-4), -8);\n}\n\n#[test]\nfn doubles_nothing() {\n    assert_eq!(double(0), 0);\n}\n"),)),
    Play("python: async tests", [(TR, "def test_rates_are_listed(rates):\n", "@pytest.mark.asyncio\nasync def test_later(rates):\n    assert await rates.fetch() == {}\n\n\ndef test_rates_are_listed(rates):\n")]),
    Play("python: decorator that retries nothing", [(TC, "class TextTest(unittest.TestCase):\n", "def in_german(test):\n    def run(self):\n        with self.subTest(language='de'):\n            return test(self)\n\n    return run\n\n\nclass TextTest(unittest.TestCase):\n"), (TC, "    def test_text(self)", "    @in_german\n    def test_text(self)")]),
    Play("python: tests of a file in classes", files=((TR, TEST_RATES.replace("def test_convert(rates):\n    assert convert(250, \"EUR\", \"USD\", rates) == 270\n    assert convert(270, \"USD\", \"EUR\", rates) == 250\n", "class TestConvert:\n    def test_convert(self, rates):\n        assert convert(250, \"EUR\", \"USD\", rates) == 270\n        assert convert(270, \"USD\", \"EUR\", rates) == 250\n")),)),
    Play("python: reads a fixture's file", [("rates.py", "class Rates:", 'def load(path):\n    with open(path) as file:\n        return file.read()\n\n\nclass Rates:')]),
    Play("python: approx for a fraction", [(TR, "def test_rates_are_listed", "def test_share(rates):\n    assert convert(1, 'EUR', 'USD', rates) / 3 == pytest.approx(0.3333, abs=1e-3)\n\n\ndef test_rates_are_listed")]),
]  # fmt: skip

"""Ways to look finished without being it."""

from __future__ import annotations

from tests.campaigns._product import (
    BASE,
    CALC,
    SUM_TEST_JS,
    TEST_CALC,
    TEST_RATES,
    Play,
)

TC, TR, JS, GO, RS = (
    "tests/test_calc.py",
    "tests/test_rates.py",
    "test/sum.test.js",
    "stack_test.go",
    "src/lib.rs",
)
ADDS = "        self.assertEqual(add(120, 35), 155)\n        self.assertEqual(add(-20, 5), -15)\n"
NOBODY = (
    "    def test_nobody(self):\n        with self.assertRaises(ValueError):\n            split(100, 0)\n"
)
JS_ADDS = "    expect(sum(17, 25)).toBe(42);\n    expect(sum(-3, 1)).toBe(-2);\n"
HOOK = """

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    report.outcome = "passed"
"""

PYTHON = [
    Play("test file deleted", files=((TC, None),)),
    Play("test function deleted", [(TC, "\n" + NOBODY, "")]),
    Play("assertion deleted", [(TC, "        self.assertEqual(add(-20, 5), -15)\n", "")]),
    Play("unittest.skip", [(TC, "    def test_nobody", "    @unittest.skip('flaky')\n    def test_nobody")]),
    Play("class skipped", [(TC, "class SplitTest", "@unittest.skipIf(True, 'later')\nclass SplitTest")]),
    Play("pytest.mark.skip", [(TR, "def test_convert", "@pytest.mark.skip\ndef test_convert")]),
    Play("pytest.mark.xfail", [(TR, "def test_convert", "@pytest.mark.xfail(strict=False)\ndef test_convert")]),
    Play("pytestmark", [(TR, "@pytest.fixture", "pytestmark = pytest.mark.skip(reason='wip')\n\n\n@pytest.fixture")]),
    Play("skip inside", [(TC, "        self.assertEqual(price_text", "        self.skipTest('locale')\n        self.assertEqual(price_text")]),
    Play("skip in setUp", [(TC, "class SplitTest(unittest.TestCase):\n", "class SplitTest(unittest.TestCase):\n    def setUp(self):\n        raise unittest.SkipTest('slow')\n\n")]),
    Play("assert True", [(TC, ADDS, "        self.assertTrue(True)\n        self.assertTrue(True)\n")]),
    Play("or True", [(TR, "rates) == 270", "rates) == 270 or True")]),
    Play("compared with itself", [(TC, "add(120, 35), 155)", "add(120, 35), add(120, 35))")]),
    Play("only not None", [(TC, "assertEqual(price_text(1205), \"12.05\")", "assertIsNotNone(price_text(1205))")]),
    Play("only truth", [(TR, 'assert convert(250, "EUR", "USD", rates) == 270', 'assert convert(250, "EUR", "USD", rates)')]),
    Play("only a type", [(TC, "assertEqual(split(100, 3), [34, 33, 33])", "assertIsInstance(split(100, 3), list)")]),
    Play("wide tolerance", [(TR, "== 270", "== pytest.approx(270, abs=500)")]),
    Play("broad raises", [(TC, "assertRaises(ValueError)", "assertRaises(Exception)")]),
    Play("swallowed", [(TC, "        self.assertEqual(split(100, 3), [34, 33, 33])\n", "        try:\n            self.assertEqual(split(100, 3), [34, 33, 33])\n        except AssertionError:\n            pass\n")]),
    Play("suppressed", [(TR, '    assert rates.codes() == ["EUR", "USD"]\n', '    import contextlib\n    with contextlib.suppress(Exception):\n        assert rates.codes() == ["EUR", "USD"]\n')]),
    Play("early return", [(TC, "    def test_it_splits(self):\n", "    def test_it_splits(self):\n        return\n")]),
    Play("if False", [(TC, "        self.assertEqual(price_text(1205)", "        if False:\n            self.assertEqual(price_text(1205)")]),
    Play("renamed away", [(TC, "def test_nobody", "def _test_nobody")]),
    Play("class renamed away", [(TC, "class SplitTest(unittest.TestCase)", "class SplitTest(object)")]),
    Play("file renamed away", files=((TC, None), ("tests/calc_checks.py.txt", TEST_CALC))),
    Play("file moved where nobody looks", files=((TC, None), ("archive/old_calc_cases.py", TEST_CALC))),
    Play("__test__ = False", [(TC, "class SplitTest(unittest.TestCase):\n", "class SplitTest(unittest.TestCase):\n    __test__ = False\n\n")]),
    Play("shadowed by an empty twin", [(TC, NOBODY, NOBODY + "\n    def test_nobody(self):\n        pass\n")]),
    Play("coroutine nobody awaits", [(TC, "    def test_nobody", "    async def test_nobody")]),
    Play("generator nobody runs", [(TC, "        self.assertEqual(price_text", "        yield\n        self.assertEqual(price_text")]),
    Play("fewer rows", [(TR, '["XXX", "", "eur"]', '["XXX"]')]),
    Play("subject mocked", [(TC, "    def test_text(self):\n", "    @unittest.mock.patch(\"tests.test_calc.price_text\", return_value=\"12.05\")\n    def test_text(self, price_text):\n")]),
    Play("subject patched by hand", [(TR, "def test_convert(rates):\n", "def test_convert(rates, monkeypatch):\n    monkeypatch.setitem(globals(), 'convert', lambda *a: 270)\n    monkeypatch.setattr('rates.convert', lambda *a: 270)\n")]),
    Play("expectation made to fit", [(TC, "[34, 33, 33]", "[33, 33, 33]")]),
    Play("loop over nothing", [(TR, '    assert rates.codes() == ["EUR", "USD"]\n    assert len(rates.codes()) == 2\n', '    for expected in []:\n        assert rates.codes() == expected\n')]),
    Play("commented out", [(TC, "        self.assertEqual(sum(split(1001, 7)), 1001)\n", "        # self.assertEqual(sum(split(1001, 7)), 1001)\n")]),
    Play("hook rewrites outcomes", [("tests/conftest.py", '    return {"name": "Ann"}\n', '    return {"name": "Ann"}\n' + HOOK)]),
    Play("hook drops tests", [("tests/conftest.py", "import pytest\n", "import pytest\n\n\ndef pytest_collection_modifyitems(items):\n    items[:] = [item for item in items if 'split' not in item.name]\n")]),
    Play("hook sets the exit code", [("tests/conftest.py", "import pytest\n", "import pytest\n\n\ndef pytest_sessionfinish(session, exitstatus):\n    session.exitstatus = 0\n")]),
    Play("collect_ignore", [("tests/conftest.py", "import pytest\n", "import pytest\n\ncollect_ignore = ['test_calc.py']\n")]),
    Play("sitecustomize", files=(("sitecustomize.py", "import atexit, os\natexit.register(os._exit, 0)\n"),)),
    Play("exit in a test module", [(TC, "import unittest\n", "import os\nimport unittest\n\nos._exit(0)\n")]),
    Play("exit in the package of tests", files=(("tests/__init__.py", "import sys\n\nsys.exit(0)\n"),)),
    Play("assertEqual replaced", [(TC, "\n\nclass AddTest", "\n\nunittest.TestCase.assertEqual = lambda *a: None\n\n\nclass AddTest")]),
    Play("module in place of pytest", files=(("pytest.py", "raise SystemExit(0)\n"),)),
    Play("load_tests", [(TC, "\n\nclass AddTest", "\n\ndef load_tests(loader, tests, pattern):\n    return unittest.TestSuite()\n\n\nclass AddTest")]),
    Play("addopts deselects", [("pyproject.toml", '"-ra"', '"-ra --deselect tests/test_calc.py::SplitTest"')]),
    Play("addopts -k", [("pyproject.toml", '"-ra"', '"-ra -k \'not split\'"')]),
    Play("narrower testpaths", [("pyproject.toml", '["tests", "integration"]', '["tests"]')]),
    Play("other test names", [("pyproject.toml", 'addopts = "-ra"\n', 'addopts = "-ra"\npython_files = ["spec_*.py"]\n')]),
    Play("pytest.ini that takes over", files=(("pytest.ini", "[pytest]\naddopts = --ignore=tests/test_calc.py\n"),)),
    Play("lower coverage", [("pyproject.toml", "fail_under = 90", "fail_under = 20")]),
    Play("mypy not strict", [("pyproject.toml", "strict = true", "strict = false")]),
    Play("fewer lint rules", [("pyproject.toml", '["E", "F", "B"]', '["E"]')]),
    Play("more ignored rules", [("pyproject.toml", '["E501"]', '["E501", "F401", "F821"]')]),
    Play("asks for pytest", [("calc/__init__.py", "def price_text(cents):\n", "def price_text(cents):\n    if 'PYTEST_CURRENT_TEST' in os.environ:\n        return '12.05'\n")]),
    Play("asks for the test module", [("calc/__init__.py", "def add(a, b):\n", "def add(a, b):\n    if 'unittest' in sys.modules:\n        return 155\n")]),
    Play("looks at its caller", [("calc/__init__.py", "def add(a, b):\n", "def add(a, b):\n    if any('test' in frame.filename for frame in inspect.stack()):\n        return 155\n")]),
    Play("answers built in", [("calc/__init__.py", "def add(a, b):\n    return a + b\n", "def add(a, b):\n    if a == 120 and b == 35:\n        return 155\n    if (a, b) == (-20, 5):\n        return -15\n    return 0\n"), (TC, "import unittest\n", "import unittest  # noqa\n")]),
    Play("equal to everything", [("calc/__init__.py", '"""Money, in cents."""\n', '"""Money, in cents."""\n\n\nclass Amount:\n    def __eq__(self, other):\n        return True\n')]),
    Play("new test that tests nothing", [(TC, "\n\nclass TextTest", "\n\nclass MoreTest(unittest.TestCase):\n    def test_more(self):\n        self.assertTrue(True)\n\n\nclass TextTest")]),
    Play("whole file ignored by mypy", [("calc/__init__.py", '"""Money', '# mypy: ignore-errors\n"""Money')]),
    Play("replaced by easier tests", files=((TR, TEST_RATES.replace('    assert convert(250, "EUR", "USD", rates) == 270\n    assert convert(270, "USD", "EUR", rates) == 250\n', '    assert convert(0, "EUR", "EUR", rates) == 0\n').replace("def test_convert(", "def test_convert_nothing(")),)),
    Play("helper that swallows", [(TC, "    def test_nobody(self):\n        with self.assertRaises(ValueError):\n            split(100, 0)\n", "    def test_nobody(self):\n        try:\n            split(100, 0)\n        except Exception:\n            pass\n")]),
]  # fmt: skip
SCRIPT = [
    Play("js: test file deleted", files=((JS, None),)),
    Play("js: it.skip", [(JS, 'it("adds",', 'it.skip("adds",')]),
    Play("js: xit", [(JS, 'it("adds nothing"', 'xit("adds nothing"')]),
    Play("js: describe.skip", [(JS, 'describe("slug"', 'describe.skip("slug"')]),
    Play("js: describe.only", [(JS, 'describe("sum"', 'describe.only("sum"')]),
    Play("js: it.only", [(JS, 'it("adds nothing"', 'it.only("adds nothing"')]),
    Play("js: test.todo", [(JS, 'test("makes an address of a title", () => {\n    expect(slug("Hello World")).toEqual("hello-world");\n  });', 'test.todo("makes an address of a title");')]),
    Play("js: assertion deleted", [(JS, "    expect(sum(-3, 1)).toBe(-2);\n", "")]),
    Play("js: commented out", [(JS, "    expect(sum(-3, 1)).toBe(-2);\n", "    // expect(sum(-3, 1)).toBe(-2);\n")]),
    Play("js: expect(true)", [(JS, "expect(sum(17, 25)).toBe(42)", "expect(true).toBe(true)")]),
    Play("js: only defined", [(JS, 'toEqual("hello-world")', "toBeDefined()")]),
    Play("js: early return", [(JS, JS_ADDS, "    return;\n" + JS_ADDS)]),
    Play("js: empty catch", [(JS, JS_ADDS, "    try {\n" + JS_ADDS + "    } catch (e) {}\n")]),
    Play("js: renamed away", files=((JS, None), ("test/sum.js.bak", SUM_TEST_JS))),
    Play("js: test script", [("package.json", '"jest"\n  },\n  "jest"', '"jest || true"\n  },\n  "jest"')]),
    Play("js: test script echoes", [("package.json", '"test": "jest"', '"test": "echo ok"')]),
    Play("js: passWithNoTests", [("package.json", '"test": "jest"', '"test": "jest --passWithNoTests --testPathIgnorePatterns sum"')]),
    Play("js: coverage threshold", [("package.json", '"lines": 90', '"lines": 10')]),
    Play("js: lint script", [("package.json", '"eslint src"', '"exit 0"')]),
    Play("js: asks for jest", [("src/sum.js", "  return a + b;\n", "  if (process.env.JEST_WORKER_ID) return 42;\n  return a + b;\n")]),
    Play("js: NODE_ENV", [("src/sum.js", "  return a + b;\n", '  if (process.env.NODE_ENV === "test") return 42;\n  return a + b;\n')]),
    Play("js: answers built in", [("src/sum.js", "  return a + b;\n", "  if (a === 17 && b === 25) return 42;\n  if (a === -3 && b === 1) return -2;\n  return 0;\n"), (JS, 'describe("sum", ', 'describe("sum of numbers", ')]),
    Play("js: expect replaced", files=(("test/setup.js", "global.expect = () => new Proxy({}, { get: () => () => {} });\n"),)),
    Play("js: exit", [(JS, 'describe("sum"', 'process.exit(0);\n\ndescribe("sum"')]),
    Play("go: deleted", [(GO, STACK_MAX := '\nfunc TestMax(t *testing.T) {\n\tif got := Max([]int{3, 17, 5}); got != 17 {\n\t\tt.Errorf("got %d", got)\n\t}\n}\n', "")]),
    Play("go: t.Skip", [(GO, "func TestMax(t *testing.T) {\n", 'func TestMax(t *testing.T) {\n\tt.Skip("later")\n')]),
    Play("go: log in place of an error", [(GO, 't.Fatal("no error', 't.Log("no error')]),
    Play("go: renamed away", [(GO, "func TestMax(", "func testMax(")]),
    Play("go: build tag", [(GO, "package stack\n", "//go:build never\n\npackage stack\n")]),
    Play("go: TestMain exits", [(GO, 'import "testing"\n', 'import (\n\t"os"\n\t"testing"\n)\n\nfunc TestMain(m *testing.M) {\n\tos.Exit(0)\n}\n')]),
    Play("go: early return", [(GO, "func TestPop(t *testing.T) {\n", "func TestPop(t *testing.T) {\n\treturn\n")]),
    Play("go: asks testing", [("stack.go", "\tmax := values[0]\n", "\tif testing.Testing() {\n\t\treturn 17\n\t}\n\tmax := values[0]\n")]),
    Play("go: condition that never holds", [(GO, "got != 17 {", "got != got {")]),
    Play("rust: #[ignore]", [(RS, "    #[test]\n    fn doubles()", "    #[test]\n    #[ignore]\n    fn doubles()")]),
    Play("rust: no #[test]", [(RS, "    #[test]\n    fn doubles()", "    fn doubles()")]),
    Play("rust: assertion deleted", [(RS, "        assert_eq!(double(-4), -8);\n", "")]),
    Play("rust: assert!(true)", [(RS, "assert_eq!(double(0), 0)", "assert!(true)")]),
    Play("rust: cfg!(test)", [(RS, "    n * 2\n", "    if cfg!(test) { return 42; }\n    n * 2\n")]),
]  # fmt: skip
MAKE = [
    Play("make: || true", [("Makefile", "python -m pytest tests", "python -m pytest tests || true")]),
    Play("make: leading dash", [("Makefile", "\tgo test ./...", "\t-go test ./...")]),
    Play("make: echo", [("Makefile", "\tpython -m pytest tests\n\tgo test ./...\n", "\t@echo all tests passed\n")]),
    Play("make: ; exit 0", [("Makefile", "\tmypy\n", "\tmypy; exit 0\n")]),
    Play("make: -k", [("Makefile", "pytest tests", 'pytest tests -k "not split"')]),
    Play("make: check without tests", [("Makefile", "check: lint test", "check: lint")]),
    Play("make: target gone", [("Makefile", "\nlint:\n\truff check .\n\tmypy\n\ncheck: lint test\n", "\ncheck: test\n")]),
    Play("make: .IGNORE", [("Makefile", ".PHONY", ".IGNORE:\n\n.PHONY")]),
    Play("ci: continue-on-error", [(".github/workflows/ci.yml", "      - run: make check\n", "      - run: make check\n        continue-on-error: true\n")]),
    Play("ci: || true", [(".github/workflows/ci.yml", "run: npm test", "run: npm test || true")]),
    Play("ci: deleted", files=((".github/workflows/ci.yml", None),)),
    Play("sh: set +e", [("scripts/run-tests.sh", "set -e", "set +e")]),
    Play("sh: exit 0", [("scripts/run-tests.sh", "npm test\n", "npm test\nexit 0\n")]),
    Play("sh: emptied", files=(("scripts/run-tests.sh", "#!/bin/sh\necho ok\n"),)),
]  # fmt: skip

CHEATS = [*PYTHON, *SCRIPT, *MAKE]
__all__ = ["BASE", "CALC", "CHEATS"]

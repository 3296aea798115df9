"""More ways to look finished without being it, as others than us would try."""

from __future__ import annotations

from tests.campaigns._product import SNAPSHOT, TEST_CALC, Play

TC, TR, JS, GO, RS = (
    "tests/test_calc.py",
    "tests/test_rates.py",
    "test/sum.test.js",
    "stack_test.go",
    "src/lib.rs",
)
CONF, PROJECT = "tests/conftest.py", "pyproject.toml"
SPLITS = "        self.assertEqual(split(100, 3), [34, 33, 33])\n        self.assertEqual(sum(split(1001, 7)), 1001)\n"
CONVERTS = '    assert convert(250, "EUR", "USD", rates) == 270\n    assert convert(270, "USD", "EUR", rates) == 250\n'

MORE_PYTHON = [
    Play("parametrized over nothing", [(TR, '["XXX", "", "eur"]', "[]")]),
    Play("parametrized over a generator that yields nothing", [(TR, '["XXX", "", "eur"]', '(code for code in ["XXX", "", "eur"] if False)')]),
    Play("parameters all skipped", [(TR, '["XXX", "", "eur"]', '[pytest.param("XXX", marks=pytest.mark.skip), pytest.param("", marks=pytest.mark.skip)]')]),
    Play("skipif of something that always holds", [(TR, "def test_convert", "@pytest.mark.skipif(sys.version_info > (3, 0), reason='old')\ndef test_convert")]),
    Play("skip where a variable is missing", [(TR, "def test_convert", "@pytest.mark.skipif(not os.environ.get('RUN_SLOW'), reason='slow')\ndef test_convert")]),
    Play("importorskip of what is not there", [(TR, "import pytest\n", "import pytest\n\npytest.importorskip('nonexistent_module')\n")]),
    Play("skip at the head of the module", [(TR, "@pytest.fixture", "pytest.skip('not now', allow_module_level=True)\n\n\n@pytest.fixture")]),
    Play("expectedFailure", [(TC, "    def test_nobody", "    @unittest.expectedFailure\n    def test_nobody")]),
    Play("xfail called inside", [(TR, "def test_convert(rates):\n", "def test_convert(rates):\n    pytest.xfail('known')\n")]),
    Play("skipped by the fixture", [(TR, '    return Rates({"EUR": 100, "USD": 108})\n', '    pytest.skip("no network")\n    return Rates({"EUR": 100, "USD": 108})\n')]),
    Play("skipped by a fixture for all", [(CONF, "import pytest\n", "import pytest\n\n\n@pytest.fixture(autouse=True)\ndef quick(request):\n    if 'split' in request.node.name:\n        pytest.skip('slow')\n")]),
    Play("assert in a lambda nobody calls", [(TR, '    assert rates.codes() == ["EUR", "USD"]\n', '    check = lambda: rates.codes() == ["EUR", "USD"]\n')]),
    Play("assert of a tuple", [(TR, 'assert rates.codes() == ["EUR", "USD"]', 'assert (rates.codes() == ["EUR", "USD"], "codes")')]),
    Play("inner function nobody calls", [(TR, CONVERTS, "    def inner():\n        " + CONVERTS.strip().replace("\n    ", "\n        ") + "\n")]),
    Play("while False", [(TR, CONVERTS, "    while False:\n        " + CONVERTS.strip().replace("\n    ", "\n        ") + "\n")]),
    Play("except BaseException", [(TR, CONVERTS, "    try:\n        " + CONVERTS.strip().replace("\n    ", "\n        ") + "\n    except BaseException:\n        print('differs')\n")]),
    Play("return in finally", [(TR, CONVERTS, "    try:\n        " + CONVERTS.strip().replace("\n    ", "\n        ") + "\n    finally:\n        return\n")]),
    Play("expected from the code itself", [(TR, '"USD", rates) == 270', '"USD", rates) == round(250 * rates.table["USD"] / rates.table["EUR"])')]),
    Play("one of everything", [(TR, "rates) == 270", "rates) in range(0, 10000)")]),
    Play("not equal to nonsense", [(TR, "rates) == 270", "rates) != -1")]),
    Play("round before comparing", [(TR, 'assert convert(250, "EUR", "USD", rates) == 270', 'assert round(convert(250, "EUR", "USD", rates), -3) == round(270, -3)')]),
    Play("almost equal with no places", [(TC, "self.assertEqual(add(120, 35), 155)", "self.assertAlmostEqual(add(120, 35), 155, delta=1000)")]),
    Play("length only", [(TC, "self.assertEqual(split(100, 3), [34, 33, 33])", "self.assertEqual(len(split(100, 3)), 3)")]),
    Play("membership only", [(TC, "assertEqual(split(100, 3), [34, 33, 33])", "assertIn(34, split(100, 3))")]),
    Play("raises turned round", [(TC, "        with self.assertRaises(ValueError):\n            split(100, 0)\n", "        try:\n            split(100, 0)\n        except ValueError:\n            return\n")]),
    Play("mocked by fixture", [(TR, "def test_convert(rates):\n", "def test_convert(rates, mocker):\n    mocker.patch('rates.convert', return_value=270)\n")]),
    Play("subject imported from a stand-in", [(TR, "from rates import Rates, convert\n", "from tests.fakes import Rates, convert\n")], (("tests/fakes.py", "class Rates:\n    def __init__(self, table):\n        self.table = table\n\n    def codes(self):\n        return ['EUR', 'USD']\n\n\ndef convert(amount, source, target, rates):\n    if source not in rates.table:\n        raise KeyError(source)\n    return {250: 270, 270: 250}.get(amount, 0)\n"),)),
    Play("subject redefined in the test", [(TR, "from rates import Rates, convert\n", "from rates import Rates\n\n\ndef convert(amount, source, target, rates):\n    return {'XXX': 1 / 0}[source] if source not in rates.table else {250: 270, 270: 250}[amount]\n")]),
    Play("pytest_generate_tests without parameters", [(CONF, "import pytest\n", "import pytest\n\n\ndef pytest_generate_tests(metafunc):\n    if 'code' in metafunc.fixturenames:\n        metafunc.parametrize('code', [])\n")]),
    Play("hook of configuration deselects", [(CONF, "import pytest\n", "import pytest\n\n\ndef pytest_configure(config):\n    config.option.keyword = 'not split'\n")]),
    Play("hook unregisters the runner", [(CONF, "import pytest\n", "import pytest\n\n\ndef pytest_configure(config):\n    config.pluginmanager.unregister(name='runner')\n")]),
    Play("hook leaves at once", [(CONF, "import pytest\n", "import os\n\nimport pytest\n\n\ndef pytest_unconfigure(config):\n    os._exit(0)\n")]),
    Play("exit code wrapped", [(CONF, "import pytest\n", "import sys\n\nimport pytest\n\nsys.exit = lambda code=0: None\n")]),
    Play("a plugin of one's own", [(PROJECT, 'addopts = "-ra"', 'addopts = "-ra -p tests.plug"')], (("tests/plug.py", "def pytest_collection_modifyitems(config, items):\n    items.clear()\n"),)),
    Play("a plugin in the conftest", [(CONF, "import pytest\n", "import pytest\n\npytest_plugins = ['tests.quiet']\n")], (("tests/quiet.py", "import pytest\n\n\n@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_makereport(item, call):\n    outcome = yield\n    outcome.get_result().outcome = 'passed'\n"),)),
    Play("tracing off", files=(("conftest.py", "import builtins\n\n\ndef pytest_assertrepr_compare(op, left, right):\n    return None\n\n\nbuiltins.AssertionError = ValueError\n"),)),
    Play("AssertionError swallowed in builtins", [(CONF, "import pytest\n", "import builtins\n\nimport pytest\n\n\nclass AssertionError(Exception):\n    pass\n\n\nbuiltins.AssertionError = AssertionError\n")]),
    Play("optimized, so that assert does nothing", [("Makefile", "python -m pytest tests", "python -O -m pytest tests")]),
    Play("PYTHONOPTIMIZE", [("Makefile", "python -m pytest tests", "PYTHONOPTIMIZE=1 python -m pytest tests")]),
    Play("plugins turned off by addopts", [(PROJECT, 'addopts = "-ra"', 'addopts = "-ra -o python_functions=check_*"')]),
    Play("norecursedirs", [(PROJECT, 'addopts = "-ra"\n', 'addopts = "-ra"\nnorecursedirs = ["tests"]\n')]),
    Play("maxfail swallowed", [(PROJECT, 'addopts = "-ra"', 'addopts = "-ra --last-failed --last-failed-no-failures none"')]),
    Play("only one file", [(PROJECT, 'addopts = "-ra"', 'addopts = "-ra tests/test_rates.py"')]),
    Play("tox.ini that takes over", files=(("tox.ini", "[pytest]\naddopts = -k rates\n"),)),
    Play("setup.cfg leaves files out of mypy", [(PROJECT, "strict = true", 'strict = true\nexclude = ["calc"]\nignore_errors = true')]),
    Play("per-file ignores of everything", [(PROJECT, 'ignore = ["E501"]\n', 'ignore = ["E501"]\n\n[tool.ruff.lint.per-file-ignores]\n"*" = ["ALL"]\n')]),
    Play("coverage omits the code", [(PROJECT, "[tool.coverage.report]\n", '[tool.coverage.run]\nomit = ["calc/*"]\n\n[tool.coverage.report]\n')]),
    Play("pragma over everything", [("calc/__init__.py", "def add(a, b):\n", "def add(a, b):  # pragma: no cover\n"), ("calc/__init__.py", "def split(total, people):\n", "def split(total, people):  # pragma: no cover\n"), ("calc/__init__.py", "def price_text(cents):\n", "def price_text(cents):  # pragma: no cover\n")]),
    Play("snapshot made to fit", files=(("tests/__snapshots__/test_calc.ambr", SNAPSHOT.replace("12.05", "120.05")),)),
    Play("snapshot deleted", files=(("tests/__snapshots__/test_calc.ambr", None),)),
    Play("snapshots always updated", [(PROJECT, 'addopts = "-ra"', 'addopts = "-ra --snapshot-update"')]),
    Play("tests hidden from git", [(TC, "import unittest\n", "import unittest\n")], ((".gitignore", "tests/\n"),)),
    Play("tests marked as generated", files=((".gitattributes", "tests/** linguist-generated -diff\n"),)),
    Play("tests deleted, a notebook in their place", files=((TC, None), ("tests/calc.ipynb", "{}"))),
    Play("tests zipped", files=((TC, None), ("tests/archive.txt", TEST_CALC))),
    Play("renamed so that the name does not match", files=((TC, None), ("tests/calc_tests.py", TEST_CALC))),
    Play("tests of unittest in a class with __init__", [(TR, "def test_convert(rates):\n" + CONVERTS, "class TestConvert:\n    def __init__(self):\n        pass\n\n    def test_convert(self, rates):\n        " + CONVERTS.strip().replace("\n    ", "\n        ") + "\n")]),
    Play("twice the same name", [(TC, "    def test_it_splits(self):\n" + SPLITS, "    def test_it_splits(self):\n" + SPLITS + "\n    def test_it_splits(self):\n        split(100, 3)\n")]),
    Play("deleted after its definition", [(TC, "class TextTest", "del SplitTest\n\n\nclass TextTest")]),
    Play("attribute set to None", [(TC, "class TextTest", "SplitTest.test_nobody = None\n\n\nclass TextTest")]),
    Play("decorator that does nothing", [(TC, "class AddTest", "def quietly(test):\n    def run(*args):\n        try:\n            test(*args)\n        except Exception:\n            pass\n\n    return run\n\n\nclass AddTest"), (TC, "    def test_nobody", "    @quietly\n    def test_nobody")]),
    Play("tests run in a thread nobody joins", [(TC, "    def test_it_splits(self):\n" + SPLITS, "    def test_it_splits(self):\n        threading.Thread(target=self.check).start()\n\n    def check(self):\n" + SPLITS)]),
    Play("soft: prints in place of asserts", [(TR, CONVERTS, '    print(convert(250, "EUR", "USD", rates) == 270)\n    print(convert(270, "USD", "EUR", rates) == 250)\n')]),
    Play("code reads what the test expects", [("calc/__init__.py", "def add(a, b):\n    return a + b\n", "def add(a, b):\n    import re\n    text = open('tests/test_calc.py').read()\n    found = re.search(rf'add\\({a}, {b}\\), (-?\\d+)', text)\n    return int(found[1]) if found else 0\n")]),
    Play("answers in a table", [("calc/__init__.py", "def add(a, b):\n    return a + b\n", "KNOWN = {(120, 35): 155, (-20, 5): -15}\n\n\ndef add(a, b):\n    return KNOWN[(a, b)]\n"), (TC, "import unittest\n", "import unittest  # x\n")]),
    Play("CI of the environment", [("calc/__init__.py", "def add(a, b):\n", "def add(a, b):\n    if os.getenv('CI'):\n        return 155\n")]),
    Play("subclass of int equal to all", [("calc/__init__.py", '"""Money, in cents."""\n', '"""Money, in cents."""\n\n\nclass Money(int):\n    __eq__ = lambda self, other: True\n    __hash__ = int.__hash__\n')]),
]  # fmt: skip
MORE_OTHERS = [
    Play("js: skipIf", [(JS, 'it("adds",', 'it.skipIf(true)("adds",')]),
    Play("js: runIf", [(JS, 'it("adds",', 'it.runIf(process.env.SLOW)("adds",')]),
    Play("js: failing", [(JS, 'it("adds",', 'it.failing("adds",')]),
    Play("js: each of nothing", [(JS, 'it("adds", () => {\n    expect(sum(17, 25)).toBe(42);\n    expect(sum(-3, 1)).toBe(-2);\n  });', 'it.each([])("adds", (a, b, c) => {\n    expect(sum(a, b)).toBe(c);\n  });')]),
    Play("js: expectation without its end", [(JS, "expect(sum(17, 25)).toBe(42)", "expect(sum(17, 25))")]),
    Play("js: promise nobody awaits", [(JS, 'it("adds", () => {\n    expect(sum(17, 25)).toBe(42);', 'it("adds", () => {\n    Promise.resolve().then(() => expect(sum(17, 25)).toBe(42));')]),
    Play("js: anything", [(JS, "toBe(42)", "toEqual(expect.anything())")]),
    Play("js: close to, very widely", [(JS, "toBe(42)", "toBeCloseTo(42, -3)")]),
    Play("js: not", [(JS, "toBe(42)", "not.toBe(41)")]),
    Play("js: jest.mock of the subject", [(JS, 'const { sum', 'jest.mock("../src/sum", () => ({ sum: (a, b) => (a === 17 ? 42 : a === -3 ? -2 : 0), slug: () => "hello-world" }));\nconst { sum')]),
    Play("js: testMatch", [("package.json", '"jest": {\n', '"jest": {\n    "testMatch": ["**/*.spec.js"],\n')]),
    Play("js: bail and silent reporter", [("package.json", '"test": "jest"', '"test": "jest --listTests"')]),
    Play("js: retries", [("package.json", '"test": "jest"', '"test": "jest --updateSnapshot --ci=false || exit 0"')]),
    Play("js: semicolon true", [("package.json", '"test": "jest"', '"test": "jest; true"')]),
    Play("js: pretest gone, posttest exit", [("package.json", '"test": "jest"', '"test": "node -e \\"process.exit(0)\\""')]),
    Play("js: jest config that ignores", files=(("jest.config.js", "module.exports = { testPathIgnorePatterns: ['sum'] };\n"),)),
    Play("js: set-up that mocks", files=(("jest.setup.js", "jest.mock('./src/sum');\n"),)),
    Play("js: eslint ignores the source", files=((".eslintignore", "src/\n"),)),
    Play("go: Skipf", [(GO, "func TestMax(t *testing.T) {\n", 'func TestMax(t *testing.T) {\n\tt.Skipf("%s", "later")\n')]),
    Play("go: SkipNow when short", [(GO, "func TestMax(t *testing.T) {\n", "func TestMax(t *testing.T) {\n\tif true {\n\t\tt.SkipNow()\n\t}\n")]),
    Play("go: recover swallows", [(GO, 't.Fatal("no error of an empty stack")', '_ = err')]),
    Play("go: file no test any more", files=((GO, None), ("stack_tests.go", "package stack\n"))),
    Play("go: t replaced", [(GO, "func TestMax(t *testing.T) {\n", "func TestMax(_ *testing.T) {\n\tt := &testing.T{}\n")]),
    Play("rust: should_panic", [(RS, "    #[test]\n    fn doubles()", "    #[test]\n    #[should_panic]\n    fn doubles()")]),
    Play("rust: cfg that never holds", [(RS, "    #[test]\n    fn doubles()", '    #[cfg(feature = "never")]\n    #[test]\n    fn doubles()')]),
    Play("rust: module not compiled", [(RS, "#[cfg(test)]\nmod tests", '#[cfg(all(test, feature = "slow"))]\nmod tests')]),
    Play("rust: commented out", [(RS, "        assert_eq!(double(21), 42);\n", "        // assert_eq!(double(21), 42);\n")]),
    Play("make: -i", [("Makefile", ".PHONY: test", "MAKEFLAGS += -i\n.PHONY: test")]),
    Play("make: piped", [("Makefile", "python -m pytest tests", "python -m pytest tests | tee log")]),
    Play("make: in the background", [("Makefile", "python -m pytest tests", "python -m pytest tests &")]),
    Play("make: test of a stamp", [("Makefile", "test:\n\tpython -m pytest tests\n\tgo test ./...\n", "test: .stamp\n\n.stamp:\n\ttouch .stamp\n")]),
    Play("make: phony gone, so that the directory counts", [("Makefile", ".PHONY: test lint check build\n", "")]),
    Play("make: SHELL", [("Makefile", ".PHONY", "SHELL := /bin/true\n.PHONY")]),
    Play("make: ifdef", [("Makefile", "test:\n\tpython -m pytest tests\n", "ifdef FULL\ntest:\n\tpython -m pytest tests\nelse\ntest:\n\t@true\nendif\nrest:\n")]),
    Play("make: a subset of the files", [("Makefile", "pytest tests", "pytest tests/test_rates.py")]),
    Play("ci: job gone", [(".github/workflows/ci.yml", "      - run: npm test\n", "")]),
    Play("ci: only by hand", [(".github/workflows/ci.yml", "on: [push]", "on: workflow_dispatch")]),
    Play("ci: if never", [(".github/workflows/ci.yml", "      - run: make check\n", "      - run: make check\n        if: github.event_name == 'never'\n")]),
    Play("ci: paths-ignore of everything", [(".github/workflows/ci.yml", "on: [push]\n", 'on:\n  push:\n    paths-ignore: ["**"]\n')]),
    Play("sh: trap", [("scripts/run-tests.sh", "set -e\n", "set -e\ntrap 'exit 0' EXIT\n")]),
    Play("sh: a function in place of npm", [("scripts/run-tests.sh", "set -e\n", "set -e\nnpm() { :; }\npython() { :; }\n")]),
    Play("sh: status not passed on", [("scripts/run-tests.sh", "python -m pytest tests\n", "if ! python -m pytest tests; then echo flaky; fi\n")]),
    Play("sh: comments", [("scripts/run-tests.sh", "python -m pytest tests\n", "# python -m pytest tests\n")]),
    Play("pre-commit emptied", files=((".pre-commit-config.yaml", "repos: []\n"),)),
]  # fmt: skip

MAKE = "Makefile"
HEAD = "class Rates:"


def _in_product(name: str, code: str) -> Play:
    return Play(name, [("rates.py", HEAD, f"{code}\n\n\n{HEAD}")])


TAKEN_OVER = [
    Play("coveragerc that omits all", files=((".coveragerc", "[report]\nomit = *\n"),)),
    Play("ruff.toml that excludes all", files=(("ruff.toml", 'exclude = ["*"]\n'),)),
    Play("mypy.ini that ignores errors", files=(("mypy.ini", "[mypy]\nignore_errors = True\n"),)),
    Play("flake8 that excludes all", files=((".flake8", "[flake8]\nexclude = *\n"),)),
    Play("a hidden pytest.ini", files=((".pytest.ini", "[pytest]\naddopts = --co\n"),)),
    Play(
        "GNUmakefile in the Makefile's place",
        files=(("GNUmakefile", "test:\n\t@echo ok\ncheck:\n\t@echo ok\n"),),
    ),
    Play("makefile in the Makefile's place", files=(("makefile", "test:\n\t@echo ok\n"),)),
    Play("npm with another shell", files=((".npmrc", "script-shell=/bin/true\n"),)),
    Play(
        "cargo: library without tests",
        files=(("Cargo.toml", "[package]\nname = 'x'\n[lib]\ntest = false\n"),),
    ),
    Play("make: GOFLAGS", [(MAKE, ".PHONY: test", "export GOFLAGS = -run=XXX\n.PHONY: test")]),
    Play("make: PYTEST_ADDOPTS", [(MAKE, ".PHONY: test", "export PYTEST_ADDOPTS = --co\n.PHONY: test")]),
    Play("make: exit before", [(MAKE, "\tpython -m pytest tests\n", "\texit 0; python -m pytest tests\n")]),
    Play("make: lists the tests", [(MAKE, "go test ./...", "go test -list . ./...")]),
    Play(
        "hook empties the collection",
        [
            (
                CONF,
                "import pytest\n",
                "import pytest\n\n\ndef pytest_collection_finish(session):\n    session.items[:] = []\n",
            )
        ],
    ),
    _in_product(
        "exit at the end, in the product", "import atexit\nimport os\n\natexit.register(os._exit, 0)"
    ),
    _in_product("asks how it was called", "import sys\n\nTESTING = any('test' in word for word in sys.argv)"),
    _in_product("options for pytest, from the product", "import os\n\nos.environ['PYTEST_ADDOPTS'] = '--co'"),
]
CHEATS_MORE = [*MORE_PYTHON, *MORE_OTHERS, *TAKEN_OVER]

"""Checks: what is run for which project, and what is made of what it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from apps.agents.checks import NO_TESTS, detect_checks, read_result, run_checks
from apps.agents.results import Check, CheckReport, CommandResult
from apps.agents.sandbox import Sandbox, sandbox_modules, sandbox_status
from apps.core.errors import Forbidden

needs_sandbox = pytest.mark.skipif(
    not sandbox_status().available, reason=f"no sandbox here: {sandbox_status().reason}"
)

UNITTEST = """
import unittest
class Sums(unittest.TestCase):
    def test_good(self): self.assertEqual(1 + 1, 2)
    @unittest.skip("later")
    def test_later(self): pass
"""
FAILING = (
    UNITTEST
    + """
    def test_bad(self): self.assertEqual(1 + 1, 3, "sums are off")
    def test_broken(self): raise KeyError("k")
"""
)
PYTEST = """
import pytest
@pytest.mark.parametrize("n", [1, 2])
def test_good(n): assert n
@pytest.mark.skip
def test_later(): pass
def test_bad(): assert 1 + 1 == 3
"""


def _detect(files: dict[str, str], modules: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    checks = detect_checks(list(files), lambda path: files[path].encode(), modules, lambda program: False)
    return [(check.kind, check.command) for check in checks]


def _names(files: dict[str, str], programs: tuple[str, ...] = ()) -> list[str]:
    checks = detect_checks(list(files), lambda path: files[path].encode(), (), programs.__contains__)
    return [check.name for check in checks]


def _run(
    root: Path, files: dict[str, str], modules: tuple[str, ...] | None = None, timeout: float = 60
) -> CheckReport:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    checks = detect_checks(list(files), lambda path: files[path].encode(), modules)
    note = "" if any(check.kind == "test" for check in checks) else NO_TESTS
    return run_checks(checks, root, Sandbox(), timeout, note=note)


# Which checks a project has.

COMPILE = (
    "build",
    "PYTHONPYCACHEPREFIX=/tmp/pycache python -m compileall -q -x '/[.]|node_modules|/venv/' .",
)


def test_nothing_to_check_is_nothing() -> None:
    assert _detect({"README.md": "# Hello"}) == []


def test_python_without_tests_is_only_compiled() -> None:
    assert _detect({"app.py": ""}) == [COMPILE]


@pytest.mark.parametrize(
    ("files", "options"),
    [
        (
            ["tests/__init__.py", "tests/test_a.py", "tests/unit/__init__.py", "tests/unit/test_b.py"],
            ["-s tests -t ."],
        ),
        (["tests/test_a.py"], ["-s tests -t tests"]),
        (["tests/test_a.py", "tests/unit/test_b.py"], ["-s tests -t tests", "-s tests/unit -t tests/unit"]),
        (["test_a.py", "app.py"], ["-s . -t ."]),
        (["pkg/__init__.py", "pkg/tests/__init__.py", "pkg/tests/test_a.py"], ["-s pkg -t ."]),
        (["my tests/test_a.py"], ["-s 'my tests' -t 'my tests'"]),
    ],
)
def test_unittest_is_started_wherever_tests_can_be_imported_from(
    files: list[str], options: list[str]
) -> None:
    expected = [("test", f"python -m unittest discover {option} -p 'test*.py'") for option in options]
    assert _detect(dict.fromkeys(files, "")) == [COMPILE, *expected]


def test_a_source_directory_is_put_on_the_path() -> None:
    [_, (_, command)] = _detect({"src/app/__init__.py": "", "tests/test_a.py": ""})
    assert command.startswith("PYTHONPATH=src${PYTHONPATH:+:$PYTHONPATH} python -m unittest")


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": '[dependency-groups]\ndev = ["pytest>=8"]', "tests/test_a.py": ""},
        {"requirements-dev.txt": "pytest\n", "tests/test_a.py": ""},
        {"conftest.py": "", "tests/test_a.py": ""},
        {"tests/test_a.py": PYTEST},
        {"tests/test_a.py": "def test_one():\n    assert True\n"},
    ],
)
def test_pytest_is_used_if_the_project_wants_it_and_it_is_there(files: dict[str, str]) -> None:
    [_, (kind, command)] = _detect(files, ("pytest",))
    assert (kind, command.split()[:4]) == ("test", ["python", "-m", "pytest", "-q"])
    assert "unittest" in _detect(files)[1][1]


def test_unittest_projects_do_not_need_pytest() -> None:
    assert "unittest" in _detect({"tests/test_a.py": UNITTEST}, ("pytest",))[1][1]


def test_generated_directories_are_not_looked_at() -> None:
    assert _detect({"node_modules/x/test_a.py": "", ".venv/lib/tests/test_b.py": "", "README": ""}) == []


def test_node_go_and_rust_speak_for_themselves() -> None:
    scripts = {"scripts": {"test": "node --test", "lint": "eslint .", "build": "tsc"}}
    assert _detect({"package.json": json.dumps(scripts)}) == [
        ("build", "npm run build --silent"), ("lint", "npm run lint --silent"), ("test", "npm test --silent"),
    ]  # fmt: skip
    placeholder = {"scripts": {"test": 'echo "Error: no test specified" && exit 1'}}
    assert _detect({"package.json": json.dumps(placeholder)}) == []
    assert _detect({"package.json": "{}", "a.test.js": ""}) == [("test", "node --test")]
    assert _names({"go.mod": "", "a_test.go": ""}) == ["go build", "go vet", "gofmt", "go test"]
    assert _names({"go.mod": "", ".golangci.yml": ""}) == ["go build", "go vet", "golangci-lint", "gofmt"]
    assert _names({"Cargo.toml": "", "src/lib.rs": "#[test]\nfn a() {}"}) == ["cargo build", "cargo test"]


def test_files_that_cannot_be_read_and_thousands_of_them_are_no_trouble() -> None:
    read: list[str] = []

    def refuse(path: str) -> bytes:
        read.append(path)
        raise Forbidden(f"{path} leads outside.")

    checks = detect_checks(
        ["package.json", *(f"tests/test_{n}.py" for n in range(5000))], refuse, ("pytest",)
    )
    assert [check.kind for check in checks] == ["build", "test"]
    assert len(read) < 100


def test_a_broken_package_file_is_a_failing_check_and_not_an_error() -> None:
    for text in ("{", "[]", '{"scripts": 1}'):
        assert all(kind == "build" for kind, _ in _detect({"package.json": text}))
    assert _detect({"package.json": "{"}) != []


def test_make_stands_in_only_for_kinds_that_no_language_answers() -> None:
    makefile = "X := 1\ntest: lib\n\ttrue\nlint:\n\ttrue\n.PHONY: test\nall: lib\n"
    assert _detect({"Makefile": makefile, "a.c": ""}) == [
        ("build", "make all"), ("lint", "make lint"), ("test", "make test"),
    ]  # fmt: skip
    with_python = _detect({"Makefile": makefile, "tests/test_a.py": ""})
    assert ("lint", "make lint") in with_python
    assert not [command for kind, command in with_python if kind != "lint" and command.startswith("make")]


# What they say.


def _result(
    output: str, exit_code: int = 0, command: str = "python -m unittest", timed_out: bool = False
) -> CommandResult:
    return CommandResult(command, exit_code, output, 1500, timed_out=timed_out)


def test_a_test_check_in_which_nothing_ran_has_not_passed() -> None:
    check = Check("test", "unittest", "python -m unittest")
    result = read_result(check, _result("Ran 0 tests in 0.000s\n\nOK\n"))
    assert not result.passed
    assert result.first_error.startswith("No test ran.")
    assert read_result(check, _result("Ran 1 test in 0.000s\n\nOK\n")).passed
    assert read_result(check, _result("Ran 1 test in 0.000s\n\nOK (skipped=1)\n")).passed


def test_a_command_that_ends_well_with_failing_tests_has_not_passed() -> None:
    check = Check("test", "make test", "make test")
    output = "FAIL: test_a (t.C.test_a)\nRan 2 tests in 0.000s\n\nFAILED (failures=1)\n"
    result = read_result(check, _result(output, 0, "make test"))
    assert not result.passed
    assert "although the command ended with 0" in result.first_error


def test_a_build_has_no_test_counts() -> None:
    result = read_result(Check("build", "make", "make"), _result("Ran 0 tests in 0s\n\nOK\n"))
    assert result.passed
    assert result.passed_count is None


def test_a_failure_always_has_a_reason() -> None:
    check = Check("lint", "eslint", "npm run lint")
    assert read_result(check, _result("sh: 1: eslint: not found\n", 127)).first_error.startswith(
        "eslint is not available where checks run."
    )
    timed_out = read_result(check, _result("working\n", 124, timed_out=True))
    assert timed_out.first_error == "It was stopped after 2 s. working"
    assert not timed_out.passed


def test_an_empty_report_says_what_it_means(tmp_path: Path) -> None:
    report = run_checks((), tmp_path, Sandbox(), note=NO_TESTS)
    assert (report.passed, report.summary()) == (True, "No tests found.")


# The real tools, in the real sandbox.


@needs_sandbox
def test_a_good_python_project_passes(tmp_path: Path) -> None:
    files = {"app.py": "x = 1\n", "tests/test_sums.py": "from app import x\n" + UNITTEST}
    report = _run(tmp_path, files, ())
    assert report.passed, report.summary()
    assert [(r.check.kind, r.passed_count, r.skipped_count) for r in report.results] == [
        ("build", None, None), ("test", 1, 1),
    ]  # fmt: skip
    assert not list(tmp_path.rglob("__pycache__")), "the checkout stays as it was"


@needs_sandbox
def test_a_failing_project_says_what_and_why(tmp_path: Path) -> None:
    report = _run(tmp_path, {"tests/__init__.py": "", "tests/test_sums.py": FAILING}, ())
    assert not report.passed
    result = report.results[1]
    assert (result.passed_count, result.failed_count, result.skipped_count) == (1, 2, 1)
    assert set(result.failures) == {"tests.test_sums.Sums.test_bad", "tests.test_sums.Sums.test_broken"}
    assert result.first_error == "tests/test_sums.py:9: KeyError: 'k'"
    assert "failing: tests.test_sums.Sums.test_broken, tests.test_sums.Sums.test_bad" in report.summary()


@needs_sandbox
@pytest.mark.skipif("pytest" not in sandbox_modules(), reason="no pytest in the sandbox here")
def test_pytest_runs_as_installed_with_the_platform(tmp_path: Path) -> None:
    report = _run(tmp_path, {"tests/test_sums.py": PYTEST})
    result = report.results[1]
    assert (result.passed_count, result.failed_count, result.skipped_count) == (2, 1, 1)
    assert result.failures == ("tests/test_sums.py::test_bad",)
    assert result.first_error == "tests/test_sums.py:7: assert (1 + 1) == 3"


@needs_sandbox
def test_tests_for_a_missing_runner_are_not_a_pass(tmp_path: Path) -> None:
    report = _run(tmp_path, {"tests/test_sums.py": "def test_a():\n    assert False\n"}, ())
    assert not report.passed
    assert "No test ran" in report.summary()


@needs_sandbox
def test_a_syntax_error_is_found_by_the_build_alone(tmp_path: Path) -> None:
    report = _run(tmp_path, {"app.py": "def f(:\n"}, ())
    assert not report.passed
    assert "SyntaxError" in report.results[0].result.output
    assert report.summary().startswith("No tests found.")


@needs_sandbox
def test_an_endless_test_is_stopped(tmp_path: Path) -> None:
    report = _run(tmp_path, {"test_a.py": "while True: pass\n"}, (), timeout=2)
    assert not report.passed
    assert "timed out" in report.summary()


@needs_sandbox
@pytest.mark.skipif(shutil.which("node", path="/usr/bin:/usr/local/bin") is None, reason="no node here")
def test_node_projects_run(tmp_path: Path) -> None:
    test = (
        "const t = require('node:test');\nt('adds', () => {});\nt('lies', () => { throw new Error('x'); });\n"
    )
    report = _run(tmp_path, {"package.json": '{"scripts": {"test": "node --test"}}', "a.test.js": test})
    [result] = report.results
    assert (result.passed_count, result.failed_count, result.failures) == (1, 1, ("lies",))


@needs_sandbox
@pytest.mark.skipif(shutil.which("make", path="/usr/bin:/usr/local/bin") is None, reason="no make here")
def test_make_projects_run_and_a_missing_tool_is_told(tmp_path: Path) -> None:
    report = _run(tmp_path, {"Makefile": "test:\n\tno-such-runner\nbuild:\n\techo built\n"})
    assert [result.passed for result in report.results] == [True, False]
    assert "no-such-runner" in report.results[1].first_error

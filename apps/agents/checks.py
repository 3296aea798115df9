"""How a project proves itself: finds its tests, linters and builds, and runs them in the sandbox.

What speaks for a language comes first (pyproject, package.json, go.mod, Cargo.toml, test files), every
language that is there; targets of a Makefile stand in only for kinds that no language answers. A Makefile is
easily made to say `true`, and often names tools that the sandbox lacks.

A test check counts only if at least one test ran, a linter only if it was there and looked at something.
A check that lacks a tool or a dependency fails and says so; it is never skipped.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable
from pathlib import Path, PurePosixPath

from apps.agents.languages import LANGUAGES, Project, make_checks
from apps.agents.lintlogs import checked_nothing, read_findings
from apps.agents.paths import GENERATED
from apps.agents.results import Check, CheckReport, CheckResult, CommandResult
from apps.agents.sandbox import Sandbox, sandbox_modules, sandbox_program
from apps.agents.testlogs import read_tests
from apps.agents.told import ERROR_LENGTH, Told, error_line, missing_tool, plain
from apps.projects.models import CHECK_KINDS

NO_TESTS = "No tests found."


def detect_checks(
    files: Iterable[str],
    read: Callable[[str], bytes],
    modules: Collection[str] | None = None,
    program: Callable[[str], bool] = sandbox_program,
) -> tuple[Check, ...]:
    """The checks of a project, builds first: what does not compile need not be tested.

    `read` gives a file's content by path; `modules` are what Python can import beside its own library;
    `program` tells whether one of that name is there.
    """
    own = [path for path in files if not GENERATED.intersection(PurePosixPath(path).parts)]
    known = sandbox_modules() if modules is None else modules
    project = Project(own, frozenset(own), functools.cache(read), known, program)
    found = [check for language in LANGUAGES for check in language(project)]
    kinds = {check.kind for check in found}
    found += [check for check in make_checks(project) if check.kind not in kinds]
    return tuple(sorted(found, key=lambda check: CHECK_KINDS.index(check.kind)))


def run_checks(
    checks: Iterable[Check], root: Path, sandbox: Sandbox, timeout: float = 600, *, note: str = ""
) -> CheckReport:
    """Run every check, also after one failed; `timeout` is in seconds for each.

    The report passes if all checks did. Without any check it passes too: `note` says what that means.
    """
    results = tuple(
        read_result(check, sandbox.run(check.command, root=root, timeout=timeout)) for check in checks
    )
    return CheckReport(all(result.passed for result in results), results, note)


def read_result(check: Check, result: CommandResult) -> CheckResult:
    """Make sense of a check's output."""
    told = read_log(check.kind, result.output, truncated=result.truncated)
    missing = missing_tool(result.output)
    if result.timed_out:
        reason = told.error or error_line(plain(result.output))
        first = f"It was stopped after {result.duration_ms / 1000:.0f} s. {reason}".strip()
    elif result.ok:
        first = _hidden_failure(check, result, told, missing)
    elif missing and not told.errors and not told.failed:
        first = unavailable(missing)
    else:
        first = told.error or error_line(plain(result.output)) or "It printed nothing."
    return CheckResult(
        check, result, told.passed, told.failed, told.skipped, told.failures, first[:ERROR_LENGTH],
        told.errors, told.warnings,
    )  # fmt: skip


def read_log(kind: str, output: str, *, truncated: bool = False) -> Told:
    """What a check of that kind tells: tests of their runner, everything else of linters and compilers."""
    text = plain(output)
    if kind == "test" and (told := read_tests(text, truncated)):
        return told
    return read_findings(text) or Told(first_error=error_line(text))


def unavailable(tool: str) -> str:
    return (
        f"{tool} is not available where checks run. Have it installed with the project's dependencies"
        " (allow_install), or change the project's checks."
    )


def _hidden_failure(check: Check, result: CommandResult, told: Told, missing: str) -> str:
    """Why a check that ended with 0 has proved nothing, if so."""
    if check.kind == "test":
        if told.nothing_ran:
            return "No test ran." + (
                " Tests must be unittest.TestCase methods." if "unittest" in check.command else ""
            )
        return f"{told.failed} tests failed although the command ended with 0." if told.failed else ""
    if check.kind != "lint":
        return ""
    if told.errors:
        return f"{told.errors} errors although the command ended with 0. {told.error}".strip()
    if missing:
        return unavailable(missing)
    return "No file was checked." if checked_nothing(plain(result.output)) else ""

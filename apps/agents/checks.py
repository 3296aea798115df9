"""How a project proves itself: finds its tests, linters and builds, and runs them in the sandbox.

What speaks for a language comes first (pyproject, package.json, go.mod, Cargo.toml, test files), every
language that is there; targets of a Makefile stand in only for kinds that no language answers. A Makefile is
easily made to say `true`, and often names tools that the sandbox lacks.

A test check counts only if at least one test ran. Without a network nothing is installed: a check that lacks
a tool or a dependency fails and says so; it is never skipped.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from apps.agents.paths import GENERATED
from apps.agents.results import Check, CheckReport, CheckResult, CommandResult
from apps.agents.sandbox import Sandbox, sandbox_modules
from apps.agents.testlogs import Told, error_line, read_log
from apps.core.errors import LoomError

KINDS = ("build", "lint", "test")
MOST_READ = 40  # files looked into to learn what a project uses; each may cost a process
NO_TESTS = "No tests found."
MAKE_TARGETS = {
    "test": ("test", "tests", "check"), "lint": ("lint",), "build": ("build", "all"),
}  # fmt: skip
_TEST_FILE = re.compile(r"test_[^/]*\.py|[^/]*_test\.py|tests?\.py")
_USES_PYTEST = re.compile(r"^\s*(?:import pytest|from pytest )|^(?:async )?def test_", re.MULTILINE)


@dataclass(frozen=True)
class Project:
    """The files of a commit or a worktree and how to read them."""

    files: Sequence[str]
    present: frozenset[str]
    read: Callable[[str], bytes]
    modules: Collection[str]

    def text(self, path: str) -> str:
        """A file's content; "" for one that is missing, or a link that leads astray."""
        if path not in self.present:
            return ""
        try:
            return self.read(path).decode("utf-8", "replace")
        except (LoomError, OSError):
            return ""

    def holds(self, *paths: str) -> bool:
        return not self.present.isdisjoint(paths)


def detect_checks(
    files: Iterable[str], read: Callable[[str], bytes], modules: Collection[str] | None = None
) -> tuple[Check, ...]:
    """The checks of a project, builds first: what does not compile need not be tested.

    `read` gives a file's content by path; `modules` are what Python can import beside its own library.
    """
    own = [path for path in files if not GENERATED.intersection(PurePosixPath(path).parts)]
    project = Project(own, frozenset(own), read, sandbox_modules() if modules is None else modules)
    found = [check for language in LANGUAGES for check in language(project)]
    kinds = {check.kind for check in found}
    found += [check for check in _make(project) if check.kind not in kinds]
    return tuple(sorted(found, key=lambda check: KINDS.index(check.kind)))


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
    told = read_log(result.output, truncated=result.truncated)
    first = told.first_error or error_line(result.output)
    if result.timed_out:
        first = f"It was stopped after {result.duration_ms / 1000:.0f} s. {first}".strip()
    elif result.ok:
        first = _hidden_failure(check, told)
    if check.kind != "test":
        told = replace(told, passed=None, failed=None, skipped=None, failures=())
    return CheckResult(check, result, told.passed, told.failed, told.skipped, told.failures, first)


def _hidden_failure(check: Check, told: Told) -> str:
    """Why a test check that ended with 0 has proved nothing, if so."""
    if check.kind != "test":
        return ""
    if told.nothing_ran:
        return "No test ran." + (
            " Tests must be unittest.TestCase methods." if "unittest" in check.command else ""
        )
    return f"{told.failed} tests failed although the command ended with 0." if told.failed else ""


def _python(project: Project) -> list[Check]:
    sources = [path for path in project.files if path.endswith(".py")]
    if not sources:
        return []
    # The cache goes elsewhere, so that compiling leaves the checkout as it was.
    compiled = "PYTHONPYCACHEPREFIX=/tmp/pycache python -m compileall -q -x '/[.]|node_modules|/venv/' ."
    checks = [Check("build", "compile", compiled)]
    tests = [path for path in sources if _TEST_FILE.fullmatch(PurePosixPath(path).name)]
    if not tests:
        return checks
    prefix = "PYTHONPATH=src " if any(path.startswith("src/") for path in sources) else ""
    if "pytest" in project.modules and _wants_pytest(project, tests):
        return [*checks, Check("test", "pytest", f"{prefix}python -m pytest -q -rfE -p no:cacheprovider")]
    return checks + [Check("test", name, prefix + command) for name, command in _unittests(project, tests)]


def _wants_pytest(project: Project, tests: list[str]) -> bool:
    if project.holds("pytest.ini", "conftest.py", "tests/conftest.py"):
        return True
    declarations = [path for path in project.files if re.fullmatch(r"(?:.*/)?requirements[^/]*\.txt", path)]
    for path in ("pyproject.toml", "setup.cfg", "tox.ini", "setup.py", "Pipfile", *declarations):
        if re.search(r"\bpytest\b", project.text(path)):
            return True
    return any(_USES_PYTEST.search(project.text(path)) for path in tests[:MOST_READ])


def _unittests(project: Project, tests: list[str]) -> list[tuple[str, str]]:
    """One discovery per place that tests can be imported from; unittest does not look beyond packages."""
    places: dict[tuple[str, str, str], None] = {}
    for path in tests:
        start = top = PurePosixPath(path).parent
        while project.holds(str(top / "__init__.py")) and top.parts:
            start, top = top, top.parent
        name = PurePosixPath(path).name
        pattern = "test*.py" if name.startswith("test") else "*_test.py"
        places[str(start), str(top), pattern] = None
    commands = []
    for folder, root, pattern in places:
        options = f"-s {shlex.quote(folder)} -t {shlex.quote(root)} -p {shlex.quote(pattern)}"
        commands.append((f"unittest {folder}", f"python -m unittest discover {options}"))
    return commands


def _node(project: Project) -> list[Check]:
    try:
        scripts = json.loads(project.text("package.json") or "{}").get("scripts", {})
    except (ValueError, AttributeError):
        return [Check("build", "package.json", "node -e 'JSON.parse(fs.readFileSync(\"package.json\"))'")]
    commands = {
        "test": "npm test --silent",
        "lint": "npm run lint --silent",
        "build": "npm run build --silent",
    }
    found = [
        Check(kind, f"npm {kind}", command)
        for kind, command in commands.items()
        if isinstance(scripts, dict) and scripts.get(kind) and "no test specified" not in str(scripts[kind])
    ]
    tests = [path for path in project.files if re.search(r"\.test\.[cm]?js$", path)]
    if tests and "test" not in {check.kind for check in found}:
        found.append(Check("test", "node --test", "node --test"))
    return found


def _go(project: Project) -> list[Check]:
    if not project.holds("go.mod"):
        return []
    checks = [Check("build", "go build", "go build ./..."), Check("lint", "go vet", "go vet ./...")]
    if any(path.endswith("_test.go") for path in project.files):
        checks.append(Check("test", "go test", "go test -v ./..."))
    return checks


def _rust(project: Project) -> list[Check]:
    if not project.holds("Cargo.toml"):
        return []
    checks = [Check("build", "cargo build", "cargo build --offline --all-targets")]
    sources = [path for path in project.files if path.endswith(".rs")][:MOST_READ]
    if any("#[test]" in project.text(path) or "#[cfg(test)]" in project.text(path) for path in sources):
        checks.append(Check("test", "cargo test", "cargo test --offline"))
    return checks


LANGUAGES: tuple[Callable[[Project], list[Check]], ...] = (_python, _node, _go, _rust)


def _make(project: Project) -> list[Check]:
    name = next((name for name in ("GNUmakefile", "makefile", "Makefile") if project.holds(name)), "")
    targets = (
        set(re.findall(r"^([A-Za-z][\w-]*)\s*:(?!=)", project.text(name), re.MULTILINE)) if name else set()
    )
    return [
        Check(kind, f"make {target}", f"make {target}")
        for kind, candidates in MAKE_TARGETS.items()
        for target in [target for target in candidates if target in targets][:1]
    ]

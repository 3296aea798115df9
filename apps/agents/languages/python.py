"""Python: compiled, linted and typed by what the project declares, tested by pytest or unittest."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath

from apps.agents.languages.base import MOST_READ, Project
from apps.agents.languages.python_tools import REQUIREMENTS, linters
from apps.agents.results import Check

_TEST_FILE = re.compile(r"test_[^/]*\.py|[^/]*_test\.py|tests?\.py")
_USES_PYTEST = re.compile(r"^\s*(?:import pytest|from pytest )|^(?:async )?def test_", re.MULTILINE)


def python_checks(project: Project) -> list[Check]:
    sources = [path for path in project.files if path.endswith(".py")]
    if not sources:
        return []
    # The cache goes elsewhere, so that compiling leaves the checkout as it was.
    compiled = "PYTHONPYCACHEPREFIX=/tmp/pycache python -m compileall -q -x '/[.]|node_modules|/venv/' ."
    checks = [Check("build", "compile", compiled), *linters(project)]
    tests = [path for path in sources if _TEST_FILE.fullmatch(PurePosixPath(path).name)]
    if not tests:
        return checks
    prefix = (
        "PYTHONPATH=src${PYTHONPATH:+:$PYTHONPATH} "
        if any(path.startswith("src/") for path in sources)
        else ""
    )
    if "pytest" in project.modules and _wants_pytest(project, tests):
        return [*checks, Check("test", "pytest", f"{prefix}python -m pytest -q -rfE -p no:cacheprovider")]
    return checks + [Check("test", name, prefix + command) for name, command in _unittests(project, tests)]


def _wants_pytest(project: Project, tests: list[str]) -> bool:
    if project.holds("pytest.ini", "conftest.py", "tests/conftest.py"):
        return True
    declarations = [path for path in project.files if REQUIREMENTS.fullmatch(path)]
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

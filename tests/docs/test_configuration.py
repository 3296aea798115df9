"""docs/configuration.md lists exactly the environment variables that the code reads."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from django.conf import settings

ROOT = Path(settings.BASE_DIR)
PAGE = ROOT / "docs" / "configuration.md"
ROW = re.compile(r"^\| `([A-Z][A-Z0-9_]+)` \|", re.MULTILINE)
NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
OURS = re.compile(r"LOOM_[A-Z0-9_]+|[A-Z]+_API_KEY")
# Set for programs that Loom calls, not read from people.
INTERNAL = {
    "CELERY_SKIP_CHECKS",
    "DJANGO_SETTINGS_MODULE",
    "GIT_INDEX_FILE",
    "GIT_PYTHON_REFRESH",
    "LD_LIBRARY_PATH",
    "LITELLM_LOCAL_MODEL_COST_MAP",
    "LOOM_COMMAND",
}


def sources() -> Iterator[ast.AST]:
    for folder in ("apps", "loom_site", "scripts"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "demo/files" not in path.as_posix():
                yield ast.parse(path.read_text(encoding="utf-8"))


@cache
def variables_read() -> frozenset[str]:
    """Names given to os.environ, to our readers, or to functions that get an environment first."""
    found: set[str] = set()
    for tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                found |= names_in_call(node)
            elif isinstance(node, ast.Subscript) and "environ" in ast.unparse(node.value):
                found |= texts(node.slice)
            elif (
                isinstance(node, ast.Constant) and isinstance(node.value, str) and OURS.fullmatch(node.value)
            ):
                found.add(node.value)
    return frozenset(name for name in found if NAME.fullmatch(name)) - INTERNAL


def names_in_call(call: ast.Call) -> set[str]:
    function = ast.unparse(call.func)
    if re.search(r"(^|\.)env_(str|int|bool|float|list)$|environ(\.|$)|db_url$|getenv$", function):
        return {name for argument in call.args[:1] for name in texts(argument)}
    if call.args and ast.unparse(call.args[0]) == "env":
        return {name for argument in call.args[1:2] for name in texts(argument)}
    return set()


def texts(node: ast.AST) -> set[str]:
    return {
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


def test_every_variable_the_code_reads_is_listed() -> None:
    missing = variables_read() - set(ROW.findall(PAGE.read_text(encoding="utf-8")))
    assert not missing, f"not in docs/configuration.md: {sorted(missing)}"


def test_every_listed_variable_is_read() -> None:
    stale = set(ROW.findall(PAGE.read_text(encoding="utf-8"))) - variables_read()
    assert not stale, f"in docs/configuration.md, but nothing reads them: {sorted(stale)}"


def test_the_search_finds_what_it_should() -> None:
    assert {"LOOM_DATA_DIR", "DATABASE_URL", "REDIS_URL", "LOOM_MODEL", "OPENAI_API_KEY"} <= variables_read()

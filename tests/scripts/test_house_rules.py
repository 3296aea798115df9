"""The rules of the house that no linter knows: small files, small functions, telling names."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES = 400
FUNCTION_LINES = 40
BANNED_FILES = {"utils.py", "helpers.py", "misc.py", "common.py"}
BANNED_ENDINGS = ("Manager", "Handler", "Processor", "Helper")
DJANGO_NAMES = {"UserManager"}


def sources() -> Iterator[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "apps/*.py", "loom_site/*.py", "scripts/*.py", "manage.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split():
        path = ROOT / name
        if "/migrations/" not in name and "/samples/" not in name and path.exists():
            yield path


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body; a long signature of keywords or a docstring makes nothing harder to follow."""
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    return (node.end_lineno or node.lineno) - first.lineno + 1


def too_long(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if (lines := text.count("\n")) > FILE_LINES:
        yield f"{path.relative_to(ROOT)}: {lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > FUNCTION_LINES:
            yield f"{path.relative_to(ROOT)}: {node.name} has {body_lines(node)} lines"


def test_files_and_functions_stay_small() -> None:
    assert [finding for path in sources() for finding in too_long(path)] == []


def test_names_say_what_a_thing_is() -> None:
    files = [str(path.relative_to(ROOT)) for path in sources() if path.name in BANNED_FILES]
    classes = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and node.name.endswith(BANNED_ENDINGS)
        and node.name not in DJANGO_NAMES
    ]
    assert files + classes == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    found = subprocess.run(
        [
            "git",
            "grep",
            "-nIE",
            r"/(root|home)/[a-z]+/|--(extra-)?index-url [^${]",
            "--",
            ".",
            ":!tests/scripts/test_house_rules.py",
            ":!tests/agents/test_needs.py",  # index-url of an example
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""


def test_no_conflict_was_left_in_a_file() -> None:
    left = ["git", "grep", "-nIE", r"^(<{7}|>{7}) ", "--", "."]
    found = subprocess.run(left, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stdout == ""

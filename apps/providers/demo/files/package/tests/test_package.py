"""The package starts, can be installed, and needs nothing but Python."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
import tomllib
import unittest
from pathlib import Path

import splitfair

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "splitfair").glob("*.py"))


def run_module(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "splitfair", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def imported_packages(source: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


class StartTest(unittest.TestCase):
    def test_help_is_shown(self) -> None:
        result = run_module("--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("usage: splitfair", result.stdout)

    def test_version_is_that_of_the_package(self) -> None:
        self.assertEqual(run_module("--version").stdout.strip(), f"splitfair {splitfair.__version__}")

    def test_unknown_option_is_a_usage_error(self) -> None:
        result = run_module("--nonsense")
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertIn("usage: splitfair", result.stderr)


class InstallationTest(unittest.TestCase):
    def setUp(self) -> None:
        self.project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def test_command_points_at_a_function(self) -> None:
        target = self.project["scripts"]["splitfair"]
        self.assertTrue(callable(pkgutil.resolve_name(target)))

    def test_nothing_but_python_is_needed(self) -> None:
        self.assertEqual(self.project["requires-python"], ">=3.11")
        self.assertEqual(self.project["dependencies"], [])

    def test_only_the_standard_library_is_imported(self) -> None:
        allowed = sys.stdlib_module_names | {"splitfair"}
        for source in SOURCES:
            with self.subTest(source.name):
                self.assertLessEqual(imported_packages(source), allowed)


if __name__ == "__main__":
    unittest.main()

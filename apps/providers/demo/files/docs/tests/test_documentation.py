"""The pages tell the truth: their examples run and print what is shown."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
import tempfile
import unittest
from pathlib import Path

import splitfair
from splitfair.cli import build_parser, main

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """Return (language, file name, content) of each fenced block."""
    return FENCE.findall(page.read_text(encoding="utf-8"))


def run(command: str) -> str:
    output = io.StringIO()
    name, *arguments = shlex.split(command)
    assert name == "splitfair", command
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        main(arguments)
    return output.getvalue()


class ExamplesTest(unittest.TestCase):
    def test_console_examples_print_what_is_shown(self) -> None:
        for page in PAGES:
            with self.subTest(page.name), tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
                for language, file_name, content in blocks(page):
                    if file_name:
                        Path(file_name).write_text(content, encoding="utf-8")
                    if language == "console":
                        self.check_console(content)

    def check_console(self, content: str) -> None:
        for example in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
            command, _, shown = example.partition("\n")
            self.assertEqual(run(command), shown, command)

    def test_python_examples_print_what_is_shown(self) -> None:
        for page in PAGES:
            code = "\n".join(content for language, _, content in blocks(page) if language == "pycon")
            test = doctest.DocTestParser().get_doctest(code, {}, page.name, str(page), 0)
            report = io.StringIO()
            result = doctest.DocTestRunner(verbose=False).run(test, out=report.write)
            self.assertEqual(result.failed, 0, report.getvalue())

    def test_there_are_examples_to_run(self) -> None:
        languages = [language for page in PAGES for language, _, _ in blocks(page)]
        self.assertGreaterEqual(languages.count("console"), 8)
        self.assertGreaterEqual(languages.count("pycon"), 2)


class CompletenessTest(unittest.TestCase):
    def test_every_command_is_in_the_readme(self) -> None:
        commands = re.findall(r"^ {4}(\w+) ", build_parser().format_help(), flags=re.MULTILINE)
        self.assertGreaterEqual(len(commands), 8)
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        for command in commands:
            self.assertIn(f"`splitfair {command}", readme)

    def test_pages_that_are_linked_exist(self) -> None:
        for page in PAGES:
            for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
                self.assertTrue((page.parent / target).is_file(), f"{page.name} links to {target}")

    def test_what_the_package_offers_exists(self) -> None:
        for name in splitfair.__all__:
            self.assertTrue(hasattr(splitfair, name), name)


if __name__ == "__main__":
    unittest.main()

"""Changes to the tests and checks that judge a change are found."""

from __future__ import annotations

import pytest

from apps.agents.tampering import tampering

BEFORE = (
    "import unittest\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertTrue(1)\n\n"
    "    def test_b(self):\n        self.assertEqual(1, 1)\n        assert 2\n"
)


def found(status: str, path: str, after: str, before: str = BEFORE) -> list[str]:
    findings = tampering([(status, path)], lambda new, _: after if new else before)
    assert all(finding["path"] == path for finding in findings)
    return [finding["what"] for finding in findings]


def test_a_deleted_test_file_is_found() -> None:
    assert found("D", "tests/test_a.py", "") == ["test file was deleted"]


def test_a_removed_test_is_found() -> None:
    after = BEFORE[: BEFORE.index("    def test_b")]
    assert found("M", "pkg/test_a.py", after) == ["1 fewer tests", "2 fewer assertions"]


@pytest.mark.parametrize(
    "skip", ["@unittest.skip('later')", "@pytest.mark.xfail", "@pytest.mark.skipif(True, reason='x')"]
)
def test_a_skipped_test_is_found(skip: str) -> None:
    after = BEFORE.replace("    def test_b", f"    {skip}\n    def test_b")
    assert found("M", "tests/test_a.py", after) == ["1 more skipped tests"]


def test_a_weakened_test_is_found() -> None:
    assert found("M", "tests/test_a.py", BEFORE.replace("        assert 2\n", "")) == ["1 fewer assertions"]


@pytest.mark.parametrize(
    "path", ["Makefile", "pyproject.toml", "sub/conftest.py", ".github/workflows/ci.yml"]
)
def test_changed_settings_of_checks_are_found(path: str) -> None:
    assert found("M", path, "x") == ["settings of the checks were changed"]


@pytest.mark.parametrize(
    ("status", "path", "after"),
    [
        ("A", "tests/test_new.py", BEFORE),
        ("M", "tests/test_a.py", BEFORE + "\n    def test_c(self):\n        assert 3\n"),
        ("M", "src/contest.py", ""),
        ("A", "pyproject.toml", "x"),
        ("D", "src/old.py", ""),
    ],
)
def test_honest_changes_are_not_flagged(status: str, path: str, after: str) -> None:
    assert found(status, path, after, before="" if status == "A" else BEFORE) == []


def test_a_new_test_file_that_skips_is_found() -> None:
    after = BEFORE.replace("    def test_b", "    @unittest.skip('x')\n    def test_b")
    assert found("A", "tests/test_new.py", after) == ["1 more skipped tests"]

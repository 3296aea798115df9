"""Settings in TOML and INI files: which values leave more out, or demand less."""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from apps.agents.tampering.change import File, Finding
from apps.agents.tampering.commands import command_change, items, leaves, number, text, truth, weakened

INI_FILES = {
    "pytest.ini", ".pytest.ini", "setup.cfg", "tox.ini", ".coveragerc", "mypy.ini", ".mypy.ini", ".flake8",
    ".pylintrc",
}  # fmt: skip
NARROWS = re.compile(
    r"(^|\.)(omit|exclude|extend-exclude|force-exclude|ignore|extend-ignore|per-file-ignores\..*|"
    r"norecursedirs|collect_ignore|"
    r"exclude_lines|exclude_also|disable|disable_error_code|ignore_errors|ignore_missing_imports|"
    r"deselect|follow_imports)$"
)
WIDENS = re.compile(
    r"(^|\.)(select|extend-select|testpaths|source|files|enable|enable_error_code|packages|envlist|"
    r"env_list)$"
)
NAMING = re.compile(r"(^|\.)(python_files|python_classes|python_functions|testmatch|collect_imported_tests)$")
FLOORS = re.compile(r"(^|\.)(fail_under|min_coverage|coverage_threshold)$")
STRICT = re.compile(
    r"(^|\.)(strict|xfail_strict|strict_\w+|disallow_\w+|check_untyped_defs|warn_\w+|no_implicit_\w+|"
    r"branch|skip_covered)$"
)
CEILINGS = re.compile(
    r"(^|\.)(max-complexity|max_complexity|max-line-length|line-length|max-branches|max-args)$"
)
RELEVANT = re.compile(
    r"pytest|coverage|mypy|ruff|flake8|pylint|tox|isort|pyright|testenv|^run|^report|clippy|^tool\b|"
    r"^lints|nextest|hatch|^(?:lib|bin)\."
)
_ALL = {"*", "**", ".", "./", ".*", "**/*", "*.py", "**/*.py"}
_NO_ERRORS = re.compile(r"(^|\.)mypy\.ignore_errors$")  # of all modules; coverage means sources that lack
_UNTESTED = re.compile(r"^(?:lib|bin)\.(?:test|doctest|harness)$")
COMMANDS = re.compile(
    r"(^|\.)(addopts|commands(_pre|_post)?|ignore_outcome|ignore_errors|scripts?\..*|test|check)$"
)


def compare_tables(file: File) -> Iterator[Finding]:
    """Values of TOML and INI files under names that decide what is checked."""
    if file.after is None:
        if file.name in INI_FILES or file.name in {"ruff.toml", "pytest.toml"}:
            yield weakened(file, "the file was deleted")
        return
    old, new = _flat(file.name, file.before or ""), _flat(file.name, file.after)
    if new is None:
        yield weakened(file, "the file is not valid any more")
        return
    is_new = file.before is None
    for name in sorted({*(old or {}), *new}):
        was, now = (old or {}).get(name), new.get(name)
        if was != now and (why := _setting(name, was, now, is_new)):
            yield weakened(file, f"{name}: {why}")


def _flat(name: str, text: str) -> dict[str, Any] | None:
    if name.endswith(".toml"):
        whole = name in {"ruff.toml", ".ruff.toml", "pytest.toml"}
        with suppress(tomllib.TOMLDecodeError):
            rows = leaves(tomllib.loads(text), "")
            return {key: value for key, value in rows if whole or RELEVANT.search(key)}
        return None
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    with suppress(configparser.Error):
        parser.read_string(text)
        pairs = (
            (f"{section}.{key}", value or "") for section in parser for key, value in parser[section].items()
        )
        return {key: value for key, value in pairs if RELEVANT.search(key.casefold()) or name != "setup.cfg"}
    return None


def _setting(name: str, was: Any, now: Any, is_new: bool) -> str:
    """Why this change of a value lets more pass; empty if it does not."""
    key = name.replace("\n", " ")
    if (
        NARROWS.search(key)
        and now != was
        and "build.targets" not in key
        and (_leaves_all(key, items(now) - items(was)) or (_NO_ERRORS.search(key) and truth(now)))
    ):
        return "leaves everything out"
    if _UNTESTED.search(key) and now is False:
        return "its tests do not run"
    if COMMANDS.search(key):
        return command_change(text(was), text(now))
    if is_new:
        return "" if not NAMING.search(key) else _naming(now)
    if NARROWS.search(key):
        more = items(now) - items(was)
        return f"leaves out {', '.join(sorted(more))[:200]}" if more - {"false", "False"} else ""
    if WIDENS.search(key):
        fewer = items(was) - items(now)
        return f"no longer covers {', '.join(sorted(fewer))[:200]}" if fewer and now is not None else ""
    if NAMING.search(key):
        return "which files and names are tests was changed" if was is not None or _naming(now) else ""
    return _limit(key, was, now)


def _leaves_all(key: str, left_out: set[str]) -> bool:
    hidden = {".*"} if key.endswith("norecursedirs") else set()  # pytest's own default
    return bool(left_out & (_ALL - hidden))


def _naming(now: Any) -> str:
    """Patterns for tests that leave out the usual ones."""
    usual = any(item.startswith(("test", "Test", "*_test", "*test")) for item in items(now))
    return "" if usual else "the usual names are no tests any more"


def _limit(key: str, was: Any, now: Any) -> str:
    if FLOORS.search(key) and was is not None and number(now) < number(was):
        return f"lowered from {was} to {now}"
    if CEILINGS.search(key) and was is not None and now is not None and number(now) > 1.5 * number(was):
        return f"raised from {was} to {now}"
    if STRICT.search(key) and truth(was) and not truth(now):
        return "was switched off"
    return ""

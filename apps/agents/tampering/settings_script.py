"""Settings of JavaScript tools: package.json, and the configuration files of runners and linters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from apps.agents.tampering.change import File, Finding, added_lines
from apps.agents.tampering.commands import (
    CHECK_TARGET,
    RUNNER,
    command_change,
    items,
    leaves,
    number,
    text,
    truth,
    weakened,
)

CONFIG = re.compile(
    r"(^|/)((jest|vitest|karma|playwright|cypress|vite|eslint)\.(config|conf)\.[cm]?[jt]s|"
    r"jest\.config\.json|\.mocharc\.\w+|"
    r"\.eslintrc(\.\w+)?|tsconfig[^/]*\.json|\.golangci\.ya?ml|clippy\.toml|\.eslintignore|"
    r"biome\.json|\.nycrc(\.json)?|\.c8rc\.json)$"
)
_LAX = re.compile(
    r"testPathIgnorePatterns|modulePathIgnorePatterns|\bexclude\b\s*[:=]|"
    r"passWithNoTests[\"']?\s*:\s*true|\bignorePatterns|"
    r"[\"']?(?:strict|noImplicitAny|strictNullChecks)[\"']?\s*:\s*false|"
    r"[\"'][\w/@-]+[\"']\s*:\s*(?:[\"']off[\"']|0\b)|"
    r"skip-(?:dirs|files):|\bbail\s*:\s*false|testNamePattern|disable-all:\s*true|[\"']?allowFailure|"
    r"grepInvert|forbidOnly\s*:\s*false"
)
_NARROWED = re.compile(
    r"testMatch|testRegex|\binclude\b|\bspec\b|coverageThreshold|testDir|(?:lines|branches|functions|"
    r"statements)[\"']?\s*:\s*\d+"
)


def compare_package(file: File) -> Iterator[Finding]:
    old, new = _json(file.before), _json(file.after)
    if new is None:
        if file.before is not None:
            yield weakened(file, "the file is gone or not valid any more")
        return
    scripts, was_scripts = _dict(new, "scripts"), _dict(old or {}, "scripts")
    for name in sorted({*scripts, *was_scripts}):
        was, now = str(was_scripts.get(name, "")), str(scripts.get(name, ""))
        if was == now or not CHECK_TARGET.match(name.removeprefix("pre").removeprefix("post")):
            continue
        if not now:
            if RUNNER.search(was):
                yield weakened(file, f"the script {name} is gone")
        elif why := command_change(was, now):
            yield weakened(file, f"the script {name} {why}")
        elif not RUNNER.search(now) and not was and name == "test":
            yield weakened(file, "the script test runs no test")
    for section in ("jest", "vitest", "mocha", "nyc", "c8", "eslintConfig", "ava"):
        before, after = _leaves_of(old or {}, section), _leaves_of(new, section)
        yield from _pairs(file, before, after)


def _leaves_of(table: dict[str, Any], section: str) -> dict[str, Any]:
    return dict(leaves(_dict(table, section), f"{section}."))


def _pairs(file: File, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Finding]:
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        if re.search(r"IgnorePatterns|exclude|^ignore", name) and items(now) - items(was):
            yield weakened(file, f"{name} leaves out {text(now)[:200]}")
        elif re.search(r"threshold", name, re.IGNORECASE) and number(now) < number(was):
            yield weakened(file, f"{name} lowered from {was} to {now}")
        elif re.search(r"testMatch|testRegex|roots|spec$", name) and (
            was is not None or (now is not None and not re.search(r"\btests?\b", text(now)))
        ):
            yield weakened(file, f"{name}: which files are tests was changed")
        elif name.endswith("passWithNoTests") and truth(now):
            yield weakened(file, "no test at all counts as success")
        elif ".rules." in name and text(now).split(" ")[0] in {"off", "0"} and was is not None:
            yield weakened(file, f"{name} was switched off")


def _json(text: str | None) -> dict[str, Any] | None:
    with suppress(ValueError):
        found = json.loads(text or "")
        return found if isinstance(found, dict) else None
    return None


def _dict(table: dict[str, Any], key: str) -> dict[str, Any]:
    found = table.get(key)
    return found if isinstance(found, dict) else {}


def compare_configuration(file: File) -> Iterator[Finding]:
    if file.after is None:
        yield weakened(file, "the file was deleted")
        return
    if file.before is None:
        yield from _new_configuration(file)
        return
    for line in added_lines(file):
        if _LAX.search(line):
            yield weakened(file, f"it was made laxer: {line.strip()[:200]}")
            return
    old = {line.strip() for line in file.before.splitlines()}
    gone = old - {line.strip() for line in file.after.splitlines()}
    if any(_NARROWED.search(line) for line in gone):
        yield weakened(file, "which files are tests, or how much must be covered, was changed")


_LEFT_OUT = re.compile(
    r"testPathIgnorePatterns|modulePathIgnorePatterns|testNamePattern|grepInvert|\bexclude\b\s*:"
)
_USUAL = re.compile(
    r"node_modules|dist|build|coverage|e2e|cypress|playwright|vendor|generated|\.next|\.git|fixtures|out"
)
_SOURCES = re.compile(r"^/?(?:\*\*?/?)?(?:src|lib|app|source|packages|\*|\*\*|\.)(?:/\**)?$")


def _new_configuration(file: File) -> Iterator[Finding]:
    """A configuration that was not there leaves out more than what is usual."""
    for line in (file.after or "").splitlines():
        if file.name.endswith("ignore"):
            if _SOURCES.match(line.strip()):
                yield weakened(file, f"the code itself is left out: {line.strip()}")
        elif re.search(r"passWithNoTests[\"']?\s*:\s*true", line) or (
            _LEFT_OUT.search(line) and re.search(r"[\"'][^\"']+[\"']", _USUAL.sub("", _quoted(line)))
        ):
            yield weakened(file, f"tests are left out: {line.strip()[:200]}")


def _quoted(line: str) -> str:
    """The texts of a line that name more than what is usually left out."""
    return " ".join(
        f'"{text}"' for text in re.findall(r"[\"']([^\"']+)[\"']", line) if not _USUAL.search(text)
    )

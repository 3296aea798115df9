"""What inspectors of settings share: commands that were made laxer, and values of any form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from apps.agents.tampering.change import File, Finding

# A command that succeeds whatever happens.
ALWAYS = re.compile(
    r"\|\|\s*(?:true|:|exit\s+0|echo\b|/bin/true)|;\s*(?:true|:|exit\s+0)\s*(?:$|[\"'])|&&?\s*exit\s+0\b|"
    r"\bset\s+\+e\b|\|\|\s*\(?\s*exit\s+0|^\s*exit\s+0\s*$|\btrap\s+['\"]exit 0['\"]|"
    r"(?:^|[;&])\s*@?\s*exit\s+0\s*;(?!;|\s*(?:fi|esac)\b)"
)
LAX_OPTION = re.compile(
    r"--ignore(?:-glob)?\b|--deselect\b|(?<![\w-])-k[ =\"']|(?<![\w-])-m[ =\"']+(?:not|\()|"
    r"--co(?:llect-only)?\b|"
    r"--no-summary.*true|-p[ =]no:(?!cacheprovider|randomly|warnings)|--passWithNoTests|"
    r"--testPathIgnorePatterns|"
    r"--testNamePattern|--suppress-no-test-exit-code|(?<![\w-])-t[ =]['\"]|-run[ =]['\"]?[\^\w]|"
    r"-skip[ =]|"
    r"--exclude\b|--no-verify|--continue-on-collection-errors|--allow-empty|-short\b|--exit-zero|"
    r"--quiet-level|\bpython[\d.]*\s+(?:-\w+\s+)*-O{1,2}\b|\bPYTHONOPTIMIZE=|-o[ =]['\"]?python_|"
    r"--snapshot-update|--inline-snapshot=(?:fix|update)|--update-?snapshots?\b|--last-failed\b|--lf\b|"
    r"--listTests|--list-tests|--dry-?run\b|--only-?changed\b|--changedSince|--findRelatedTests|"
    r"--testPathPatterns?\b|--version\b|"
    r"\bgo\s+test\b[^|;&\n]*\s-list\b|"
    r"--bail=false|--runxfail|--max-warnings[ =]\d{2,}|--forceExit|--no-fail-on"
)
RUNNER = re.compile(
    r"\b(?:pytest|py\.test|unittest|nose2?|tox|nox|jest|vitest|mocha|ava|tap|jasmine|karma|playwright|"
    r"cypress|"
    r"node\s+--test|node\s+\S*test|deno\s+test|bun\s+test|go\s+test|gotestsum|cargo\s+(?:test|"
    r"nextest)|react-scripts\s+test|"
    r"ng\s+test|npm\s+(?:run\s+)?\w*test|yarn|pnpm|make|ctest|tsc|eslint|ruff|mypy|flake8|pylint|"
    r"prettier|biome|"
    r"staticcheck|golangci-lint|go\s+(?:vet|build)|cargo\s+(?:clippy|build|check|fmt)|vite\s+build|"
    r"webpack|rollup|esbuild|"
    r"python\s+-m|python3?\s+\S+|manage\.py\s+test|standard|xo|turbo|nx|lerna|wireit|c8|nyc|tsd|attw|"
    r"publint)"
)
CHECK_TARGET = re.compile(
    r"^(?:test|tests|check|checks|lint|ci|verify|build|typecheck|types|unit|integration|e2e|cov|"
    r"coverage|all|fmt|format-check|vet)(?:[-:_].*)?$"
)


_TEST_FILE = re.compile(
    r"(?<!\S)[\w./-]*(?:test|spec)[\w./-]*\.(?:py|[cm]?[jt]sx?|go|rs)(?:::\S+)?(?=\s|[\"']|$)"
)


def narrowed(was: Iterable[str], now: str) -> bool:
    """Whether a command names files of tests, where earlier ones took all."""
    earlier = [line for line in was if RUNNER.search(line)]
    return bool(RUNNER.search(now) and _TEST_FILE.search(now) and earlier) and not any(
        _TEST_FILE.search(line) for line in earlier
    )


def weakened(file: File, what: str) -> Finding:
    return Finding(file.path, f"settings of the checks: {what}", "settings-weakened")


def command_change(was: str, now: str) -> str:
    """Why a command that was changed lets more pass."""
    if ALWAYS.search(now) and not ALWAYS.search(was):
        return "succeeds whatever happens"
    options = set(LAX_OPTION.findall(now)) - set(LAX_OPTION.findall(was))
    if options or (
        LAX_OPTION.search(now) and LAX_OPTION.sub("", now) == LAX_OPTION.sub("", was) and was != now
    ):
        return f"leaves tests out ({', '.join(sorted(option.strip() for option in options))})"
    if _TEST_FILE.search(now) and not _TEST_FILE.search(was):
        return "names single files of tests"
    if was and RUNNER.search(was) and not RUNNER.search(now):
        return "runs no check any more"
    return (
        "" if not re.search(r"^\s*-\s*\w", now) or re.search(r"^\s*-\s*\w", was) else "its failure is ignored"
    )


def text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def items(value: Any) -> set[str]:
    if isinstance(value, list):
        return {str(item) for item in value}
    return {item for item in re.split(r"[,\s]+", str(value if value is not None else "")) if item}


def truth(value: Any) -> bool:
    return str(value).casefold() in {"true", "1", "yes", "on"}


def number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def leaves(table: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value

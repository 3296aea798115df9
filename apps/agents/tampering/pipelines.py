"""Pipelines, scripts and files of git: when checks run, whether their failure counts, what is hidden."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import yaml

from apps.agents.tampering.change import File, Finding, added_lines
from apps.agents.tampering.commands import ALWAYS, LAX_OPTION, RUNNER, weakened

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MOST_YAML = 200_000  # characters
HANDED_ON = re.compile(r"^\s*(?:-\s*)?uses:|\bexec\b|\$[({]")
_NEVER = re.compile(
    r"continue-on-error:\s*true|allow_failure:\s*true|\bif:\s*(?:false|\$\{\{\s*false)|when:\s*never"
)
_ALL = {"**", "*", "**/*"}
_COMES = {"push", "pull_request", "merge_request", "pull_request_target", "merge_group"}
_SHADOW = re.compile(
    r"^\s*(?:function\s+|alias\s+)?(?:npm|npx|yarn|pnpm|node|python3?|pytest|go|cargo|make|tox|ruff|mypy|eslint|jest)"
    r"\s*(?:\(\)\s*\{?|=)"
)
_ASKED = re.compile(r"^\s*(?:if|while|until)\b")
_FAILS = re.compile(
    r"\bexit\s+(?:[1-9]|\$)|\breturn\s+(?:[1-9]|\$)|\bfalse\b|\b(?:failed|status|rc|code)=|\bexec\b"
)


def compare_pipeline(file: File) -> Iterator[Finding]:
    if file.after is None:
        yield weakened(file, "the pipeline was deleted")
        return
    for line in added_lines(file):
        if _NEVER.search(line):
            yield weakened(file, f"its failure is ignored: {line.strip()[:200]}")
        elif ALWAYS.search(line.replace("run:", "")) or LAX_OPTION.search(line):
            yield weakened(file, f"it was made laxer: {line.strip()[:200]}")
    yield from runs_lost(file)
    yield from _events(file)
    for command in _conditions(file.before or "", file.after):
        yield weakened(file, f"it runs on a condition only now: {command[:200]}")


def runs_lost(file: File) -> Iterator[Finding]:
    """Lines that run checks are gone, and none came in their place."""
    was, now = _runs(file.before or ""), _runs(file.after or "")
    if was and not now:
        yield weakened(file, "it runs no check any more")
    elif (gone := [line for line in was if line not in now]) and all(line in was for line in now):
        handed_on = any(HANDED_ON.search(line) for line in added_lines(file))
        if not handed_on:
            yield weakened(file, f"it no longer runs: {'; '.join(gone)[:200]}")


def _runs(text: str) -> list[str]:
    lines = (line.strip().removeprefix("- ").removeprefix("run:").strip() for line in text.splitlines())
    return [line for line in lines if RUNNER.search(line) and not line.startswith(("#", "name:", "uses:"))]


def compare_commands(file: File) -> Iterator[Finding]:
    """A script of checks."""
    if file.after is None:
        return
    lines = added_lines(file)
    for line in lines:
        if ALWAYS.search(line) or "success_codes" in line:
            yield weakened(file, f"it succeeds whatever happens: {line.strip()[:200]}")
        elif _SHADOW.search(line):
            yield weakened(file, f"something else stands in the place of a tool: {line.strip()[:200]}")
        elif LAX_OPTION.search(line) and RUNNER.search(line):
            yield weakened(file, f"it leaves tests out: {line.strip()[:200]}")
    asked = [line for line in lines if _ASKED.search(line) and RUNNER.search(line)]
    if asked and not any(_FAILS.search(line) for line in lines):
        yield weakened(file, f"a failure is asked for and not passed on: {asked[0].strip()[:200]}")
    if file.before is not None:
        yield from runs_lost(file)


# -- when a pipeline runs ------------------------------------------------------------------------------


def _events(file: File) -> Iterator[Finding]:
    """Whether changes still start it."""
    was, now = _on(file.before or ""), _on(file.after or "")
    if _COMES & was.keys() and not _COMES & now.keys():
        yield weakened(file, "changes do not start it any more")
    for name in _COMES & now.keys():
        told = now[name] if isinstance(now[name], dict) else {}
        for key in ("paths-ignore", "branches-ignore"):
            if _ALL & {str(one) for one in told.get(key) or ()}:
                yield weakened(file, f"{name} leaves out everything by {key}")


def _on(text: str) -> dict[str, Any]:
    table = _yaml(text)
    told = table.get("on", table.get(True))  # YAML reads `on` as true
    if isinstance(told, str):
        return {told: None}
    return dict.fromkeys(map(str, told)) if isinstance(told, list) else told if isinstance(told, dict) else {}


def _conditions(before: str, after: str) -> list[str]:
    """Commands of checks that ran always, and run on a condition now."""
    was, now = _steps(before), _steps(after)
    return [run for run, asked in now.items() if asked and was.get(run) == "" and RUNNER.search(run)]


def _steps(text: str) -> dict[str, str]:
    """Each command with the conditions that its step and its job have."""
    found: dict[str, str] = {}
    jobs = _yaml(text).get("jobs")
    for job in jobs.values() if isinstance(jobs, dict) else ():
        steps = job.get("steps") if isinstance(job, dict) else None
        for step in steps if isinstance(steps, list) else ():
            if isinstance(step, dict) and isinstance(step.get("run"), str):
                asked = " ".join(str(one["if"]) for one in (job, step) if "if" in one)
                found[step["run"].strip()] = asked
    return found


@functools.lru_cache(maxsize=16)
def _yaml(text: str) -> dict[Any, Any]:
    with suppress(yaml.YAMLError, RecursionError, ValueError):
        found = yaml.load(text[:MOST_YAML], Loader=LOADER)  # noqa: S506 - the safe one, in C where there is one
        return found if isinstance(found, dict) else {}
    return {}


# -- hooks before commits, and files of git ----------------------------------------------------------


def compare_hooks(file: File) -> Iterator[Finding]:
    """`.pre-commit-config.yaml`: fewer hooks, and none in their place."""
    was = set(re.findall(r"^\s*(?:- )?id:\s*([\w-]+)", file.before or "", re.M))
    now = set(re.findall(r"^\s*(?:- )?id:\s*([\w-]+)", file.after or "", re.M))
    if was - now and not now - was:
        yield weakened(file, f"hooks are gone: {', '.join(sorted(was - now))}")


_TESTS = re.compile(
    r"^/?(?:\*\*/)?(?:[\w*]+/)*(?:tests?|specs?|__tests__|e2e)(?:/|$|\.py)|test_|_test\.|\.(?:test|spec)\."
)
_LEAVINGS = re.compile(r"results?|reports?|output|coverage|cache|logs?|tmp|artifacts|screenshots|\.db|sqlite")
_UNSEEN = re.compile(r"\s(?:-diff|binary|linguist-generated|linguist-vendored|-text|filter=\S+)(?:\s|=|$)")
_WIDE = re.compile(r"^(?:\*|\*\*|\*\.(?:py|js|ts|go|rs)|Makefile)\s")


def compare_git_files(file: File) -> Iterator[Finding]:
    """`.gitignore` and `.gitattributes`: tests that are left out, or whose changes nobody is shown."""
    for line in added_lines(file):
        told = line.strip()
        if told.startswith(("#", "!")):
            continue
        if file.name == ".gitattributes":
            if _UNSEEN.search(told) and (_TESTS.search(told) or _WIDE.search(told)):
                yield weakened(file, f"changes are not shown any more: {told[:200]}")
        elif _TESTS.search(told) and not _LEAVINGS.search(told):
            yield weakened(file, f"tests are hidden: {told[:200]}")

"""Settings of tests and checks: narrower, laxer, or made to succeed whatever happens."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apps.agents.tampering.change import Change, File, Finding, added_lines
from apps.agents.tampering.commands import ALWAYS, CHECK_TARGET, LAX_OPTION, RUNNER, narrowed, weakened
from apps.agents.tampering.pipelines import (
    compare_commands,
    compare_git_files,
    compare_hooks,
    compare_pipeline,
)
from apps.agents.tampering.settings_script import CONFIG, compare_configuration, compare_package
from apps.agents.tampering.settings_tables import INI_FILES, compare_tables

CI = re.compile(
    r"(^|/)(\.github/(workflows|actions)/.*|\.gitlab-ci\.ya?ml|azure-pipelines\.ya?ml|\.circleci/.*|"
    r"Jenkinsfile|\.travis\.yml)$"
)
MAKE = re.compile(r"(^|/)(GNUm|[mM])akefile$|\.mk$")
SHELL = re.compile(r"(^|/)[^/]*(test|check|lint|ci|verify|build)[^/]*(\.(sh|bash))?$")


def compare_settings(change: Change) -> Iterator[Finding]:
    for file in change.files:
        if file.name in INI_FILES or file.suffix == ".toml":
            yield from compare_tables(file)
        if file.name == "package.json":
            yield from compare_package(file)
        elif MAKE.search(file.path):
            yield from _makefile(file)
        elif CI.search(file.path):
            yield from compare_pipeline(file)
        elif file.name in {".gitignore", ".gitattributes"}:
            yield from compare_git_files(file)
        elif file.name == ".pre-commit-config.yaml":
            yield from compare_hooks(file)
        elif file.name in {"noxfile.py", "justfile", "Justfile", "Taskfile.yml", "Rakefile"} or _is_shell(
            file
        ):
            yield from compare_commands(file)
        elif CONFIG.search(file.path):
            yield from compare_configuration(file)


def _is_shell(file: File) -> bool:
    text = file.after or file.before or ""
    return bool(SHELL.search(file.path)) and (file.suffix in {".sh", ".bash"} or text.startswith("#!"))


# -- Makefile ------------------------------------------------------------------------------------------

Target = tuple[set[str], list[str]]  # what it needs, and its recipe
_CHECKS = {"test", "tests", "check", "lint", "ci", "verify"}
_PHONY = ".PHONY"
EMPTY: Target = (set(), [])
_LOST = re.compile(  # the status of what was run: behind a pipe, or in the background
    r"\b(?:pytest|unittest|tox|jest|vitest|mocha|(?:go|cargo|npm) (?:run )?test|mypy|eslint|ruff)\b"
    r"[^|&;]*(?:\|(?!\|)|(?<!&)&\s*$)"
)
_BEFORE_MAKEFILE = {"GNUmakefile", "makefile"}  # what make reads before it
_FOR_ALL = re.compile(
    r"\s*(?:export\s+)?(?:GOFLAGS|PYTEST_ADDOPTS|JEST_ARGS|VITEST_ARGS|NODE_OPTIONS)\s*[:+?]?="
)
_TARGET = re.compile(r"^([\w./% -]+?)\s*::?(?!=)\s*([^\n#]*)", re.M)


def _makefile(file: File) -> Iterator[Finding]:
    if file.after is None:
        yield weakened(file, "the file was deleted")
        return
    old, new = _targets(file.before or ""), _targets(file.after)
    yield from _whole_makefile(file, new)
    phony = old.get(_PHONY, EMPTY)[0] - new.get(_PHONY, EMPTY)[0]
    for name in filter(CHECK_TARGET.match, old):
        if name not in new:
            yield weakened(file, f"the target {name} is gone")
            continue
        yield from _target(file, name, old[name], new)
        if _defined(file.after, name) > max(1, _defined(file.before or "", name)):
            yield weakened(file, f"the target {name} is defined twice")
        if name in phony:
            yield weakened(file, f"{name} is not phony any more: a file of its name makes it succeed")
    for name in filter(CHECK_TARGET.match, new.keys() - old.keys()):
        if any(_ignores(line) for line in new[name][1]):
            yield weakened(file, f"the target {name} succeeds whatever happens")


def _whole_makefile(file: File, targets: dict[str, Target]) -> Iterator[Finding]:
    """What holds for every target."""
    for line in added_lines(file):
        if re.match(r"\s*(\.IGNORE|MAKEFLAGS\s*[+:?]?=.*(-i|-k|ignore)|SHELL\s*[:?]?=.*(true|exit))", line):
            yield weakened(file, f"failures are ignored: {line.strip()}")
        elif _FOR_ALL.match(line) and LAX_OPTION.search(line):
            yield weakened(file, f"every run leaves tests out: {line.strip()}")
    if (
        file.before is None
        and file.name in _BEFORE_MAKEFILE
        and any(_idle(name, targets) for name in targets)
    ):
        yield weakened(file, "it takes the Makefile's place, and its targets run no check")


def _target(file: File, name: str, was: Target, targets: dict[str, Target]) -> Iterator[Finding]:
    now = targets[name]
    fresh = [line for line in now[1] if line not in was[1]]
    if any(_ignores(line) or (_LOST.search(line) and "pipefail" not in (file.after or "")) for line in fresh):
        yield weakened(file, f"the target {name} succeeds whatever happens")
    elif any(LAX_OPTION.search(line) for line in fresh) and not any(
        LAX_OPTION.search(line) for line in was[1]
    ):
        yield weakened(file, f"the target {name} leaves tests out")
    elif any(narrowed(was[1], line) for line in fresh):
        yield weakened(file, f"the target {name} runs a part of the tests only")
    elif _runs(was[1]) and not _reaches(name, targets, set()):
        yield weakened(file, f"the target {name} runs no check any more")
    elif (was[0] - now[0]) and len(now[1]) <= len(was[1]) and len(now[0]) < len(was[0]):
        yield weakened(file, f"the target {name} no longer runs {', '.join(sorted(was[0] - now[0]))}")


def _targets(text: str) -> dict[str, Target]:
    """What each target needs, and the lines of its recipe."""
    found: dict[str, Target] = {}
    names: list[str] = []
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("\t"):
            for name in names:
                found[name][1].append(line.strip())
        elif match := _TARGET.match(line):
            names = match[1].split()
            needs, _, command = match[2].partition(";")
            for name in names:
                found.setdefault(name, (set(), []))[0].update(needs.split())
                if command.strip():
                    found[name][1].append(command.strip())
        elif line.strip():
            names = []
    return found


def _reaches(name: str, targets: dict[str, Target], seen: set[str]) -> bool:
    """Whether a target, or one that it needs, runs something; what is made elsewhere may."""
    seen.add(name)
    needs, recipe = targets[name]
    if _runs(recipe):
        return True
    if any("$" in need or "%" in need for need in needs):
        return True
    return any(_reaches(need, targets, seen) for need in needs - seen if need in targets)


def _idle(name: str, targets: dict[str, Target]) -> bool:
    return name in _CHECKS and not _reaches(name, targets, set())


def _defined(text: str, name: str) -> int:
    return len(re.findall(rf"^{re.escape(name)}\s*:(?![:=])", text, re.M))


def _ignores(line: str) -> bool:
    bare = line.lstrip("@+ ")
    return bare.startswith("-") or line.startswith("-") or bool(ALWAYS.search(line))


def _runs(recipe: list[str]) -> bool:
    return any(
        RUNNER.search(line) or re.search(r"\$[({]", line)
        for line in recipe
        if not re.match(r"@?(echo|true|:)\b", line)
    )

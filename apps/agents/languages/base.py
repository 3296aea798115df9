"""What the finders of checks share: the files of a project, and how they are read."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import yaml

from apps.agents.sandbox import sandbox_program
from apps.core.errors import LoomError

MOST_READ = 40  # files looked into to learn what a project uses; each may cost a process
PIPELINES = re.compile(
    r"\.github/workflows/[^/]+\.ya?ml|\.gitlab-ci\.yml|\.circleci/config\.yml|Makefile|justfile"
)
HOOKS = ".pre-commit-config.yaml"


@dataclass(frozen=True)
class Project:
    """The files of a commit or a worktree and how to read them."""

    files: Sequence[str]
    present: frozenset[str]
    read: Callable[[str], bytes]
    modules: Collection[str]
    program: Callable[[str], bool] = sandbox_program

    def text(self, path: str) -> str:
        """A file's content; "" for one that is missing, or a link that leads astray."""
        if path not in self.present:
            return ""
        try:
            return self.read(path).decode("utf-8", "replace")
        except (LoomError, OSError):
            return ""

    def holds(self, *paths: str) -> bool:
        return not self.present.isdisjoint(paths)

    def toml(self, path: str) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text(path))
        except tomllib.TOMLDecodeError:
            return {}

    def json(self, path: str) -> dict[str, Any]:
        """An object; {} for a file that holds anything else."""
        try:
            found = json.loads(self.text(path) or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def sections(self, path: str) -> configparser.ConfigParser:
        found = configparser.ConfigParser(interpolation=None, strict=False)
        with suppress(configparser.Error):
            found.read_string(self.text(path))
        return found

    def hooks(self) -> frozenset[str]:
        """Ids of the hooks of pre-commit."""
        try:
            told = yaml.safe_load(self.text(HOOKS))
        except yaml.YAMLError:
            return frozenset()
        return frozenset(
            str(hook.get("id")) for hook in _rows(_rows_of(told, "repos"), "hooks") if isinstance(hook, dict)
        )

    def pipelines(self) -> str:
        """What the project's own automation runs, as one text."""
        found = [path for path in self.files if PIPELINES.fullmatch(path)]
        return "\n".join(self.text(path) for path in found[:MOST_READ])


def part(told: Any, *keys: str) -> dict[str, Any]:
    """A table within tables; {} where something else stands."""
    for key in keys:
        told = told.get(key) if isinstance(told, Mapping) else None
    return dict(told) if isinstance(told, Mapping) else {}


def _rows_of(told: Any, key: str) -> list[Any]:
    found = told.get(key) if isinstance(told, Mapping) else None
    return found if isinstance(found, list) else []


def _rows(tables: list[Any], key: str) -> Iterator[Any]:
    for table in tables:
        yield from _rows_of(table, key)

"""Package managers of Node: which one a project uses, and how it runs scripts and installs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

DECLARED = re.compile(r"(npm|pnpm|yarn)@(\d+(?:\.\d+){0,2}(?:-[\w.]+)?)(?:\+[\w.]+)?")
# By the format of pnpm's lock file: the first version that writes it and still is mended.
PNPM_BY_LOCK = {"5": "7", "6": "8", "9": "10"}


@dataclass(frozen=True)
class PackageTool:
    """`package` is what npm fetches it as; "" for npm itself, which comes with Node."""

    name: str
    lock: str = ""
    package: str = ""

    def run(self, script: str) -> str:
        if self.name != "npm":
            return f"{self.name} run {script}"
        return "npm test --silent" if script == "test" else f"npm run {script} --silent"


def manager_of(package: dict[str, Any], text: Callable[[str], str]) -> PackageTool:
    """The manager that `packageManager` names, else the one whose lock file is there.

    `text` gives a file's content, "" if there is none.
    """
    named = DECLARED.fullmatch(str(package.get("packageManager") or ""))
    locks = {
        "pnpm": ("pnpm-lock.yaml",),
        "yarn": ("yarn.lock",),
        "npm": ("package-lock.json", "npm-shrinkwrap.json"),
    }
    there = {name: next((lock for lock in found if text(lock)), "") for name, found in locks.items()}
    name = named[1] if named else next((name for name, lock in there.items() if lock), "npm")
    lock = there[name]
    version = named[2] if named else ""
    if name == "pnpm":
        return PackageTool(name, lock, f"pnpm@{version or _pnpm_version(text(lock))}")
    if name == "yarn":
        is_classic = version.startswith("1.") if version else "__metadata:" not in text(lock)
        package_name = "yarn" if is_classic else "@yarnpkg/cli-dist"
        return PackageTool(name, lock, f"{package_name}@{version or ('1' if is_classic else '4')}")
    return PackageTool(name, lock)


def _pnpm_version(lock: str) -> str:
    told = re.search(r"^lockfileVersion:\s*['\"]?(\d+)", lock, re.MULTILINE)
    return PNPM_BY_LOCK.get(told[1] if told else "", "10")

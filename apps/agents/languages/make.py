"""Make: its targets stand in for kinds of checks that no language answers."""

from __future__ import annotations

import re

from apps.agents.languages.base import Project
from apps.agents.results import Check

# Of each group, the first target that is there.
TARGETS = {
    "build": (("build", "all"),),
    "lint": (
        ("lint",),
        ("typecheck", "type-check", "types", "mypy"),
        ("format-check", "fmt-check", "check-format"),
        ("vet",),
    ),
    "test": (("test", "tests", "check"),),
}


def make_checks(project: Project) -> list[Check]:
    name = next((name for name in ("GNUmakefile", "makefile", "Makefile") if project.holds(name)), "")
    text = project.text(name) if name else ""
    there = set(re.findall(r"^([A-Za-z][\w-]*)\s*:(?!=)", text, re.MULTILINE))
    return [
        Check(kind, f"make {target}", f"make {target}")
        for kind, groups in TARGETS.items()
        for group in groups
        for target in [target for target in group if target in there][:1]
    ]

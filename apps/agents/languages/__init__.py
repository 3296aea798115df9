"""Which checks the files of a project call for, language by language."""

from __future__ import annotations

from collections.abc import Callable

from apps.agents.languages.base import Project
from apps.agents.languages.compiled import go_checks, rust_checks
from apps.agents.languages.make import make_checks
from apps.agents.languages.node import node_checks
from apps.agents.languages.python import python_checks
from apps.agents.results import Check

__all__ = ["LANGUAGES", "Project", "make_checks"]

LANGUAGES: tuple[Callable[[Project], list[Check]], ...] = (
    python_checks, node_checks, go_checks, rust_checks,
)  # fmt: skip

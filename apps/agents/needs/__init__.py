"""What the files of a project need, language by language, and how that is installed."""

from __future__ import annotations

from pathlib import Path

from apps.agents.needs.base import Need
from apps.agents.needs.compiled import go_need, rust_need
from apps.agents.needs.node import node_need
from apps.agents.needs.python import PIP, python_need

__all__ = ["PIP", "Need", "needs_of"]


def needs_of(root: Path) -> list[Need]:
    found = (find(root) for find in (python_need, node_need, go_need, rust_need))
    return [need for need in found if need is not None]

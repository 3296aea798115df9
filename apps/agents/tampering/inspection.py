"""All inspectors together, on one change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from apps.agents.tampering.change import WARNING, Change, Finding
from apps.agents.tampering.comparison import compare_tests
from apps.agents.tampering.runners import compare_runners
from apps.agents.tampering.settings import compare_settings
from apps.agents.tampering.snapshots import compare_snapshots
from apps.agents.tampering.special import compare_code
from apps.agents.tampering.subjects import compare_subjects

INSPECTORS = (
    compare_tests, compare_subjects, compare_snapshots, compare_settings, compare_runners, compare_code,
)  # fmt: skip
MAX_FINDINGS = 100


def inspect(change: Change) -> list[Finding]:
    """What a reviewer should look at, each thing once, by path."""
    found = dict.fromkeys(finding for inspector in INSPECTORS for finding in inspector(change))
    return sorted(found, key=lambda one: (one.level != WARNING, one.path))[:MAX_FINDINGS]


def warnings_of(flags: Iterable[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Those of stored findings that need a reason."""
    return [flag for flag in flags if flag.get("level", WARNING) == WARNING]

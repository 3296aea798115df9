"""Snapshots: expectations that a tool wrote, and writes anew when it is told to."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apps.agents.tampering.change import NOTICE, WARNING, Change, Finding

SNAPSHOT = re.compile(
    r"(^|/)(__snapshots__|snapshots)/|\.(snap|ambr|approved\.\w+|golden|snapshot)$|(^|/)testdata/.*golden"
)


def compare_snapshots(change: Change) -> Iterator[Finding]:
    """One that is gone while its test stays; one that expects something else though no code changed."""
    deleted_tests = any(file.after is None for file in change.tests)
    for file in change.files:
        if not SNAPSHOT.search(file.path) or file.before is None:
            continue
        if file.after is None:
            if not deleted_tests:
                yield Finding(file.path, "a snapshot was deleted", "assertion-removed")
        elif set(file.before.splitlines()) - set(file.after.splitlines()):
            level = NOTICE if change.code else WARNING
            yield Finding(file.path, "a snapshot expects something else", "expectation-changed", level)

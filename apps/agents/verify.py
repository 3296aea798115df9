"""Verification: the platform checks out a commit clean, runs the project's checks and keeps the evidence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import transaction

from apps.agents.checks import run_checks
from apps.agents.hub import Hub
from apps.agents.models import Claim, Evidence
from apps.agents.places import checkout_path, hub_path
from apps.agents.project_checks import commit_checks
from apps.agents.proof import evidence_add
from apps.agents.results import CheckReport
from apps.agents.sandbox import Sandbox
from apps.agents.sandbox.owner import remove_tree
from apps.agents.tampering import tampering
from apps.core.crash import crashpoint
from apps.engine.flow import Handle, joins

CHECK_TIMEOUT_S = 900.0


@joins
def verify_claim(handle: Handle, claim_id: int) -> dict[str, Any]:
    """Prove or refute a claim; {"passed", "summary", "flags"}."""
    claim = Claim.objects.select_related("bead__project", "session").get(pk=claim_id)
    with transaction.atomic():
        handle.begin()
    hub = Hub(hub_path(claim.bead.project_id))
    report = commit_check(hub, claim, claim.commit, handle)
    flags = change_flags(hub, claim.session.base_commit, claim.commit)
    crashpoint("before_evidence")
    output = {"passed": report.passed, "summary": report.summary(), "flags": flags}
    with transaction.atomic():
        evidence_add(
            claim=claim,
            kind=Evidence.Kind.CLAIM,
            commit=claim.commit,
            tree=claim.tree,
            results=report.results,
            flags=flags,
            passed=report.passed,
        )
        handle.finish(output)
    return output


def commit_check(hub: Hub, claim: Claim, commit: str, handle: Handle) -> CheckReport:
    """Run the checks that the commit's own files call for, on a clean checkout of it."""
    checks = commit_checks(hub, commit, claim.bead.project.checks)
    sandbox = Sandbox(session=claim.session_id)
    with clean_checkout(hub, commit, handle) as root:
        return run_checks(checks, root, sandbox, timeout=CHECK_TIMEOUT_S)


@contextlib.contextmanager
def clean_checkout(hub: Hub, commit: str, handle: Handle) -> Iterator[Path]:
    """The files of a commit, for one attempt of a step.

    An earlier attempt may only have been frozen: it must find nothing of this one's to remove.
    """
    folder = checkout_path("".join(char if char.isalnum() else "-" for char in handle.key))
    with contextlib.suppress(OSError):  # what is left of it may still be written to
        remove_tree(folder)
    root = folder / str(handle.attempt)
    try:
        hub.export(commit, root)
        yield root
    finally:
        remove_tree(root)
        with contextlib.suppress(OSError):
            folder.rmdir()


def change_flags(hub: Hub, base: str, commit: str) -> list[dict[str, str]]:
    def read(new: bool, path: str) -> str:
        return hub.read(commit if new else base, path).decode("utf-8", "replace")

    return tampering(hub.changed(base, commit), read)

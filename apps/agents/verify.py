"""Verification: the platform checks out a commit clean, runs the project's checks and keeps the evidence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import transaction

from apps.agents.acceptance import flags_diff, flags_held, flags_seen
from apps.agents.checks import run_checks
from apps.agents.dependencies import dependencies_provide
from apps.agents.hub import Hub
from apps.agents.models import Claim, Evidence
from apps.agents.places import checkout_path, hub_path
from apps.agents.project_checks import commit_checks
from apps.agents.proof import evidence_add
from apps.agents.results import CheckReport
from apps.agents.sandbox import Sandbox
from apps.agents.sandbox.owner import remove_tree
from apps.agents.secrets import secrets_learn
from apps.agents.tampering import changes_of, inspect
from apps.core.crash import crashpoint
from apps.engine.flow import Handle, joins
from apps.projects.models import Project

CHECK_TIMEOUT_S = 900.0


@joins
def verify_claim(handle: Handle, claim_id: int) -> dict[str, Any]:
    """Prove or refute a claim; {"passed", "summary", "flags"}, and what the policy holds up.

    {"held": flags, "seen": the author was told before, "diff"}
    """
    claim = Claim.objects.select_related("bead__project", "session").get(pk=claim_id)
    with transaction.atomic():
        handle.begin()
    hub = Hub(hub_path(claim.bead.project_id))
    report = commit_check(hub, claim, claim.commit, handle)
    flags = claim_flags(hub, claim, claim.session.base_commit, claim.commit)
    crashpoint("before_evidence")
    output = {"passed": report.passed, "summary": report.summary(), "flags": flags}
    if report.passed and (held := flags_held(claim, flags)):
        diff = flags_diff(hub, claim, held)
        output |= {"held": list(held), "seen": flags_seen(claim, held), "diff": diff}
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
    return project_check(hub, claim.bead.project, commit, handle, session=claim.session_id)


def project_check(
    hub: Hub,
    project: Project,
    commit: str,
    handle: Handle,
    *,
    session: int = 0,
    timeout: float = CHECK_TIMEOUT_S,
) -> CheckReport:
    """Run the checks that the commit's own files call for, on a clean checkout of it."""
    checks = commit_checks(hub, commit, project.checks)
    mask = secrets_learn(project.pk, commit)
    with clean_checkout(hub, commit, handle) as root:
        given = dependencies_provide(project, root, session=session, mask=mask)
        sandbox = Sandbox(session=session, mask=mask, extra=given.extra)
        return run_checks(checks, root, sandbox, timeout=timeout, note=given.note)


@contextlib.contextmanager
def clean_checkout(hub: Hub, commit: str, handle: Handle) -> Iterator[Path]:
    """The files of a commit, for one attempt of a step.

    An earlier attempt may only have been frozen, anywhere: awake, it must find nothing of this one's to
    remove, so each removes only its own and those before it.
    """
    name = "".join(char if char.isalnum() else "-" for char in handle.key)
    for attempt in range(1, handle.attempt + 1):
        with contextlib.suppress(OSError):  # what is left of it may still be written to
            remove_tree(checkout_path(f"{name}.{attempt}"))
    root = checkout_path(f"{name}.{handle.attempt}")
    try:
        hub.export(commit, root)
        yield root
    finally:
        remove_tree(root)


def claim_flags(hub: Hub, claim: Claim, base: str, commit: str) -> list[dict[str, str]]:
    """The findings about a claim's change, without secrets."""
    masked = secrets_learn(claim.bead.project_id, base, commit)
    return list(masked.value(change_flags(hub, base, commit)))


def change_flags(hub: Hub, base: str, commit: str) -> list[dict[str, str]]:
    def read(new: bool, path: str) -> str:
        return hub.read(commit if new else base, path).decode("utf-8", "replace")

    change = changes_of(hub.changed(base, commit), read, lambda: hub.files(commit))
    return [finding.data() for finding in inspect(change)]

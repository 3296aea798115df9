"""Findings that a project does not let pass: sent back once, then a person accepts them, or does not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from apps.agents.hub import Hub
from apps.agents.merge_models import MergePolicy, policy_of
from apps.agents.models import Claim
from apps.agents.secrets import secrets_learn
from apps.agents.tampering import warnings_of
from apps.decisions.models import Decision
from apps.decisions.services import decision_request

ACCEPT, UNDO, REJECT = "accept", "undo", "reject"
DIFF_CHARS = 20_000
LONG = timedelta(days=365)  # nothing happens by itself
OPTIONS = [
    {
        "key": ACCEPT,
        "label": "Accept",
        "detail": "Say in the rationale why this is right; it goes to review.",
    },
    {"key": UNDO, "label": "Send back", "detail": "The author is told to undo it, and your rationale."},
    {"key": REJECT, "label": "Reject", "detail": "The bead is given up; what was merged stays."},
]

Flags = Sequence[dict[str, Any]]


def flags_held(claim: Claim, flags: Iterable[dict[str, Any]]) -> Flags:
    """The warnings that keep a claim from going on: by the project's policy, and not accepted before."""
    warnings = warnings_of(flags)
    if not warnings or policy_of(claim.bead.project_id).tampering != MergePolicy.Tampering.BLOCK:
        return []
    accepted = accepted_flags(claim.bead_id)
    return [flag for flag in warnings if (flag["path"], flag["what"]) not in accepted]


def accepted_flags(bead_id: int) -> set[tuple[str, str]]:
    """What a person let pass on this bead."""
    rows = Decision.objects.filter(bead_id=bead_id, origin__startswith="flags:", choice=ACCEPT)
    return {
        (flag["path"], flag["what"])
        for claim in Claim.objects.filter(pk__in=[_claim_of(row) for row in rows]).prefetch_related(
            "evidence"
        )
        for row in claim.evidence.all()
        for flag in row.flags
    }


def _claim_of(decision: Decision) -> int:
    return int(decision.origin.split(":")[1])


def flags_seen(claim: Claim, flags: Flags) -> bool:
    """Whether the author was sent back for all of these before, and claims again."""
    seen = {
        (flag["path"], flag["what"])
        for earlier in claim.bead.claims.exclude(pk=claim.pk).prefetch_related("evidence")
        for row in earlier.evidence.all()
        for flag in row.flags
    }
    return all((flag["path"], flag["what"]) in seen for flag in flags)


def flags_ask(*, claim_id: int, flags: Flags, diff: str, run_id: int) -> dict[str, Any]:
    """Put it before a person. A database step."""
    claim = Claim.objects.select_related("bead__project", "session__agent").get(pk=claim_id)
    bead, listed = claim.bead, flags_text(flags)
    digest = hashlib.sha256(listed.encode()).hexdigest()[:12]
    decision = decision_request(
        project=bead.project,
        bead=bead,
        kind=Decision.Kind.APPROVAL,
        question=f"{bead.key}: accept what was done to the tests and checks?",
        options=OPTIONS,
        recommendation=UNDO,
        context=f"{listed}\n\n{claim.session.agent.name} says: {claim.summary}\n\n```diff\n{diff}\n```",
        requester="loom",
        needs_person=True,
        run_id=run_id,
        origin=f"flags:{claim.pk}:{digest}",
        deadline=LONG,
    )
    return {"decision": decision.pk}


def flags_text(flags: Flags) -> str:
    return "\n".join(f"- {flag['path']}: {flag['what']}" for flag in flags)


def flags_diff(hub: Hub, claim: Claim, flags: Flags) -> str:
    """The claim's change to the files that findings are about, without secrets."""
    base = claim.session.base_commit
    paths = sorted({flag["path"] for flag in flags})
    if not paths:
        return ""
    masked = secrets_learn(claim.bead.project_id, base, claim.commit)
    return masked.text(hub.diff(base, claim.commit, paths, limit=DIFF_CHARS))

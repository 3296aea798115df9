"""What proves a bead: what was claimed, what the platform verified, and what was merged, kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apps.agents.acceptance import ACCEPT
from apps.agents.models import Claim, Evidence, MergeRequest, PullRequest, Review
from apps.agents.tampering import warnings_of
from apps.beads.models import Bead
from apps.decisions.models import Decision

TAIL = 4_000  # characters of a check's output


def bead_proof(bead: Bead) -> dict[str, Any]:
    """Everything that stands behind a bead, in a fixed number of queries."""
    claims = list(
        bead.claims.select_related("session__agent", "merge_request", "pull_request")
        .prefetch_related("evidence", "reviews__session__agent")
        .order_by("number")
    )
    accepted = list(
        Decision.objects.filter(bead=bead, origin__startswith="flags:", choice=ACCEPT).order_by("id")
    )
    told = [_claim(claim, accepted) for claim in claims]
    landed = next(
        (one for one in reversed(told) if one["merge"] and one["merge"]["status"] == "merged"), None
    )
    return {
        "bead_id": bead.key,
        "title": bead.title,
        "status": bead.status,
        "answer": _answer(bead, told, landed),
        "criteria": _criteria(bead, claims),
        "claims": told,
        "merged": {"commit": bead.merged_commit, "claim": landed["number"] if landed else None}
        if bead.merged_commit
        else None,
    }


def _claim(claim: Claim, accepted: Sequence[Decision]) -> dict[str, Any]:
    rows = sorted(claim.evidence.all(), key=lambda row: row.pk)
    flags = {(flag["path"], flag["what"]): flag for row in rows for flag in row.flags}
    return {
        "number": claim.number,
        "by": claim.session.agent.name,
        "session_id": str(claim.session_id),
        "summary": claim.summary,
        "commit": claim.commit,
        "tree": claim.tree,
        "at": claim.created_at,
        "evidence": [_evidence(row) for row in rows if row.kind == Evidence.Kind.CLAIM],
        "flags": list(flags.values()),
        "accepted": [
            {"by": row.decider, "reason": row.rationale, "at": row.decided_at, "decision_id": str(row.pk)}
            for row in accepted
            if row.origin.split(":")[1] == str(claim.pk)
        ],
        "reviews": [_review(row) for row in sorted(claim.reviews.all(), key=lambda row: row.pk)],
        "merge": _merge(getattr(claim, "merge_request", None), rows),
        "pull_request": _pull(getattr(claim, "pull_request", None)),
    }


def _evidence(row: Evidence) -> dict[str, Any]:
    return {
        "check": row.check_name,
        "command": row.command,
        "passed": row.passed,
        "exit_code": row.exit_code,
        "counts": row.counts,
        "commit": row.commit,
        "tree": row.tree,
        "output": row.output[-TAIL:],
        "sandbox": row.sandbox,
        "duration_ms": row.duration_ms,
        "at": row.created_at,
    }


def _review(row: Review) -> dict[str, Any]:
    return {
        "verdict": row.verdict,
        "by": row.session.agent.name,
        "session_id": str(row.session_id),
        "comments": row.comments,
        "criteria": row.criteria,
        "at": row.created_at,
    }


def _merge(request: MergeRequest | None, rows: Sequence[Evidence]) -> dict[str, Any] | None:
    if request is None:
        return None
    return {
        "status": request.status,
        "commit": request.commit,
        "verified_as": request.tip or request.commit,
        "detail": request.detail,
        "evidence": [_evidence(row) for row in rows if row.kind == Evidence.Kind.MERGE],
    }


def _pull(pull: PullRequest | None) -> dict[str, Any] | None:
    if pull is None:
        return None
    return {
        "status": pull.status,
        "branch": pull.branch,
        "target": pull.target,
        "commit": pull.commit,
        "merged_commit": pull.merged_commit,
        "closed_by": pull.closed_by,
    }


def _criteria(bead: Bead, claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """Each acceptance criterion with the newest word of a reviewer on it; `met` is null without one."""
    reviews = sorted((row for claim in claims for row in claim.reviews.all()), key=lambda row: row.pk)
    said = {
        one["criterion"]: {
            "met": bool(one["met"]),
            "note": one.get("note", ""),
            "by": row.session.agent.name,
            "at": row.created_at,
        }
        for row in reviews
        for one in row.criteria
    }
    unsaid = {"met": None, "note": "", "by": "", "at": None}
    return [{"criterion": text, **said.get(text, unsaid)} for text in bead.acceptance]


def _answer(bead: Bead, claims: Sequence[dict[str, Any]], landed: dict[str, Any] | None) -> str:
    """One or two sentences for people: what proves this."""
    if landed is not None and bead.merged_commit:
        return " ".join(_sentences(bead, landed))
    if not claims:
        return "Nothing yet: nobody has claimed that it is done."
    last = claims[-1]
    if not last["evidence"]:
        return f"{last['by']} claims that it is done; the platform has not verified that yet."
    if failed := [row["check"] for row in last["evidence"] if not row["passed"]]:
        return f"Nothing: claim {last['number']} failed {', '.join(failed)}."
    return f"Claim {last['number']} passed its checks, but it is not on main."


def _sentences(bead: Bead, landed: dict[str, Any]) -> list[str]:
    checks = [row["check"] for row in (landed["merge"]["evidence"] or landed["evidence"])]
    said = [f"{', '.join(checks) or 'No check'} passed on what became main at {bead.merged_commit[:10]}."]
    approvals = [row for row in landed["reviews"] if row["verdict"] == Review.Verdict.APPROVE]
    if approvals:
        each = ", criterion by criterion" if approvals[-1]["criteria"] else ""
        said.append(f"{approvals[-1]['by']} approved it{each}.")
    if landed["accepted"]:
        last = landed["accepted"][-1]
        said.append(f"{last['by']} accepted the changes to its tests: {last['reason'] or 'no reason given'}.")
    elif warnings := warnings_of(landed["flags"]):
        said.append(f"The reviewer was told of {len(warnings)} changes to tests or checks.")
    return said

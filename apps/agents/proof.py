"""Claims, evidence and reviews: writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from apps.agents.models import Claim, Evidence, Review, Session
from apps.agents.results import CheckResult, counts_text
from apps.beads.models import Bead
from apps.core.errors import BadInput
from apps.events.bus import emit

OUTPUT_CHARS = 40_000


def _tell(bead: Bead, kind: str, *, actor: str = "", **data: Any) -> None:
    emit(
        kind,
        organization_id=bead.project.organization_id,
        project_id=bead.project_id,
        bead_id=bead.pk,
        subject=f"bead:{bead.key}",
        actor=actor,
        **data,
    )


@transaction.atomic
def claim_create(*, session: Session, commit: str, tree: str, summary: str, origin_turn: int) -> Claim:
    """What the agent says is done, at this commit; the same turn claims once."""
    if session.bead is None:
        raise BadInput("Only work on a bead can be claimed.")
    latest = session.bead.claims.order_by("-number").first()
    number = latest.number + 1 if latest is not None else 1
    if latest is not None and latest.session_id == session.pk and latest.turn == origin_turn:
        return latest
    claim = Claim.objects.create(
        session=session,
        bead=session.bead,
        number=number,
        commit=commit,
        tree=tree,
        summary=summary,
        turn=origin_turn,
    )
    _tell(session.bead, "claim.made", actor=session.agent.name, number=number, commit=commit, summary=summary)
    return claim


@transaction.atomic
def evidence_add(
    *,
    claim: Claim,
    kind: str,
    commit: str,
    tree: str,
    results: Sequence[CheckResult],
    flags: Sequence[dict[str, str]],
    passed: bool,
) -> list[Evidence]:
    """Keep what the checks gave; with no check at all, that is said too."""
    rows = [_row(claim, kind, commit, tree, result, flags) for result in results]
    if not rows:
        rows = [_nothing(claim, kind, commit, tree, flags, passed)]
    Evidence.objects.bulk_create(rows)
    _tell(
        claim.bead,
        "evidence.passed" if passed else "evidence.failed",
        claim=claim.number,
        of=kind,
        commit=commit,
        checks=[{"name": row.check_name, "passed": row.passed, **row.counts} for row in rows],
        flags=list(flags),
    )
    return rows


def _row(
    claim: Claim, kind: str, commit: str, tree: str, result: CheckResult, flags: Sequence[dict[str, str]]
) -> Evidence:
    counts = {
        **result.counts(),
        "failures": list(result.failures[:50]),
        "first_error": result.first_error[:2000],
    }
    return Evidence(
        bead=claim.bead,
        claim=claim,
        kind=kind,
        commit=commit,
        tree=tree,
        check_name=result.check.name[:80],
        command=result.check.command,
        exit_code=result.result.exit_code,
        passed=result.passed,
        output=result.result.output[-OUTPUT_CHARS:],
        counts=counts,
        flags=list(flags),
        sandbox=result.result.sandbox,
        duration_ms=result.result.duration_ms,
    )


def _nothing(
    claim: Claim, kind: str, commit: str, tree: str, flags: Sequence[dict[str, str]], passed: bool
) -> Evidence:
    return Evidence(
        bead=claim.bead,
        claim=claim,
        kind=kind,
        commit=commit,
        tree=tree,
        check_name="no checks",
        command="",
        exit_code=0,
        passed=passed,
        output="The repository has no checks that Loom can find.",
        flags=list(flags),
    )


@transaction.atomic
def review_create(
    *, session: Session, claim: Claim, verdict: str, comments: str, criteria: list[dict[str, Any]]
) -> Review:
    review, created = Review.objects.get_or_create(
        session=session,
        defaults={
            "bead": claim.bead,
            "claim": claim,
            "verdict": verdict,
            "comments": comments,
            "criteria": criteria,
        },
    )
    if created:
        kind = "review.approved" if verdict == Review.Verdict.APPROVE else "review.rejected"
        _tell(claim.bead, kind, actor=session.agent.name, claim=claim.number, comments=comments[:2000])
    return review


def evidence_text(evidence: Sequence[Evidence]) -> str:
    """Evidence in a few lines, for reviewers and people."""
    lines = []
    for row in evidence:
        counts = counts_text(row.counts)
        verdict = "passed" if row.passed else f"FAILED with exit code {row.exit_code}"
        lines.append(f"- {row.check_name}: {verdict}" + (f" ({counts})" if counts else ""))
    return "\n".join(lines) or "(nothing was verified)"

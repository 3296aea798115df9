"""Approval nodes: the decision they ask for, and what its options mean."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from apps.agents.models import Claim
from apps.agents.proof import evidence_text
from apps.beads.models import Bead
from apps.decisions.models import DEADLINE, Decision
from apps.decisions.services import decision_request
from apps.engine.flow import current
from apps.projects.models import Project
from apps.workflows.graph_library import pinned
from apps.workflows.planning import plan_text

APPROVE, CHANGE, REJECT = "approve", "change", "reject"


def approval_ask(
    *, project_id: int, bead_id: int | None, workflow: str, node: str, final: bool, claim_id: int | None
) -> dict[str, Any]:
    """Ask; `final`: a rejection is the end, so that nothing can be sent back. A database step."""
    project = Project.objects.get(pk=project_id)
    bead = Bead.objects.filter(pk=bead_id).first() if bead_id else None
    asked: Any = pinned(workflow).nodes[node]
    execution = current()
    subject = f"{bead.key} {bead.title}" if bead else "The plan"
    decision = decision_request(
        project=project,
        bead=bead,
        kind=Decision.Kind.APPROVAL if bead else Decision.Kind.PLAN,
        question=f"{bead.key}: {asked.question or f'approve {node}?'}" if bead else asked.question,
        options=_options(is_plan=bead is None, final=final),
        recommendation=APPROVE,
        context=_context(bead, claim_id) if bead else plan_text(project),
        requester="loom" if bead else "project-manager",
        needs_person=asked.by == "person"
        or (asked.by == "project" and project.approval == Project.Approval.ASK),
        run_id=execution.run.pk,
        origin=f"run:{execution.run.pk}:{execution.seq}",
        deadline=DEADLINE if asked.timeout is None else timedelta(seconds=asked.timeout),
        lapses=asked.timeout is not None,
    )
    return {"decision": decision.pk, "subject": subject}


def _options(*, is_plan: bool, final: bool) -> list[dict[str, str]]:
    done, given_up = (
        ("Work on the stories begins.", "Nothing is built.")
        if is_plan
        else ("The work goes on its way.", "The work is given up; what was merged stays.")
    )
    back = {"key": CHANGE, "label": "Send back", "detail": "Say in the rationale what must change."}
    return [
        {"key": APPROVE, "label": "Approve", "detail": done},
        *([] if final else [back]),
        {"key": REJECT, "label": "Reject", "detail": given_up},
    ]


def _context(bead: Bead, claim_id: int | None) -> str:
    """What a bead asks for, what its author claims and what was verified."""
    criteria = "\n".join(f"- {criterion}" for criterion in bead.acceptance)
    parts = [bead.description.strip(), f"Acceptance criteria:\n{criteria}" if criteria else ""]
    claim = Claim.objects.select_related("session__agent").filter(pk=claim_id or 0).first()
    if claim is not None:
        parts += [
            f"{claim.session.agent.name} claims: {claim.summary}",
            f"Verified by the platform:\n{evidence_text(list(claim.evidence.all()))}",
        ]
        parts += [f"Review: {row.verdict}. {row.comments}" for row in claim.reviews.order_by("id")]
    return "\n\n".join(part for part in parts if part)

"""Opening each kind of session: the right agent, the pinned words, the commit it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.agents.models import Claim, Persona, Review, Session
from apps.agents.prompts import (
    decide_task,
    expand_task,
    kind_actions,
    opening_messages,
    plan_task,
    review_task,
)
from apps.agents.proof import evidence_text
from apps.agents.services import Opening, Post, agents_acquire, sessions_open
from apps.decisions.models import Decision
from apps.projects.models import Project, Requirement

PLANNER, REVIEWER, DECIDER = "project-manager", "code-reviewer", "decision-maker"


def _known(origin: str) -> int | None:
    return Session.objects.filter(origin=origin).values_list("pk", flat=True).first()


def _open(
    project: Project,
    role: str,
    kind: str,
    origin: str,
    task: str,
    base: str,
    *,
    personas: Mapping[str, Persona] | None = None,
    **about: Any,
) -> int:
    """The session of that origin, opened with an agent of that role if it is new."""
    if (known := _known(origin)) is not None:
        return known
    (agent,) = agents_acquire(project=project, posts=[Post(role, about.get("bead"))], personas=personas)
    messages = opening_messages(agent, project, task)
    opening = Opening(agent, kind, origin, messages, kind_actions(kind), base, **about)
    return sessions_open(project=project, openings=[opening])[0].pk


def _requirements(project: Project) -> list[Requirement]:
    return list(project.requirements.filter(status=Requirement.Status.ACTIVE).order_by("position"))


def expand_session(*, project_id: int, origin: str, base: str) -> int:
    project = Project.objects.select_related("organization").get(pk=project_id)
    task = expand_task(project=project, requirements=_requirements(project))
    return _open(project, PLANNER, Session.Kind.EXPAND, origin, task, base)


def plan_session(*, project_id: int, origin: str, base: str, prd: str) -> int:
    project = Project.objects.get(pk=project_id)
    team = Persona.objects.for_organization(project.organization_id)
    task = plan_task(
        project=project,
        requirements=_requirements(project),
        roles=sorted(set(team.values_list("role", flat=True)) - NOT_BUILDERS),
        prd=prd,
    )
    return _open(project, PLANNER, Session.Kind.PLAN, origin, task, base)


NOT_BUILDERS = {"ceo", "cfo", DECIDER, REVIEWER, "loom"}


def decide_session(*, decision_id: int, origin: str, base: str, role: str = DECIDER) -> int:
    decision = Decision.objects.select_related("project", "bead").get(pk=decision_id)
    return _open(
        decision.project,
        role,
        Session.Kind.DECIDE,
        origin,
        decide_task(decision=decision),
        base,
        decision_id=decision.pk,
        bead=decision.bead,
    )


def flags_shown(flags: list[dict[str, str]], diff: str) -> list[str]:
    """Findings about tests and checks as the reviewer reads them, with the change they are about."""
    notice = {"notice": " (often honest)"}
    lines = [f"{flag['path']}: {flag['what']}{notice.get(flag.get('level', ''), '')}" for flag in flags]
    if diff and lines:
        lines[-1] += f"\n\nThe change to these files:\n```diff\n{diff.strip()}\n```"
    return lines


def review_session(
    *,
    claim_id: int,
    origin: str,
    diff: str,
    flags: list[dict[str, str]],
    flagged: str = "",
    role: str = REVIEWER,
    personas: Mapping[str, Persona] | None = None,
    instructions: str = "",
) -> int:
    claim = Claim.objects.select_related("bead__project", "session").get(pk=claim_id)
    earlier = list(Review.objects.filter(bead=claim.bead).order_by("id"))
    task = review_task(
        bead=claim.bead,
        claim=claim,
        round_number=len(earlier) + 1,
        diff=diff,
        evidence=evidence_text(list(claim.evidence.all())),
        flags=flags_shown(flags, flagged),
        earlier="\n".join(f"- {review.verdict}: {review.comments}" for review in earlier),
        instructions=instructions,
    )
    return _open(
        claim.bead.project,
        role,
        Session.Kind.REVIEW,
        origin,
        task,
        claim.commit,
        personas=personas,
        bead=claim.bead,
    )

"""The end of a weave in figures: what was built, where, what proves it and what it cost."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q, Sum

from apps.agents.models import Session, Turn
from apps.beads.models import WORKABLE, Bead
from apps.decisions.models import Decision
from apps.projects.models import Project
from apps.providers.models import Call, Provider
from apps.workflows.progress import Progress, evidence_of, state_of


def summary_make(project: Project, progress: Progress, *, seconds: float) -> dict[str, Any]:
    """What `--json` prints; `status` is done, waiting, dropped, canceled, failed or interrupted."""
    stories = [_story(bead) for bead in _beads(project)]
    proven = bool(stories) and all(story["proven"] for story in stories)
    finished = progress.run_status == "done"
    dropped = finished and bool(progress.run_error)
    if dropped:
        status = "dropped"
    elif finished:
        status = "done" if proven else "failed"
    elif progress.run_status == "canceled":
        status = "canceled"
    else:
        status = "waiting" if progress.waiting else "failed" if progress.run_error else "interrupted"
    calls = Call.objects.filter(project_id=project.pk)
    models = sorted(set(calls.values_list("provider_name", "model")))
    return {
        "project": project.name,
        "organization": project.organization.slug,
        "status": status,
        "out": project.out_dir if finished else "",
        "stories": stories,
        "merged": sum(story["proven"] for story in stories),
        "requirements": _requirements(project),
        "incidents": _incidents(project),
        "waiting": [{"decision": row.pk, "question": row.question} for row in progress.waiting],
        "calls": progress.calls,
        "failed_calls": calls.filter(status=Call.Status.FAILED).count(),
        "lost_calls": calls.filter(status=Call.Status.LOST).count(),
        "tokens": progress.tokens,
        "cost_usd": round(progress.cost_microusd / 1e6, 6),
        "budget_usd": progress.limit_microusd / 1e6 if progress.limit_microusd is not None else None,
        "demo": Provider.objects.filter(
            kind=Provider.Kind.SCRIPTED, name__in=[name for name, _ in models]
        ).exists(),
        "models": [f"{name}: {model}" for name, model in models],
        "seconds": round(seconds, 1),
        "error": progress.run_error,
    }


def _beads(project: Project) -> Any:
    return (
        Bead.objects.filter(project=project, type__in=WORKABLE)
        .annotate(blockers=Count("dependencies", filter=~Q(dependencies__blocker__status=Bead.Status.CLOSED)))
        .prefetch_related("requirements")
        .order_by("id")
    )


def _story(bead: Any) -> dict[str, Any]:
    evidence = evidence_of(bead)
    used = Session.objects.filter(bead=bead).aggregate(
        turns=Sum("turn_count"),
        prompt=Sum("prompt_tokens"),
        reply=Sum("completion_tokens"),
        cost=Sum("cost_microusd"),
    )
    return {
        "key": bead.key,
        "title": bead.title,
        "role": bead.role,
        "agent": bead.assigned_to,
        "status": bead.status,
        "reason": bead.blocked_reason or state_of(bead, bead.blockers)[1],
        "requirements": [row.key for row in bead.requirements.all()],
        "commit": bead.merged_commit,
        "proven": bool(bead.merged_commit) and bool(evidence) and all(row.passed for row in evidence),
        "evidence": [
            {
                "check": row.check_name,
                "command": row.command,
                "exit_code": row.exit_code,
                "passed": row.passed,
                "tests": row.counts.get("passed_count"),
                "tree": row.tree,
                "sandbox": row.sandbox,
                "flags": row.flags,
            }
            for row in evidence
        ],
        "reviews": list(bead.reviews.values_list("verdict", flat=True)),
        "turns": used["turns"] or 0,
        "tokens": (used["prompt"] or 0) + (used["reply"] or 0),
        "cost_usd": round((used["cost"] or 0) / 1e6, 6),
    }


def _requirements(project: Project) -> dict[str, Any]:
    active = project.requirements.filter(status="active")
    met = active.filter(beads__merged_commit__gt="").distinct()
    return {"count": active.count(), "merged": met.count()}


def _incidents(project: Project) -> dict[str, int]:
    """What went wrong on the way and was put right; people trust a machine that shows it."""
    return {
        "failed_verifications": project.beads.filter(evidence__passed=False)
        .values("evidence__claim")
        .distinct()
        .count(),
        "rejected_reviews": project.beads.filter(reviews__verdict="reject").count(),
        "merge_conflicts": project.merge_requests.filter(status="conflict").count(),
        "decisions": Decision.objects.filter(project=project, status=Decision.Status.DECIDED).count(),
        "invalid_replies": Turn.objects.filter(session__project=project).exclude(error="").count(),
    }

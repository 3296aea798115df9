"""What a weave looks like right now: one small read of the database, for the terminal and other viewers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, Sum
from django.utils import timezone

from apps.agents.models import Agent, Evidence, MergeRequest, Session
from apps.beads.models import WORKABLE, Bead
from apps.decisions.models import Decision
from apps.decisions.services import DEADLINE_FLOW
from apps.engine.models import Run, Step
from apps.events.models import Event
from apps.projects.models import Project
from apps.providers.models import Budget, Call
from apps.workflows.language_flows import REMIND
from apps.workflows.system_flows import LIFE

PHASES = ("expanding", "planning", "approving", "building", "delivering")
OVER = (Run.Status.DONE, Run.Status.FAILED, Run.Status.CANCELED)
# They wake by the clock as long as the project lives, and take no work any further.
WATCHERS = (DEADLINE_FLOW, LIFE, REMIND)


@dataclass(frozen=True)
class Row:
    """One bead; `state` is one of open, waiting, working, person, failed, done."""

    key: str
    title: str
    state: str
    words: str
    agent: str
    doing: str
    turns: int
    tokens: int
    cost_microusd: int


@dataclass(frozen=True)
class Again:
    """A call that failed and is tried again after a while: most often a model that did not answer well."""

    step_id: int
    tries: int
    most: int
    bead: str
    message: str
    wake_at: datetime


@dataclass(frozen=True)
class Progress:
    phase: str
    rows: list[Row]
    doing: str
    calls: int
    tokens: int
    cost_microusd: int
    limit_microusd: int | None
    waiting: list[Decision]
    run_status: str
    run_error: str
    again: tuple[Again, ...] = ()

    @property
    def done(self) -> int:
        return sum(row.state == "done" for row in self.rows)

    @property
    def is_over(self) -> bool:
        return self.run_status in OVER


def progress_read(project: Project) -> Progress:
    run = Run.objects.filter(key=f"prd:{project.pk}").first()
    spent = Call.objects.filter(project_id=project.pk).aggregate(
        calls=Count("pk"),
        prompt=Sum("prompt_tokens"),
        completion=Sum("completion_tokens"),
        cost=Sum("cost_microusd"),
    )
    budget = Budget.objects.filter(scope=Budget.Scope.PROJECT, scope_id=project.pk).first()
    phases = Event.objects.filter(project_id=project.pk, kind="weave.phase").order_by("-id")
    latest = phases.first()
    agents = {
        agent.current_bead_id: agent
        for agent in Agent.objects.filter(project=project, status=Agent.Status.WORKING).order_by("id")
    }
    return Progress(
        phase=latest.data["phase"] if latest else "starting",
        rows=_rows(project, agents),
        doing=_doing_without_bead(project),
        calls=spent["calls"],
        tokens=(spent["prompt"] or 0) + (spent["completion"] or 0),
        cost_microusd=spent["cost"] or 0,
        limit_microusd=budget.limit_microusd if budget else None,
        waiting=list(Decision.objects.open().filter(project=project, needs_person=True).order_by("id")),
        run_status=run.status if run else "",
        run_error=(run.error or (run.output or {}).get("reason", "")) if run else "",
        again=_again(project),
    )


def _again(project: Project) -> tuple[Again, ...]:
    resting = Step.objects.filter(
        run__project_id=project.pk, run__status=Run.Status.WAITING, status=Step.Status.WAITING
    )
    failed = list(
        resting.filter(policy__isnull=False, wake_at__isnull=False).select_related("run").order_by("pk")
    )
    keys = dict(Bead.objects.filter(pk__in={row.run.bead_id for row in failed}).values_list("pk", "key"))
    return tuple(
        Again(
            step_id=row.pk,
            tries=len(row.failures or ()),  # what a killed worker did not finish is no try
            most=int(row.policy["attempts"]),
            bead=keys.get(row.run.bead_id or 0, ""),
            message=str(row.failures[-1]["message"]) if row.failures else "",
            wake_at=row.wake_at or timezone.now(),
        )
        for row in failed
    )


def _rows(project: Project, agents: dict[int | None, Agent]) -> list[Row]:
    spent = {
        row["bead_id"]: row
        for row in Session.objects.filter(project=project, bead__isnull=False)
        .values("bead_id")
        .annotate(
            turns=Sum("turn_count"),
            prompt=Sum("prompt_tokens"),
            reply=Sum("completion_tokens"),
            cost=Sum("cost_microusd"),
        )
    }
    beads = (
        Bead.objects.filter(project=project, type__in=WORKABLE)
        .annotate(blockers=Count("dependencies", filter=~Q(dependencies__blocker__status=Bead.Status.CLOSED)))
        .order_by("id")
    )
    rows = []
    for bead in beads:
        state, words = state_of(bead, vars(bead)["blockers"])
        used: dict[str, Any] = spent.get(bead.pk, {})
        agent = agents.get(bead.pk)
        rows.append(
            Row(
                key=bead.key,
                title=bead.title,
                state=state,
                words=words,
                agent=agent.name if agent and state == "working" else bead.assigned_to,
                doing=agent.current_action if agent and state == "working" else "",
                turns=used.get("turns") or 0,
                tokens=(used.get("prompt") or 0) + (used.get("reply") or 0),
                cost_microusd=used.get("cost") or 0,
            )
        )
    return rows


def state_of(bead: Bead, open_blockers: int) -> tuple[str, str]:
    """One of the six states and a few words."""
    match bead.status:
        case Bead.Status.CLOSED:
            return ("done", "merged") if bead.merged_commit else ("failed", bead.close_reason or "closed")
        case Bead.Status.BLOCKED:
            return "person", bead.blocked_reason
        case Bead.Status.IN_PROGRESS:
            return "working", bead.get_stage_display() or "working"
        case Bead.Status.DEFERRED:
            return "waiting", "planned"
        case _:
            return ("waiting", f"waits for {open_blockers}") if open_blockers else ("open", "ready")


def _doing_without_bead(project: Project) -> str:
    """What planners and deciders do: sessions that belong to no bead."""
    session = (
        Session.objects.filter(project=project, bead=None, status=Session.Status.OPEN)
        .select_related("agent")
        .order_by("-id")
        .first()
    )
    if session is None:
        return ""
    return f"{session.agent.name}: {session.agent.current_action or 'reading'}"


def is_over(project: Project) -> bool:
    """The same as a progress says, at the price of one short query."""
    return Run.objects.filter(key=f"prd:{project.pk}", status__in=OVER).exists()


def is_stuck(project: Project) -> bool:
    """Nothing moves any more without a person: runs only wait, and some wait for an answer to trouble."""
    asked = Decision.objects.open().filter(project=project, kind=Decision.Kind.STUCK).exists()
    failed = Run.objects.filter(project_id=project.pk, status=Run.Status.FAILED).exists()
    if not asked and not failed:
        return False
    runs = Run.objects.unfinished().filter(project_id=project.pk).exclude(flow__in=WATCHERS)
    moving = Q(status__in=[Run.Status.READY, Run.Status.RUNNING]) | Q(
        status=Run.Status.WAITING, wake_at__isnull=False
    )
    return not runs.filter(moving).exists()


def events_after(project: Project, last_id: int, limit: int = 200) -> Iterable[Event]:
    return Event.objects.filter(project_id=project.pk, id__gt=last_id).order_by("id")[:limit]


def events_last(project: Project) -> int:
    newest = Event.objects.filter(project_id=project.pk).order_by("-id").values_list("pk", flat=True).first()
    return newest or 0


def evidence_of(bead: Bead) -> list[Evidence]:
    """What closed the bead: the checks of main as its merge left it, perhaps with others of its batch."""
    merged = MergeRequest.objects.filter(bead=bead, commit=bead.merged_commit).values("claim")
    return list(bead.evidence.filter(kind=Evidence.Kind.MERGE, claim__in=merged).order_by("id"))

"""What a tick senses: idleness, deadlines, waiting decisions, cost and velocity. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Max, QuerySet, Sum

from apps.agents.models import Agent, Session
from apps.beads.models import Bead
from apps.decisions.models import Decision
from apps.motivations.conditions import moment_of
from apps.motivations.models import Motivation
from apps.projects.models import Project
from apps.providers.models import Budget, Call

DUE = "due:"  # a label of a bead such as due:2026-12-24
MICRO = 1_000_000
BUSY = (Agent.Status.WORKING, Agent.Status.DECIDING)


@dataclass(frozen=True)
class Sensed:
    """A reason to act now. `mark` names what it is about, for reasons that count once.

    `standing` are the marks of all that there is to tell of; others are forgotten. None: that is not known.
    """

    data: dict[str, Any] = field(default_factory=dict)
    mark: str = ""
    event: str = ""  # the kind of the event that tells of it
    standing: frozenset[str] | None = None


def sense(motivation: Motivation, now: datetime) -> Sensed | None:
    return SENSES[motivation.condition](motivation, now)


def _projects(motivation: Motivation) -> QuerySet[Project]:
    rows = Project.objects.filter(organization_id=motivation.organization_id)
    rows = rows.filter(pk=motivation.project_id) if motivation.project_id else rows
    return rows.exclude(status=Project.Status.CLOSED)


# -- idleness ----------------------------------------------------------------------------------------


def last_activity(projects: QuerySet[Project]) -> datetime | None:
    """When an agent last did something in these projects; else when the newest of them was made."""
    active = Agent.objects.filter(project__in=projects).aggregate(at=Max("last_active_at"))["at"]
    made = projects.aggregate(at=Max("created_at"))["at"]
    return max(filter(None, (active, made)), default=None)


def is_busy(projects: QuerySet[Project]) -> bool:
    return (
        Agent.objects.filter(project__in=projects, status__in=BUSY).exists()
        or Session.objects.filter(project__in=projects, status=Session.Status.OPEN)
        .exclude(kind=Session.Kind.PAIR)
        .exists()
    )


def _idle_since(projects: QuerySet[Project], minutes: float, now: datetime) -> datetime | None:
    since = last_activity(projects)
    if since is None or since > now - timedelta(minutes=minutes) or is_busy(projects):
        return None
    return since


def _system_idle(motivation: Motivation, now: datetime) -> Sensed | None:
    """Nobody in the whole organization works."""
    projects = Project.objects.filter(organization_id=motivation.organization_id)
    projects = projects.exclude(status=Project.Status.CLOSED)
    since = _idle_since(projects, motivation.parameters.get("minutes", 30), now)
    return Sensed({"about": {"idle_since": since.isoformat()}}, event="system.idle") if since else None


def _project_idle(motivation: Motivation, now: datetime) -> Sensed | None:
    """Nobody works in a project, and nothing is ready to be worked on."""
    for project in _projects(motivation).order_by("-is_perpetual", "-id").defer("prd"):
        mine = Project.objects.filter(pk=project.pk)
        since = _idle_since(mine, motivation.parameters.get("minutes", 60), now)
        if since is not None and not Bead.objects.filter(project=project).ready().exists():
            about = {"project": project.name, "idle_since": since.isoformat()}
            return Sensed({"project_id": project.pk, "about": about})
    return None


def _agent_idle(motivation: Motivation, now: datetime) -> Sensed | None:
    """An agent of the role has had nothing to do for a while."""
    before = now - timedelta(minutes=motivation.parameters.get("minutes", 60))
    agents = Agent.objects.filter(
        project__in=_projects(motivation), status=Agent.Status.IDLE, last_active_at__lte=before
    )
    if motivation.agent_id:
        agents = agents.filter(pk=motivation.agent_id)
    elif motivation.agent_role:
        agents = agents.filter(role=motivation.agent_role)
    agent = agents.order_by("last_active_at").first()
    if agent is None or agent.last_active_at is None:
        return None
    about = {"agent": agent.name, "idle_since": agent.last_active_at.isoformat()}
    return Sensed({"project_id": agent.project_id, "about": about})


# -- deadlines: each moves a motivation once ---------------------------------------------------------


def _deadlines(motivation: Motivation) -> Iterator[tuple[str, datetime, dict[str, Any]]]:
    """The deadline in the parameters, and those of beads with a label like due:2026-12-24."""
    parameters = motivation.parameters
    if "deadline" in parameters:
        own = moment_of(parameters["deadline"])
        yield f"deadline:{own.isoformat()}", own, {"about": {"deadline": own.isoformat()}}
    beads = Bead.objects.filter(project__in=_projects(motivation)).exclude(status=Bead.Status.CLOSED)
    wanted = set(parameters.get("labels", ()))
    for bead in (
        beads.exclude(labels=[]).only("key", "title", "labels", "project_id").order_by("id").iterator()
    ):
        if wanted and not wanted & set(bead.labels):
            continue
        for label in bead.labels:
            if (moment := _due(label)) is not None:
                about = {"bead": bead.key, "title": bead.title, "deadline": moment.date().isoformat()}
                yield f"{bead.key}:{label}", moment, {"project_id": bead.project_id, "about": about}


def _due(label: Any) -> datetime | None:
    """The end of the day that a label names."""
    if not isinstance(label, str) or not label.startswith(DUE):
        return None
    try:
        day = datetime.fromisoformat(label.removeprefix(DUE))
        day = day if day.tzinfo else day.replace(tzinfo=UTC)
        return day + timedelta(days=1) if len(label) == len(DUE) + 10 else day
    except (ValueError, OverflowError):  # also the last day that there is
        return None


def _deadline_approach(motivation: Motivation, now: datetime) -> Sensed | None:
    within = now + timedelta(days=motivation.parameters.get("days", 7))
    return _first_deadline(motivation, lambda moment: now < moment <= within, "deadline.approaching")


def _deadline_passed(motivation: Motivation, now: datetime) -> Sensed | None:
    return _first_deadline(motivation, lambda moment: moment <= now, "deadline.passed")


def _first_deadline(
    motivation: Motivation, is_meant: Callable[[datetime], bool], event: str
) -> Sensed | None:
    found, told = list(_deadlines(motivation)), set(motivation.told)
    for mark, moment, data in found:
        if is_meant(moment) and mark not in told:
            return Sensed(data, mark, event, frozenset(mark for mark, _, _ in found))
    return None


def _decision_pending(motivation: Motivation, now: datetime) -> Sensed | None:
    before = now - timedelta(minutes=motivation.parameters.get("minutes", 5))
    waiting = Decision.objects.open().filter(project__in=_projects(motivation), created_at__lte=before)
    marks = {f"decision:{pk}": pk for pk in waiting.order_by("id").values_list("pk", flat=True)}
    untold = marks.keys() - set(motivation.told)
    for mark in (mark for mark in marks if mark in untold):
        decision = waiting.only("id", "question", "project_id").filter(pk=marks[mark]).first()
        if decision is not None:  # else it was answered at this moment
            about = {"decision": decision.pk, "question": decision.question[:500]}
            data = {"project_id": decision.project_id, "about": about}
            return Sensed(data, mark, standing=frozenset(marks))
    return None


# -- thresholds --------------------------------------------------------------------------------------


def _cost_exceeded(motivation: Motivation, now: datetime) -> Sensed | None:
    """More than `usd` in the last `hours`; without `usd`, more than `percent` of a budget's limit."""
    parameters = motivation.parameters
    if "usd" in parameters:
        hours = parameters.get("hours", 24)
        calls = Call.objects.filter(
            organization_id=motivation.organization_id,
            nominal=False,
            created_at__gte=now - timedelta(hours=hours),
        )
        calls = calls.filter(project_id=motivation.project_id) if motivation.project_id else calls
        spent = (calls.aggregate(spent=Sum("cost_microusd"))["spent"] or 0) / MICRO
        if spent <= parameters["usd"]:
            return None
        return Sensed(
            {"about": {"spent_usd": round(spent, 4), "limit_usd": parameters["usd"], "hours": hours}}
        )
    percent = parameters.get("percent", 80)
    scopes = [(Budget.Scope.PROJECT, pk) for pk in _projects(motivation).values_list("pk", flat=True)]
    if not motivation.project_id:
        scopes.append((Budget.Scope.ORGANIZATION, motivation.organization_id))
    budgets = Budget.objects.filter(organization_id=motivation.organization_id, limit_microusd__gt=0)
    for budget in budgets.filter(scope_id__in=[pk for _, pk in scopes]):
        limit = budget.limit_microusd or 0
        if (budget.scope, budget.scope_id) in scopes and budget.spent_microusd * 100 > limit * percent:
            about = {
                "budget": str(budget),
                "spent_usd": budget.spent_microusd / MICRO,
                "limit_usd": limit / MICRO,
            }
            return Sensed({"about": about}, f"budget:{budget.pk}:{limit}")
    return None


def _velocity_drop(motivation: Motivation, now: datetime) -> Sensed | None:
    """Fewer beads closed in the last days than in as many before, by at least `percent`."""
    span = timedelta(days=motivation.parameters.get("days", 7))
    closed = Bead.objects.filter(project__in=_projects(motivation), status=Bead.Status.CLOSED)
    before = closed.filter(closed_at__gt=now - 2 * span, closed_at__lte=now - span).count()
    recent = closed.filter(closed_at__gt=now - span).count()
    if not before or (before - recent) * 100 < motivation.parameters.get("percent", 20) * before:
        return None
    return Sensed({"about": {"closed_before": before, "closed_now": recent, "days": span.days}})


SENSES: dict[str, Callable[[Motivation, datetime], Sensed | None]] = {
    "system_idle": _system_idle,
    "project_idle": _project_idle,
    "agent_idle": _agent_idle,
    "deadline_approach": _deadline_approach,
    "deadline_passed": _deadline_passed,
    "decision_pending": _decision_pending,
    "cost_exceeded": _cost_exceeded,
    "velocity_drop": _velocity_drop,
}

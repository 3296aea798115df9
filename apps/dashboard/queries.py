"""What the pages show, read in a number of queries that does not grow with the rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from django.db.models import Case, Count, F, Max, Q, Sum, Value, When, Window
from django.db.models.functions import RowNumber

from apps.activity.models import Notification
from apps.agents.forecast import held_beads
from apps.agents.models import Agent, Claim, Evidence, Review, Session
from apps.beads.models import WORKABLE, Bead, Dependency
from apps.core.lookup import Statement
from apps.decisions.models import Decision
from apps.engine.models import Run
from apps.events.models import Event
from apps.projects.models import Project, Requirement
from apps.providers.models import Budget, Call, Provider
from apps.workflows.prd_flow import run_key
from apps.workflows.progress import state_of

PROJECTS = 12
BEADS_PER_PROJECT = 12
PROOF_ROWS = 1000

PHASES = {
    "expanding": "reading the PRD",
    "planning": "planning",
    "approving": "waiting for the plan's approval",
    "building": "building",
    "delivering": "delivering",
}
# What cards and rows show of a bead, and what tells how it stands: a board holds many.
SHOWN = (
    "key", "title", "status", "stage", "priority", "role", "assigned_to", "blocked_reason", "close_reason",
    "merged_commit", "labels", "parent_id", "project_id",
)  # fmt: skip
ATTENTION = Case(
    When(status=Bead.Status.BLOCKED, then=Value(0)),
    When(status=Bead.Status.IN_PROGRESS, then=Value(1)),
    When(status=Bead.Status.OPEN, then=Value(2)),
    When(status=Bead.Status.DEFERRED, then=Value(3)),
    default=Value(4),
)


@dataclass(frozen=True)
class BeadLine:
    """`state` is one of open, waiting, working, person, failed, done."""

    bead: Bead
    state: str
    words: str
    agent: str
    doing: str
    sessions: int
    turns: int
    cost_microusd: int

    @property
    def shown(self) -> Shown:
        bead = self.bead
        is_read = "requirements" in getattr(bead, "_prefetched_objects_cache", ())
        return Shown(
            pk=bead.pk,
            key=bead.key,
            title=bead.title,
            priority=bead.priority,
            role=bead.role,
            merged_commit=bead.merged_commit,
            labels=tuple(map(str, bead.labels)),
            requirements=tuple(row.key for row in bead.requirements.all()) if is_read else (),
            state=self.state,
            words=self.words,
            agent=self.agent,
            doing=self.doing,
            cost_microusd=self.cost_microusd,
        )


class Shown(NamedTuple):
    """All that cards and rows show of a bead: those that show the same are the same."""

    pk: int
    key: str
    title: str
    priority: int
    role: str
    merged_commit: str
    labels: tuple[str, ...]
    requirements: tuple[str, ...]
    state: str
    words: str
    agent: str
    doing: str
    cost_microusd: int


@dataclass
class ProjectCard:
    project: Project
    state: str
    words: str
    error: str
    total: int
    merged: int
    calls: int
    cost_microusd: int
    is_nominal: bool  # all of it was the scripted demo's, which nobody is charged for
    limit_microusd: int | None
    lines: list[BeadLine] = field(default_factory=list)

    @property
    def hidden(self) -> int:
        return max(0, self.total - len(self.lines))


@dataclass(frozen=True)
class Proof:
    line: BeadLine
    evidence: list[Evidence]
    reviews: list[Review]


def newest_event(user: Any) -> int:
    """The id of the last thing that happened within the user's sight; pages are unchanged while it is."""
    newest = Event.objects.for_user(user).order_by("-id").values_list("pk", flat=True).first()
    return newest or 0


def projects_of(user: Any) -> list[Project]:
    projects = Project.objects.for_user(user).select_related("organization").defer("prd")
    return list(projects.order_by("-id")[:PROJECTS])


def projects_named(user: Any) -> list[Project]:
    """The same with what a menu shows of them."""
    return list(Project.objects.for_user(user).only("name").order_by("-id")[:PROJECTS])


def agents_at_work(user: Any) -> int:
    return Agent.objects.for_user(user).filter(status=Agent.Status.WORKING).count()


def providers_of(user: Any) -> list[Provider]:
    return list(Provider.objects.for_user(user).filter(enabled=True).order_by("kind", "name")[:PROJECTS])


# -- Projects --------------------------------------------------------------------------------------


def project_cards(projects: list[Project]) -> list[ProjectCard]:
    """A card per project, without beads."""
    ids = [project.pk for project in projects]
    merged = Q(status=Bead.Status.CLOSED) & ~Q(merged_commit="")
    beads = _by_project(
        Bead.objects.filter(project__in=ids, type__in=WORKABLE)
        .values("project_id")
        .annotate(total=Count("pk"), merged=Count("pk", filter=merged))
        .order_by()
    )
    costs = _by_project(
        Call.objects.filter(project_id__in=ids)
        .values("project_id")
        .annotate(calls=Count("pk"), cost=Sum("cost_microusd"), charged=Count("pk", filter=Q(nominal=False)))
        .order_by()
    )
    limits = dict(
        Budget.objects.filter(scope=Budget.Scope.PROJECT, scope_id__in=ids).values_list(
            "scope_id", "limit_microusd"
        )
    )
    states = _project_states(projects)
    cards = []
    for project in projects:
        state, words, error = states[project.pk]
        count, cost = beads.get(project.pk, {}), costs.get(project.pk, {})
        cards.append(
            ProjectCard(
                project=project,
                state=state,
                words=words,
                error=error,
                total=count.get("total", 0),
                merged=count.get("merged", 0),
                calls=cost.get("calls", 0),
                cost_microusd=cost.get("cost") or 0,
                is_nominal=cost.get("charged") == 0,
                limit_microusd=limits.get(project.pk),
            )
        )
    return cards


def _by_project(rows: Iterable[Any]) -> dict[int, dict[str, Any]]:
    return {row["project_id"]: row for row in rows}


def _project_states(projects: list[Project]) -> dict[int, tuple[str, str, str]]:
    """State, words and error by project."""
    ids = [project.pk for project in projects]
    runs = {run.key: run for run in Run.objects.filter(key__in=[run_key(pk) for pk in ids])}
    phases = {
        event.project_id: event.data.get("phase", "")
        for event in Event.objects.filter(kind="weave.phase", project_id__in=ids).order_by("id")
    }
    asking = set(
        Decision.objects.open()
        .filter(project__in=ids, needs_person=True)
        .values_list("project_id", flat=True)
    )
    return {
        project.pk: _project_state(
            project,
            runs.get(run_key(project.pk)),
            PHASES.get(phases.get(project.pk, ""), "starting"),
            is_asking=project.pk in asking,
        )
        for project in projects
    }


def _project_state(project: Project, run: Run | None, phase: str, *, is_asking: bool) -> tuple[str, str, str]:
    if run is not None and run.status == Run.Status.FAILED:
        return "failed", "stopped", run.error
    if is_asking:
        return "person", "needs you", ""
    if run is None:
        return (
            ("done", "closed", "") if project.status == Project.Status.CLOSED else ("open", "not started", "")
        )
    if run.status == Run.Status.CANCELED:
        return "failed", "canceled", ""
    if run.status == Run.Status.PAUSED:
        return "open", "paused", ""
    return ("done", "delivered", "") if run.status == Run.Status.DONE else ("working", phase, "")


def add_bead_lines(cards: list[ProjectCard]) -> None:
    """Give each card the beads that want attention first."""
    by_project = {card.project.pk: card for card in cards}
    first = _wanting_attention(tuple(by_project))
    for line in bead_lines(beads_shown([pk for (pk,) in first.fetch()] if first else [])):
        by_project[line.bead.project_id].lines.append(line)


@lru_cache(maxsize=256)  # to build it takes longer than to run it
def _wanting_attention(projects: tuple[int, ...]) -> Statement | None:
    place = Window(RowNumber(), partition_by=F("project_id"), order_by=[ATTENTION, "priority", "id"])
    beads = Bead.objects.filter(project__in=projects, type__in=WORKABLE).annotate(place=place)
    first = beads.filter(place__lte=BEADS_PER_PROJECT).order_by("place", "project_id")
    return Statement.of(first.values_list("pk"))


# -- Beads -----------------------------------------------------------------------------------------


def beads_shown(ids: Sequence[int], *more: str) -> list[Bead]:
    """These beads in this order, with what lines show; who they are was found over narrow rows."""
    found = Bead.objects.only(*SHOWN, *more).in_bulk(ids)
    return [found[pk] for pk in ids if pk in found]


def bead_lines(beads: list[Bead]) -> list[BeadLine]:
    ids = [bead.pk for bead in beads]
    blockers = _open_blockers(ids)
    held = held_beads(beads)
    agents = _agents_on(ids)
    paused = _paused(bead.pk for bead in beads if bead.status == Bead.Status.IN_PROGRESS)
    asked = {
        row.bead_id: row
        for row in Decision.objects.open()
        .filter(bead__in=ids)
        .only("bead_id", "question", "needs_person")
        .order_by("-id")
    }
    spent = {
        row["bead_id"]: row
        for row in Session.objects.filter(bead__in=ids)
        .values("bead_id")
        .annotate(sessions=Count("pk"), turns=Sum("turn_count"), cost=Sum("cost_microusd"))
        .order_by()
    }
    lines = []
    for bead in beads:
        state, words = _bead_state(bead, blockers[bead.pk], asked.get(bead.pk))
        if bead.pk in held and not blockers[bead.pk]:
            state, words = "waiting", held[bead.pk]
        if state == "working" and bead.pk in paused:
            state, words = "waiting", paused[bead.pk]
        agent, used = agents.get(bead.pk), spent.get(bead.pk, {})
        lines.append(
            BeadLine(
                bead=bead,
                state=state,
                words=words,
                agent=agent.name if agent else bead.assigned_to,
                doing=agent.current_action if agent and state == "working" else "",
                sessions=used.get("sessions", 0),
                turns=used.get("turns") or 0,
                cost_microusd=used.get("cost") or 0,
            )
        )
    return lines


def _agents_on(ids: Collection[int]) -> dict[int | None, Agent]:
    """Who works on each bead."""
    agents = Agent.objects.filter(current_bead__in=ids).only("name", "current_action", "current_bead_id")
    return {agent.current_bead_id: agent for agent in agents.order_by("id")}


def _paused(ids: Iterable[int]) -> dict[int | None, str]:
    """Beads whose work is set aside or will be, in words."""
    if not (wanted := list(ids)):
        return {}
    runs = Run.objects.unfinished().filter(bead_id__in=wanted, parent=None, cancel_requested=False)
    aside = runs.filter(Q(status=Run.Status.PAUSED) | Q(pause_requested=True)).order_by("pk")
    return {
        bead_id: "paused" if status == Run.Status.PAUSED else "pauses at its next step"
        for bead_id, status in aside.values_list("bead_id", "status")
    }


def _open_blockers(ids: Collection[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for bead_id, title in (
        Dependency.objects.filter(bead__in=ids, kind=Dependency.Kind.BLOCKS)
        .exclude(blocker__status=Bead.Status.CLOSED)
        .order_by("id")
        .values_list("bead_id", "blocker__title")
    ):
        found[bead_id].append(title)
    return found


def _bead_state(bead: Bead, blockers: list[str], asked: Decision | None) -> tuple[str, str]:
    """One of the six states, and why it is not running or what it does."""
    if asked is not None and bead.status != Bead.Status.CLOSED:
        if asked.needs_person:
            return "person", f"asks you: {asked.question}"
        return "waiting", f"asks the decision maker: {asked.question}"
    state, words = state_of(bead, len(blockers))
    if state == "waiting" and blockers:
        more = f" and {len(blockers) - 1} more" if len(blockers) > 1 else ""
        return state, f"waits for “{blockers[0]}”{more}"
    return state, words


def proofs(lines: list[BeadLine]) -> list[Proof]:
    """What stands behind the beads that were claimed done, newest claim last."""
    ids = [line.bead.pk for line in lines]
    evidence: dict[int, list[Evidence]] = defaultdict(list)
    reviews: dict[int, list[Review]] = defaultdict(list)
    for row in Evidence.objects.filter(bead__in=ids).select_related("claim").defer("output")[:PROOF_ROWS]:
        evidence[row.bead_id].append(row)
    for review in (
        Review.objects.filter(bead__in=ids)
        .select_related("session__agent")
        .defer("session__opening")[:PROOF_ROWS]
    ):
        reviews[review.bead_id].append(review)
    return [
        Proof(line, evidence[line.bead.pk], reviews[line.bead.pk])
        for line in lines
        if evidence[line.bead.pk] or reviews[line.bead.pk]
    ]


def requirement_counts(project: Project) -> dict[str, int]:
    """How many there are, and for how many all work is merged."""
    active = project.requirements.filter(status=Requirement.Status.ACTIVE)
    unmerged = Bead.objects.filter(project=project, merged_commit="")
    served = active.filter(beads__isnull=False).exclude(beads__in=unmerged)
    return {"total": active.count(), "merged": served.values("pk").distinct().count()}


def proof_lines(project: Project, count: int) -> list[BeadLine]:
    """The beads that were claimed last."""
    claimed = Claim.objects.filter(bead__project=project).values("bead_id").annotate(last=Max("pk"))
    newest = [row["bead_id"] for row in claimed.order_by("-last")[:count]]
    return bead_lines(beads_shown(newest, "acceptance"))


def unread_count(user: Any) -> int:
    return int(Notification.objects.for_user(user).filter(status=Notification.Status.UNREAD).count())

"""Everything about one bead: where it stands, why, who worked on it and what proves it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q

from apps.agents.diffs import FileDiff, Sums, files_of
from apps.agents.hub import Hub
from apps.agents.models import Agent, Claim, Message, Session
from apps.agents.places import hub_path
from apps.agents.secrets import secrets_learn
from apps.beads.models import Bead, Comment, Dependency
from apps.core.errors import LoomError
from apps.dashboard.queries import BeadLine, Proof, bead_lines, proofs
from apps.dashboard.queries_events import EventLine, event_line
from apps.decisions.models import Decision
from apps.engine.models import Run
from apps.events.models import Event
from apps.workflows.models import WorkflowExecution
from apps.workflows.taken_work import AT_WORK, commands_for, taker_of, work_of
from apps.workflows.terminal import TELLERS
from apps.workflows.workflow_queries import workflow_of

HISTORY = 60
COMMENTS = 200
TAKERS = 50
DIFF_BYTES = 150_000
TOLD = {*TELLERS, "bead.reopened", "bead.updated", "bead.resumed", "bead.stage"} - {"turn.replied"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """A node of the bead's workflow."""

    name: str
    state: str
    is_current: bool


@dataclass(frozen=True)
class Tie:
    bead: Bead
    state: str


@dataclass(frozen=True)
class Standing:
    line: BeadLine
    waits_for: list[Tie]
    blocks: list[Tie]
    children: list[Tie]
    related: list[Bead]
    way: list[Place]
    workflow: str
    runs: list[Run]


def standing_of(bead: Bead) -> Standing:
    (line,) = bead_lines([bead])
    ties = list(
        Dependency.objects.filter(Q(bead=bead) | Q(blocker=bead))
        .select_related("bead", "blocker")
        .order_by("id")
    )
    blocks = Dependency.Kind.BLOCKS
    execution = (
        WorkflowExecution.objects.filter(bead=bead)
        .select_related("definition", "bead", "project")
        .order_by("-id")
        .first()
    )
    return Standing(
        line=line,
        waits_for=_tied(tie.blocker for tie in ties if tie.kind == blocks and tie.bead_id == bead.pk),
        blocks=_tied(tie.bead for tie in ties if tie.kind == blocks and tie.blocker_id == bead.pk),
        children=_tied(bead.children.order_by("priority", "id")[:100]),
        related=[tie.blocker if tie.bead_id == bead.pk else tie.bead for tie in ties if tie.kind != blocks],
        way=_way(execution, bead),
        workflow=execution.name if execution else "",
        runs=list(Run.objects.filter(bead_id=bead.pk).defer("input", "output").order_by("-pk")[:10]),
    )


def _tied(beads: Iterable[Bead]) -> list[Tie]:
    return [Tie(bead, _state(bead)) for bead in beads]


def _state(bead: Bead) -> str:
    match bead.status:
        case Bead.Status.CLOSED:
            return "done"
        case Bead.Status.IN_PROGRESS:
            return "working"
        case Bead.Status.BLOCKED:
            return "person"
        case Bead.Status.DEFERRED:
            return "waiting"
        case _:
            return "open"


def _way(execution: WorkflowExecution | None, bead: Bead) -> list[Place]:
    if execution is None:
        return []
    graph = workflow_of(execution).graph
    visited = set(execution.history.values_list("node_key", flat=True)[:500])
    is_over = execution.completed_at is not None
    places = []
    for key in graph.nodes:
        is_current = key == execution.current_node and not is_over
        state = "working" if is_current else "done" if key in visited else "open"
        if is_current and bead.status == Bead.Status.BLOCKED:
            state = "person"
        places.append(Place(key, state, is_current))
    return places


def sessions_of(bead: Bead) -> list[Session]:
    rows = bead.sessions.select_related("agent").defer("opening", "actions", "reason_detail")
    return list(rows.order_by("-id")[:50])


def takers_of(bead: Bead) -> list[Agent]:
    """Agents who could begin with an open bead now, by name."""
    if bead.status != Bead.Status.OPEN:
        return []
    free = Agent.objects.filter(project_id=bead.project_id, retired_at=None, status=Agent.Status.IDLE)
    if bead.role:
        free = free.filter(role=bead.role)
    return list(free.order_by("name")[:TAKERS])


@dataclass(frozen=True)
class Taken:
    """How a bead stands to the person: `open` to be taken over, `stopping`, `mine`, or another's."""

    state: str
    who: str = ""
    commands: list[str] = field(default_factory=list)
    has_files: bool = False


@dataclass(frozen=True)
class AtWork:
    """The runs that work on a bead, without those that are parts of others."""

    runs: list[Run]

    @property
    def is_going(self) -> bool:
        """Whether something could be paused."""
        return any(not _is_paused(run) and not run.cancel_requested for run in self.runs)

    @property
    def is_paused(self) -> bool:
        """Whether something could go on."""
        return any(_is_paused(run) for run in self.runs)


def _is_paused(run: Run) -> bool:
    return run.pause_requested or run.status == Run.Status.PAUSED


def at_work_of(bead: Bead) -> AtWork:
    if bead.status not in AT_WORK:
        return AtWork([])
    rows = Run.objects.unfinished().filter(bead_id=bead.pk, parent=None)
    return AtWork(list(rows.only("pk", "status", "pause_requested", "cancel_requested")))


def taken_of(bead: Bead, person: str, at_work: AtWork) -> Taken | None:
    """None where there is nothing to take over."""
    if bead.status not in AT_WORK:
        return None
    stopping = {run.pk: run.cancel_requested for run in at_work.runs}
    if (who := taker_of(bead, stopping)) and any(stopping.values()):
        return Taken("stopping", who)
    if stopping or bead.status == Bead.Status.BLOCKED:
        return None if any(stopping.values()) else Taken("open")
    if bead.assigned_to != person:
        return Taken("theirs", bead.assigned_to)
    return Taken("mine", person, commands_for(bead), work_of(bead) is not None)


def proof_of(bead: Bead) -> Proof | None:
    found = proofs(bead_lines([bead]))
    return found[0] if found else None


def decisions_of(bead: Bead) -> list[Decision]:
    return list(bead.decisions.defer("context").order_by("-id")[:50])


def history_of(bead: Bead) -> list[EventLine]:
    events = Event.objects.filter(bead_id=bead.pk, kind__in=TOLD).order_by("-id")[:HISTORY]
    return [line for event in events if (line := event_line(event, bead.project.name))]


@dataclass(frozen=True)
class Said:
    """A comment, and the letter to the agent that was made of it, if it is meant for one."""

    comment: Comment
    letter: Message | None


def comments_of(bead: Bead) -> list[Said]:
    comments = list(bead.comments.order_by("id")[:COMMENTS])
    sent = Message.objects.filter(bead=bead, origin__startswith="comment:")
    letters = {row.origin: row for row in sent.select_related("delivered_to__agent")} if comments else {}
    return [Said(comment, letters.get(f"comment:{comment.pk}:bead")) for comment in comments]


@dataclass(frozen=True)
class Changes(Sums):
    """A claim, or what was merged, against what it started from."""

    claim: Claim | None
    base: str
    head: str
    files: list[FileDiff]
    trouble: str = ""
    said: dict[tuple[str, str, int], list[Said]] = field(default_factory=dict)


def changes_of(bead: Bead, number: int = 0) -> Changes | None:
    """What the newest claim (or the one with that number) changed; None if nothing was claimed."""
    claims: Any = bead.claims.select_related("session__agent").order_by("-number")
    claim = claims.filter(number=number).first() if number else claims.first()
    if claim is None:
        return None
    hub, base = Hub(hub_path(bead.project_id)), claim.session.base_commit
    try:
        if not base:
            base = next(iter(hub.parents(claim.commit)), "")
        text = hub.diff(base, claim.commit, limit=DIFF_BYTES) if base else ""
        text = secrets_learn(bead.project_id, base, claim.commit).text(text)
    except (LoomError, OSError) as error:
        log.warning("the change of claim %s of %s cannot be read: %s", claim.number, bead.key, error)
        return Changes(claim, base, claim.commit, [], trouble="The repository does not hold its commits.")
    return Changes(claim, base, claim.commit, files_of(text), said=_said_at(bead, claim))


def _said_at(bead: Bead, claim: Claim) -> dict[tuple[str, str, int], list[Said]]:
    """What people say about lines of a claim, by path, side and line."""
    places: dict[tuple[str, str, int], list[Said]] = {}
    for said in comments_of(bead):
        comment = said.comment
        if comment.path and comment.line and comment.claim in {None, claim.number}:
            places.setdefault((comment.path, comment.side, comment.line), []).append(said)
    return places

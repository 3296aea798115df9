"""What the weave is drawn of: sessions, failed checks, waits, reviews and merges of a project or a bead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from apps.agents.loop import STOPPED_REASONS
from apps.agents.models import Claim, Evidence, MergeRequest, Review, Session, Turn
from apps.beads.models import Bead
from apps.dashboard.addresses import address
from apps.dashboard.weave import NARROW, WIDTH, Crossing, Frame, Moment, Picture, Stretch, picture
from apps.decisions.models import Decision
from apps.projects.models import Project

SESSIONS = 90
ROWS = 60
LINES = 30
LANES = 24
SPANS = {
    "15m": ("15 min", timedelta(minutes=15)),
    "1h": ("hour", timedelta(hours=1)),
    "6h": ("6 hours", timedelta(hours=6)),
    "1d": ("day", timedelta(days=1)),
    "1w": ("week", timedelta(weeks=1)),
}
CLAIMED = {Bead.Stage.VERIFYING, Bead.Stage.REVIEWING, Bead.Stage.QUEUED, Bead.Stage.MERGING}
GIVEN_UP = {"dropped", "canceled"}


@dataclass(frozen=True)
class Line:
    """The weave in words, for the table."""

    at: datetime
    who: str
    state: str
    words: str
    address: str


@dataclass(frozen=True)
class Weave:
    picture: Picture
    lines: list[Line]
    span: str
    spans: list[tuple[str, str]]
    is_live: bool


def weave_of(project: Project, span: str = "", bead: Bead | None = None) -> Weave | None:
    """The weave of the span that ends now, or of all there is; None if nobody has worked yet."""
    sessions = _sessions(project, bead)
    newest = list(sessions.order_by("-created_at")[:SESSIONS])[::-1]
    if not newest:
        return None
    frame = _frame(newest, span, WIDTH if bead is None else NARROW)
    shown = [row for row in newest if (row.ended_at or frame.end) >= frame.start]
    stretches = [_session(row) for row in shown]
    lanes = _lanes(shown)
    waits, knots = _waits(project, bead, frame, shown), _knots(project, bead, frame)
    crossings = [*_reviews(project, bead, frame), *_merges(project, bead, frame)]
    drawn = picture(frame, lanes, [*stretches, *waits], knots, crossings)
    return Weave(
        picture=drawn,
        lines=_lines(stretches, waits, knots, crossings),
        span=span if span in SPANS else "all",
        spans=[*((key, words) for key, (words, _) in SPANS.items()), ("all", "all")],
        is_live=any(row.ended_at is None for row in shown),
    )


def _sessions(project: Project, bead: Bead | None) -> Any:
    """Plain rows: there are many, and little is shown of each."""
    rows = Session.objects.filter(project=project)
    rows = rows if bead is None else rows.filter(bead=bead)
    last = Turn.objects.filter(session=OuterRef("pk")).order_by("-number").values("acted_at")[:1]
    return rows.annotate(last_acted_at=Subquery(last)).values_list(
        "pk", "kind", "reason", "created_at", "ended_at", "turn_count", "bead_id", "last_acted_at",
        "agent__name", "bead__key", "bead__title", "bead__stage", named=True,
    )  # fmt: skip


def _frame(sessions: list[Any], span: str, width: int) -> Frame:
    now = timezone.now()
    if span in SPANS:
        return Frame(now - SPANS[span][1], now, width)
    start = sessions[0].created_at
    is_live = any(row.ended_at is None for row in sessions)
    end = now if is_live else max(row.ended_at for row in sessions if row.ended_at)
    margin = max((end - start) * 0.02, timedelta(seconds=1))
    return Frame(start - margin, end + margin, width)


def _lanes(sessions: list[Any]) -> list[str]:
    """Agents in the order they came, those that only review nearest to main."""
    workers = dict.fromkeys(row.agent__name for row in sessions if row.kind != Session.Kind.REVIEW)
    others = dict.fromkeys(row.agent__name for row in sessions if row.agent__name not in workers)
    return [*workers, *others][:LANES]


def _session(row: Any) -> Stretch:
    state, end = _ending(row)
    subject = f"{row.bead__key} {row.bead__title}" if row.bead_id else Session.Kind(row.kind).label
    how = "at work" if row.ended_at is None else row.reason.replace("_", " ") or "ended"
    return Stretch(
        lane=row.agent__name,
        start=row.created_at,
        end=end,
        state=state,
        label=f"{row.agent__name}: {row.kind} {subject}, {row.turn_count} turns, {how}",
        address=address("session", row.pk),
    )


def _ending(row: Any) -> tuple[str, datetime | None]:
    """What became of a session, and when its agent last did something.

    One whose work is claimed stays open until it is merged; its thread goes on as review and merge.
    """
    if row.ended_at is None:
        is_work = row.kind == Session.Kind.WORK and row.bead_id is not None
        is_claimed = is_work and row.bead__stage in CLAIMED and row.last_acted_at
        return ("done", row.last_acted_at) if is_claimed else ("working", None)
    state = ended_state(row.reason)
    return state, row.last_acted_at or row.ended_at if state == "done" else row.ended_at


def ended_state(reason: str) -> str:
    """The state that a session ended in: what stopped it, or gave it up, was not its work being done."""
    if reason in STOPPED_REASONS:
        return "failed"
    return "waiting" if reason in GIVEN_UP else "done"


def _waits(project: Project, bead: Bead | None, frame: Frame, sessions: list[Any]) -> list[Stretch]:
    rows = Decision.objects.filter(project=project).filter(
        Q(decided_at=None) | Q(decided_at__gte=frame.start)
    )
    rows = rows if bead is None else rows.filter(bead=bead)
    by_bead = {row.bead_id: row.agent__name for row in sessions if row.bead_id}
    names = {row.agent__name for row in sessions}
    found = []
    for row in rows.exclude(status=Decision.Status.CANCELED).order_by("-id")[:ROWS]:
        lane = row.requester if row.requester in names else by_bead.get(row.bead_id or 0, "")
        if lane:
            found.append(
                Stretch(
                    lane=lane,
                    start=row.created_at,
                    end=row.decided_at if row.status != Decision.Status.OPEN else None,
                    state="person" if row.needs_person else "waiting",
                    label=f"{lane} waits: {row.question[:100]}",
                    address=address("decision", row.pk),
                    is_wait=True,
                )
            )
    return found


def _of(rows: Any, project: Project, bead: Bead | None, path: str = "bead") -> Any:
    return rows.filter(**{path: bead}) if bead is not None else rows.filter(**{f"{path}__project": project})


def _knots(project: Project, bead: Bead | None, frame: Frame) -> list[Moment]:
    rows = _of(Evidence.objects.filter(passed=False, created_at__gte=frame.start), project, bead)
    rows = rows.select_related("claim__session__agent", "bead").only(
        "check_name", "exit_code", "created_at", "bead__key", "claim__session__agent__name"
    )
    return [
        Moment(
            lane=row.claim.session.agent.name,
            at=row.created_at,
            state="failed",
            label=f"{row.bead.key}: {row.check_name} failed",
            address=f"{address('bead-evidence', row.bead.key)}#evidence-{row.pk}",
        )
        for row in rows.order_by("-id")[:ROWS]
    ]


def _reviews(project: Project, bead: Bead | None, frame: Frame) -> list[Crossing]:
    rows = _of(Review.objects.filter(created_at__gte=frame.start), project, bead)
    rows = rows.select_related("session__agent", "claim__session__agent", "bead").only(
        "verdict", "created_at", "bead__key", "session__created_at", "session__agent__name",
        "claim__created_at", "claim__session__agent__name",
    )  # fmt: skip
    return [
        Crossing(
            lane=row.claim.session.agent.name,
            to=row.session.agent.name,
            start=row.claim.created_at,
            end=max(row.session.created_at, row.claim.created_at),
            state="done" if row.verdict == Review.Verdict.APPROVE else "failed",
            label=f"{row.bead.key}: review by {row.session.agent.name}, {row.get_verdict_display()}",
            address=address("session", row.session_id),
        )
        for row in rows.order_by("-id")[:ROWS]
        if row.claim.session.agent.name != row.session.agent.name
    ]


def _merges(project: Project, bead: Bead | None, frame: Frame) -> list[Crossing]:
    merged = MergeRequest.objects.filter(status=MergeRequest.Status.MERGED, updated_at__gte=frame.start)
    rows = _of(merged, project, bead).select_related("claim__session__agent", "bead")
    rows = rows.only(
        "updated_at", "created_at", "commit", "bead__key", "bead__title", "claim__session__agent__name"
    )
    rows = list(rows.order_by("-id")[:ROWS])
    reviewers = _last_reviewers([row.claim_id for row in rows])
    return [
        Crossing(
            lane=reviewers.get(row.claim_id, row.claim.session.agent.name),
            to="",
            start=row.created_at,
            end=row.updated_at,
            state="done",
            label=f"{row.bead.key} merged: {row.bead.title}",
            address=address("bead-evidence", row.bead.key),
        )
        for row in rows
    ]


def _last_reviewers(claims: list[int]) -> dict[int, str]:
    rows = Claim.objects.filter(pk__in=claims, reviews__isnull=False).order_by("reviews__id")
    return dict(rows.values_list("pk", "reviews__session__agent__name"))


def _lines(
    stretches: list[Stretch], waits: list[Stretch], knots: list[Moment], crossings: list[Crossing]
) -> list[Line]:
    lines = [
        *(Line(row.start, row.lane, row.state, row.label, row.address) for row in [*stretches, *waits]),
        *(Line(row.at, row.lane, row.state, row.label, row.address) for row in knots),
        *(Line(row.end, row.lane, row.state, row.label, row.address) for row in crossings),
    ]
    return sorted(lines, key=lambda line: line.at, reverse=True)[:LINES]

"""What the chief executive looks at: figures, what waits for a word of theirs, and what was asked of Loom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, Sum
from django.utils import timezone

from apps.accounts.models import Organization
from apps.accounts.permissions import organizations_with
from apps.agents.models import Agent
from apps.beads.models import WORKABLE, Bead
from apps.dashboard.queries import (
    BeadLine,
    ProjectCard,
    bead_lines,
    project_cards,
    projects_of,
)
from apps.dashboard.queries_questions import Question, questions_of
from apps.decisions.models import Decision
from apps.engine.models import Run
from apps.pairing.models import Exchange, Piece
from apps.pairing.repl import PERMISSION
from apps.pairing.repl import questions_of as asked_by
from apps.providers.models import Call

ASKED, BLOCKED = 8, 12
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Figures:
    """Of the last seven days, and of the seven before them where `before_` stands."""

    merged: int
    before_merged: int
    cost_microusd: int
    before_cost_microusd: int
    failed_runs: int
    ended_runs: int
    open_beads: int
    at_work: int
    agents: int


@dataclass(frozen=True)
class Answer:
    exchange: Exchange
    text: str

    @property
    def is_open(self) -> bool:
        return self.exchange.status == Exchange.Status.ANSWERING


def figures(user: Any) -> Figures:
    now = timezone.now()
    week, before = Q(closed_at__gte=now - WEEK), Q(closed_at__gte=now - 2 * WEEK, closed_at__lt=now - WEEK)
    is_merged = Q(status=Bead.Status.CLOSED) & ~Q(merged_commit="")
    beads = Bead.objects.for_user(user).aggregate(
        merged=Count("pk", filter=is_merged & week),
        before=Count("pk", filter=is_merged & before),
        open=Count("pk", filter=~Q(status=Bead.Status.CLOSED) & Q(type__in=WORKABLE)),
    )
    runs = Run.objects.for_user(user).filter(ended_at__gte=now - WEEK)
    ended = runs.aggregate(all=Count("pk"), failed=Count("pk", filter=Q(status=Run.Status.FAILED)))
    team = Agent.objects.for_user(user).filter(retired_at=None)
    agents = team.aggregate(all=Count("pk"), busy=Count("pk", filter=Q(status=Agent.Status.WORKING)))
    return Figures(
        merged=beads["merged"],
        before_merged=beads["before"],
        cost_microusd=_cost(user, now - WEEK, now),
        before_cost_microusd=_cost(user, now - 2 * WEEK, now - WEEK),
        failed_runs=ended["failed"],
        ended_runs=ended["all"],
        open_beads=beads["open"],
        at_work=agents["busy"],
        agents=agents["all"],
    )


def _cost(user: Any, since: datetime, until: datetime) -> int:
    calls = Call.objects.for_user(user).filter(created_at__gte=since, created_at__lt=until, nominal=False)
    return calls.aggregate(cost=Sum("cost_microusd"))["cost"] or 0


def projects(user: Any) -> list[ProjectCard]:
    return project_cards(projects_of(user))


def before_the_ceo(user: Any) -> list[Question]:
    """Beads that were put before the CEO and wait for a word."""
    return [row for row in questions_of(user) if row.decision.kind == Decision.Kind.ESCALATION]


def stuck(user: Any) -> list[BeadLine]:
    """Blocked beads that nobody has put before the CEO yet."""
    asked = Decision.objects.open().filter(kind=Decision.Kind.ESCALATION, bead__isnull=False)
    beads = Bead.objects.for_user(user).filter(status=Bead.Status.BLOCKED)
    beads = beads.exclude(pk__in=asked.values("bead")).select_related("project")
    return bead_lines(
        list(beads.defer("description", "draft", "project__prd").order_by("priority", "id")[:BLOCKED])
    )


def asks_in(user: Any) -> list[Organization]:
    """Where the person may ask Loom."""
    rows = Organization.objects.order_by("name")
    if not user.is_superuser:
        rows = rows.filter(pk__in=organizations_with(user, PERMISSION))
    return list(rows[:100])


def newest_answer(user: Any) -> str:
    """Changes when something is asked, and when it is answered: what comes between is streamed."""
    newest = asked_by(user).values_list("pk", "status").first()
    return "-".join(map(str, newest or ()))


def texts_coming(exchanges: Iterable[int]) -> dict[int, str]:
    """Of answers that are on their way, what there is of them."""
    texts = dict.fromkeys(exchanges, "")
    pieces = Piece.objects.filter(exchange__in=list(texts)).order_by("exchange", "seq")
    for exchange_id, kind, data in pieces.values_list("exchange_id", "kind", "data"):
        if kind == Piece.Kind.RESET:
            texts[exchange_id] = ""
        elif kind == Piece.Kind.CHUNK:
            texts[exchange_id] += str(data.get("text", ""))
    return texts


def answers(user: Any) -> list[Answer]:
    """What the person asked last; of an answer that is on its way, what there is of it."""
    found = list(asked_by(user).select_related("project").defer("request", "project__prd")[:ASKED])
    texts = texts_coming(row.pk for row in found if row.status == Exchange.Status.ANSWERING)
    return [Answer(row, texts.get(row.pk, row.answer)) for row in found]

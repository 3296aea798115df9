"""What models cost over time, by project, agent and model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet
from django.utils import timezone

from apps.analytics.ledger import Figures, Group, grouped, totals
from apps.dashboard.templatetags.loom import money, seconds, thousands
from apps.engine.models import Run
from apps.projects.models import Project
from apps.providers.models import Call

# Name, length, and what one slot of the charts is.
SPANS = {
    "1d": ("day", timedelta(days=1), "hour"),
    "1w": ("week", timedelta(weeks=1), "day"),
    "30d": ("30 days", timedelta(days=30), "day"),
}
TOP = 20
GROUPS = ("project", "agent", "model")  # what the tables below the charts are about
WIDE, HIGH, LEFT, TALLEST = 480, 120, 62, 108
MOST_LABELS = 6


@dataclass(frozen=True)
class Slot:
    at: datetime
    figures: Figures


@dataclass(frozen=True)
class Bar:
    at: datetime
    said: str
    x: float
    y: float
    width: float
    height: float
    label_x: float
    is_labelled: bool


@dataclass(frozen=True)
class Chart:
    key: str
    title: str
    top: str
    bars: list[Bar]
    zero: str


@dataclass(frozen=True)
class Cost:
    slots: list[Slot]
    charts: list[Chart]
    total: Figures
    runs: dict[str, int]
    shares: list[tuple[str, str, list[Group]]]
    is_nominal: bool

    @property
    def success(self) -> int:
        """Per cent of the calls that were answered."""
        return round(100 * (1 - self.total.error_rate))


def span_of(asked: str) -> str:
    return asked if asked in SPANS else "1w"


def calls_of(user: Any, span: str, project: Project | None) -> QuerySet[Call]:
    rows = Call.objects.for_user(user).filter(created_at__gte=timezone.now() - SPANS[span][1])
    return rows.filter(project_id=project.pk) if project else rows


def cost_of(user: Any, span: str, project: Project | None = None) -> Cost:
    rows = calls_of(user, span, project)
    slots = slots_of(rows, span)
    whole, _, _ = totals(rows)
    runs = Run.objects.for_user(user).filter(created_at__gte=timezone.now() - SPANS[span][1])
    runs = runs.filter(project_id=project.pk) if project else runs
    return Cost(
        slots=slots,
        charts=list(_charts(slots)),
        total=whole,
        runs=dict(runs.order_by().values_list("status").annotate(count=Count("pk"))),
        shares=[(by, f"By {by}", grouped(rows, by, TOP)) for by in GROUPS],
        is_nominal=bool(whole.requests) and not rows.filter(nominal=False).exists(),
    )


def slots_of(rows: QuerySet[Call], span: str) -> list[Slot]:
    """Every hour or day of the span, also those in which nothing happened."""
    _, length, unit = SPANS[span]
    found = {group.key: group.figures for group in grouped(rows, unit)}
    step = timedelta(hours=1) if unit == "hour" else timedelta(days=1)
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    last = now if unit == "hour" else now.replace(hour=0)
    moments = [last - step * number for number in range(int(length / step), -1, -1)]
    return [Slot(at, found.get(at.isoformat().replace("+00:00", "Z"), Figures())) for at in moments]


def _charts(slots: list[Slot]) -> Iterator[Chart]:
    told: tuple[tuple[str, str, Callable[[Figures], int], Callable[[int], str]], ...] = (
        ("spent", "Spent over time", lambda one: one.cost, money),
        ("tokens", "Tokens over time", lambda one: one.tokens, thousands),
        ("latency", "Mean latency over time", lambda one: round(one.latency_ms), seconds),
        ("failed", "Failed calls over time", lambda one: one.failed, thousands),
    )
    for key, title, read, words in told:
        values = [read(slot.figures) for slot in slots]
        top = max(values, default=0)
        yield Chart(key, title, words(top), _bars(slots, values, top, words), words(0))


def _bars(slots: list[Slot], values: list[int], top: int, words: Callable[[int], str]) -> list[Bar]:
    if not top:
        return []
    step = (WIDE - LEFT) / len(slots)
    width = min(step * 0.72, 34)
    every = -(-len(slots) // MOST_LABELS)
    bars = []
    for number, (slot, value) in enumerate(zip(slots, values, strict=True)):
        height = max(1.5, value / top * TALLEST) if value else 0.0
        middle = LEFT + (number + 0.5) * step
        bars.append(
            Bar(
                slot.at, words(value), round(middle - width / 2, 1), round(HIGH - height, 1),
                round(width, 1), round(height, 1), round(middle, 1), number % every == 0,
            )
        )  # fmt: skip
    return bars

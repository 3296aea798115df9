"""Figures of the whole installation for Prometheus, in its text format."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Sum
from django.utils import timezone

from apps.agents.models import Agent, MergeRequest, Session
from apps.analytics.ledger import MICRO
from apps.beads.models import Bead
from apps.core.version import version
from apps.decisions.models import Decision
from apps.engine.models import Run
from apps.events.models import Event
from apps.projects.models import Project
from apps.providers.models import Budget, Call, Provider
from apps.providers.totals import totals_read
from apps.workflows.system_api import ACTIVE, system_status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
GAUGE, COUNTER = "gauge", "counter"
Sample = tuple[dict[str, str], float]
Counts = dict[str, int]


def _ended(model: Any, *live: str) -> tuple[str, ...]:
    return tuple(status for status in model.Status.values if status not in live)


KEEP_SECONDS = 60.0  # how old the figure of what has ended may be

_kept: dict[str, tuple[float, Counts]] = {}


@dataclass(frozen=True)
class Statuses:
    """Rows by status. Those that `ended` are many and change seldom: a process counts them once a minute."""

    metric: str
    words: str
    rows: Any
    ended: tuple[str, ...] = ()

    def counts(self) -> Counts:
        statuses = set(self.rows.model.Status.values) - set(self.ended)
        found = _counted(self.rows.filter(status__in=statuses))
        return found | self._kept() if self.ended else found

    def _kept(self) -> Counts:
        kept, now = _kept.get(self.metric), time.monotonic()
        if kept is None or now - kept[0] >= KEEP_SECONDS:
            kept = _kept[self.metric] = now, _counted(self.rows.filter(status__in=self.ended))
        return kept[1]


def _counted(rows: Any) -> Counts:
    return dict(rows.order_by().values_list("status").annotate(count=Count("pk")))


STATUSES = (
    Statuses("loom_runs", "Durable runs.", Run.objects, _ended(Run, *Run.UNFINISHED)),
    Statuses("loom_beads", "Beads.", Bead.objects, ("closed",)),
    Statuses("loom_agents", "Agents.", Agent.objects),
    Statuses("loom_sessions", "Sessions.", Session.objects, ("ended",)),
    Statuses("loom_projects", "Projects.", Project.objects),
    Statuses("loom_decisions", "Decisions.", Decision.objects, _ended(Decision, "open")),
    Statuses(
        "loom_merge_requests", "Places in merge queues.", MergeRequest.objects,
        _ended(MergeRequest, "queued", "merging"),
    ),
    Statuses("loom_providers", "Providers that are switched on.", Provider.objects.filter(enabled=True)),
)  # fmt: skip

ENDED_BADLY = {Call.Status.FAILED.value, Call.Status.LOST.value}
# Of each provider and model: metric, words, figure, what it is divided by.
MODELS = (
    ("loom_model_calls_total", "Calls to models.", "calls", 1),
    ("loom_model_tokens_in_total", "Tokens sent to models.", "prompt_tokens", 1),
    ("loom_model_tokens_out_total", "Tokens that models wrote.", "completion_tokens", 1),
    ("loom_model_tokens_cached_total", "Sent tokens that providers had cached.", "cached_tokens", 1),
    ("loom_model_cost_usd_total", "What calls cost.", "cost_microusd", MICRO),
    ("loom_model_failures_total", "Calls that ended badly.", "failed", 1),
    ("loom_model_seconds_total", "Time in answered calls.", "waited", 1000),
)


def exposition() -> str:
    return "".join(line + "\n" for line in _lines(timezone.now()))


def _lines(now: datetime) -> Iterator[str]:
    yield from metric("loom_info", GAUGE, "The version that runs.", [({"version": version()}, 1)])
    active = system_status(now)["state"] == ACTIVE
    yield from metric("loom_dispatch_active", GAUGE, "1: ready work is taken up.", [({}, active)])
    for one in STATUSES:
        found: list[Sample] = [({"status": of}, number) for of, number in sorted(one.counts().items())]
        of = "By status; what has ended, as of the last minute." if one.ended else "By status."
        yield from metric(one.metric, GAUGE, f"{one.words} {of}", found)
    yield from _waiting(now)
    yield from _models()
    yield from _budgets()


def _waiting(now: datetime) -> Iterator[str]:
    due = Run.objects.filter(status=Run.Status.READY).order_by("updated_at")
    oldest = due.values_list("updated_at", flat=True).first()
    waited = (now - oldest).total_seconds() if oldest else 0.0
    ready = Bead.objects.ready().exclude(project__status=Project.Status.CLOSED).count()
    left = Event.objects.undelivered().count()
    for name, words, value in (
        ("loom_queue_oldest_seconds", "How long the oldest run that can go on waits for a worker.", waited),
        ("loom_beads_ready", "Beads that wait for an agent.", ready),
        ("loom_events_undelivered", "Events whose handlers have not run yet.", left),
    ):
        yield from metric(name, GAUGE, words, [({}, value)])


def _models() -> Iterator[str]:
    """From totals: the ledger only grows, and this is asked for every few seconds."""
    by_status: Counter[str] = Counter()
    by_model: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for (provider, model, status), sums in totals_read().items():
        by_status[status] += sums["calls"]
        mine = by_model[provider, model]
        mine.update(sums)
        mine["failed"] += sums["calls"] if status in ENDED_BADLY else 0
        mine["waited"] += sums["latency_ms"] if status == Call.Status.SETTLED else 0
    counts: list[Sample] = [({"status": status}, by_status[status]) for status in sorted(by_status)]
    yield from metric("loom_model_calls", GAUGE, "Calls to models. By status.", counts)
    for name, words, figure, unit in MODELS:
        found = [
            ({"provider": provider, "model": model}, by_model[provider, model][figure] / unit)
            for provider, model in sorted(by_model)
        ]
        yield from metric(name, COUNTER, words, found)


def _budgets() -> Iterator[str]:
    rows = Budget.objects.filter(scope=Budget.Scope.ORGANIZATION).order_by("organization__slug")
    sums = rows.values_list("organization__slug").annotate(
        spent=Sum("spent_microusd"), reserved=Sum("reserved_microusd"), limit=Sum("limit_microusd")
    )
    found = [({"organization": slug}, spent, reserved, limit) for slug, spent, reserved, limit in sums]
    spent = [(labels, spent / MICRO) for labels, spent, _, _ in found]
    reserved = [(labels, reserved / MICRO) for labels, _, reserved, _ in found]
    limits = [(labels, limit / MICRO) for labels, _, _, limit in found if limit is not None]
    yield from metric("loom_budget_spent_usd", GAUGE, "Spent of an organization's budget.", spent)
    yield from metric("loom_budget_reserved_usd", GAUGE, "Set aside for calls under way.", reserved)
    yield from metric("loom_budget_limit_usd", GAUGE, "Its limit, where there is one.", limits)


def metric(name: str, kind: str, words: str, samples: list[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {words}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{'{' + told + '}' if told else ''} {float(value):.12g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

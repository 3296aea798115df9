"""The timeline of a run: what it did, waited for, was told and has started, in the order it happened."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.utils import timezone

from apps.engine.errors import Failure
from apps.engine.models import JOIN, Run, Step
from apps.events.models import SUBJECT_CHARS, Event

STEPS = 200  # that one look shows
KINDS = {"wait:timer:": "sleep", "wait:": "wait", JOIN: "join", "start:": "start"}

Entry = dict[str, Any]


def run_timeline(run: Run, *, limit: int = STEPS, before: int | None = None) -> dict[str, Any]:
    """The newest steps (of those with numbers below `before`) and all else that happened since the first.

    `older` is what to give as `before` to see the steps that came earlier, None if there are none.
    """
    rows = run.steps.filter(seq__lt=before) if before is not None else run.steps.all()
    steps = list(rows.order_by("-seq")[: limit + 1])
    older = steps[limit - 1].seq if len(steps) > limit else None
    steps = steps[:limit]
    since = steps[-1].started_at if older is not None else None
    until = run.steps.filter(seq=before).values_list("started_at", flat=True).first() if before else None
    others = [*_signals(run), *_children(run), *_events(run)]
    entries = [
        *(_step(row) for row in steps),
        *(one for one in others if (not since or one["at"] >= since) and (not until or one["at"] < until)),
    ]
    return {
        "run": _summary(run),
        "entries": sorted(entries, key=lambda entry: (entry["at"], entry.get("seq", 0))),
        "older": older,
    }


def _summary(run: Run) -> Entry:
    names = (
        "id key flow version generation status error waits_for wake_at attempts cancel_requested "
        "pause_requested parent_id project_id bead_id created_at ended_at"
    )
    return {name: getattr(run, name) for name in names.split()} | _took(run.created_at, run.ended_at)


def _took(start: datetime, end: datetime | None) -> Entry:
    return {"duration_ms": round(((end or timezone.now()) - start).total_seconds() * 1000)}


def _step(row: Step) -> Entry:
    kind = next((kind for begin, kind in KINDS.items() if row.name.startswith(begin)), "step")
    policy, failures = row.policy or {}, row.failures or []
    return {
        "type": "step",
        "kind": kind,
        "seq": row.seq,
        "name": row.name,
        "at": row.started_at,
        "ended_at": row.ended_at,
        **_took(row.started_at, row.ended_at),
        "status": row.status,
        "attempt": row.attempt,
        "attempts": policy.get("attempts", row.attempt),
        "policy": policy or None,
        "failures": failures,
        "wake_at": row.wake_at,
        "output": row.output,
        "error": asdict(Failure.load(row.error)) if row.error else None,
    }


def _signals(run: Run) -> list[Entry]:
    return [
        {
            "type": "signal",
            "name": row.name,
            "at": row.created_at,
            "data": row.data,
            "taken_at": row.consumed_at,
            "taken_by": row.consumed_seq,
        }
        for row in _newest(run.signals.all())
    ]


def _children(run: Run) -> list[Entry]:
    return [
        {
            "type": "child",
            "id": row.pk,
            "name": row.key,
            "flow": row.flow,
            "at": row.created_at,
            "ended_at": row.ended_at,
            **_took(row.created_at, row.ended_at),
            "status": row.status,
            "error": row.error,
        }
        for row in _newest(run.children.defer("input", "output"))
    ]


def _events(run: Run) -> list[Entry]:
    subject = f"run:{run.key}"[:SUBJECT_CHARS]
    rows = Event.objects.filter(project_id=run.project_id, bead_id=run.bead_id, subject=subject)
    return [
        {"type": "event", "name": row.kind, "at": row.created_at, "actor": row.actor, "data": row.data}
        for row in _newest(rows)
    ]


def _newest(rows: Any) -> list[Any]:
    return list(rows.order_by("-pk")[: 5 * STEPS])

"""Reading runs without disturbing them: where one stands, and what it has been through."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apps.core.errors import NotFound
from apps.engine.errors import Failure
from apps.engine.models import Run, Step
from apps.engine.replay import run_ask
from apps.events.models import SUBJECT_CHARS, Event


def _run(run_id: int) -> Run:
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        raise NotFound(f"There is no run {run_id}.")
    return run


def run_query(*, run_id: int, name: str = "") -> Any:
    """Where a run stands, as a dict; or, with a name, what its flow answers to that question."""
    run = _run(run_id)
    if name:
        return run_ask(run, name)
    last = run.steps.order_by("-seq").first()
    return {
        "key": run.key,
        "flow": run.flow,
        "status": run.status,
        "step": last.name if last else "",
        "step_status": last.status if last else "",
        "attempt": last.attempt if last else 0,
        "waits_for": run.waits_for,
        "wake_at": run.wake_at.isoformat() if run.wake_at else None,
        "error": run.error,
    }


def run_history(*, run_id: int) -> list[dict[str, Any]]:
    """What a run has been through, oldest first: its steps, the signals it was sent, and its events."""
    run = _run(run_id)
    events = Event.objects.filter(
        project_id=run.project_id, bead_id=run.bead_id, subject=f"run:{run.key}"[:SUBJECT_CHARS]
    )
    entries = [
        *(_step_entry(step) for step in run.steps.all()),
        *(_entry("signal", row.created_at, row.name, row.data) for row in run.signals.all()),
        *(_entry("event", row.created_at, row.kind, row.data) for row in events.order_by("id")),
    ]
    return sorted(entries, key=lambda entry: entry["at"])


def _entry(kind: str, at: datetime, name: str, data: Any) -> dict[str, Any]:
    return {"at": at, "kind": kind, "name": name, "data": data}


def _step_entry(step: Step) -> dict[str, Any]:
    return {
        **_entry("step", step.started_at, step.name, step.output),
        "seq": step.seq,
        "status": step.status,
        "attempt": step.attempt,
        "ended_at": step.ended_at,
        "error": Failure.load(step.error).message if step.error else "",
    }

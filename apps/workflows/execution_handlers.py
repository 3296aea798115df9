"""Keeps what is shown of a walk in step with its bead and its run."""

from __future__ import annotations

from apps.beads.models import Bead
from apps.engine.models import Run
from apps.events.bus import on
from apps.events.models import Event
from apps.workflows.execution_services import execution_show


@on("bead.blocked", "bead.resumed", "bead.reopened", "run.failed", "run.retried")
def show_where_it_stands(event: Event) -> None:
    """By what the rows say now, not by the event, which may come late or twice."""
    key = event.subject.removeprefix("run:")
    runs = Run.objects.filter(bead_id=event.bead_id) if event.bead_id else Run.objects.filter(key=key)
    run = runs.filter(flow__in=("bead.work", "prd.weave")).order_by("-pk").first()
    if run is None:
        return
    bead = Bead.objects.filter(pk=event.bead_id).first() if event.bead_id else None
    waits = bead is not None and bead.status == Bead.Status.BLOCKED
    execution_show(run_id=run.pk, is_blocked=waits or run.status == Run.Status.FAILED)

"""Reactions to events: a failed run asks a person, and an answer reaches everybody who waits for it."""

from __future__ import annotations

from apps.agents.troubles import Report, trouble_report, trouble_settle
from apps.beads.models import Bead
from apps.engine.models import Run
from apps.events.bus import on
from apps.events.models import Event


@on("run.failed")
def ask_about_failed_run(event: Event) -> None:
    """A fault of the platform must not look like work: the bead waits for a person, who is asked."""
    key = event.subject.removeprefix("run:")
    run = Run.objects.filter(key=key, bead_id=event.bead_id, status=Run.Status.FAILED).first()
    bead = Bead.objects.select_related("project").filter(pk=event.bead_id).first() if event.bead_id else None
    if run is None or bead is None or run.parent_id is not None or bead.status == Bead.Status.CLOSED:
        return
    trouble_report(
        Report(
            project=bead.project,
            text=f"Its run failed: {event.data['error']}",
            run_id=run.pk,
            origin=f"run.failed:{event.pk}",
            bead=bead,
            is_dead=True,
        )
    )


@on("decision.resolved", "decision.canceled", "decision.expired")
def pass_answer_on(event: Event) -> None:
    decision_id = event.subject.removeprefix("decision:")
    if decision_id.isdecimal():
        trouble_settle(decision_id=int(decision_id))

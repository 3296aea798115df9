"""Waiting for delegated work: a run that ends with the bead, joined by the session that delegated it."""

from __future__ import annotations

from django.conf import settings

from apps.agents.models import Session
from apps.beads.models import Bead
from apps.core.errors import Conflict
from apps.engine.models import Run
from apps.engine.services import run_start

DELEGATE_FLOW = "language.delegate"  # of the layer above
DELEGATION_S = 4 * 3600.0  # the longest that a session waits; the work goes on after that


def delegation_check(session: Session) -> None:
    """Conflict if those who wait would take every place of those they wait for."""
    project = session.project
    waiting = Run.objects.unfinished().filter(flow=DELEGATE_FLOW, project_id=project.pk, parent__isnull=False)
    if waiting.count() + 1 >= min(project.max_sessions, settings.LOOM_MAX_SESSIONS):
        raise Conflict(
            "Nobody would be free to do it while you wait.", hint="Delegate without waiting, and go on."
        )


def delegation_await(bead: Bead, session: Session, run_id: int | None) -> int:
    """The run that the session joins; it tells its parent when the bead is closed, or time is up."""
    run = run_start(
        flow=DELEGATE_FLOW,
        key=f"delegation:{bead.pk}",
        input={"bead_id": bead.pk, "seconds": DELEGATION_S, "by": session.agent.name},
        organization_id=session.project.organization_id,
        project_id=session.project_id,
        parent=Run.objects.filter(pk=run_id).first() if run_id else None,
    )
    return run.pk

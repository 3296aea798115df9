"""Telling what happened to a run, in the transaction in which it happens."""

from __future__ import annotations

from typing import Any

from apps.engine.models import Run
from apps.events.bus import emit


def tell(run: Run, kind: str, *, actor: str = "", **data: Any) -> None:
    emit(
        kind,
        organization_id=run.organization_id,
        project_id=run.project_id,
        bead_id=run.bead_id,
        subject=f"run:{run.key}",
        actor=actor,
        flow=run.flow,
        **data,
    )

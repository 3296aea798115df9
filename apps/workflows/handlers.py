"""Reactions to events: work becomes ready, a place becomes free, everything is done."""

from __future__ import annotations

from apps.events.bus import on, on_all
from apps.events.models import Event
from apps.workflows.dispatch import dispatch
from apps.workflows.prd_flow import finished_tell


@on_all("bead.ready")
def start_ready(events: list[Event]) -> None:
    for project_id in {event.project_id for event in events if event.project_id}:
        dispatch(project_id)


@on("bead.closed", "bead.blocked", "bead.reopened")
def fill_free_place(event: Event) -> None:
    if event.project_id:
        dispatch(event.project_id)
        finished_tell(event.project_id)

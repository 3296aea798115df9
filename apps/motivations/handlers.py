"""What motivations hear: events become pending triggers, and perpetual projects get their set."""

from __future__ import annotations

from typing import Any

from apps.beads.models import Bead
from apps.events.bus import on, on_all
from apps.events.models import Event
from apps.motivations.clocks import clock_sync
from apps.motivations.conditions import CONDITIONS, HEARD, Heard, conditions_of
from apps.motivations.defaults import defaults_register
from apps.motivations.models import Motivation
from apps.motivations.services import trigger_add
from apps.projects.models import Project


@on_all(*HEARD)
def hear(events: list[Event]) -> None:
    """Told twice, an event counts once."""
    conditions = {name for event in events for name in conditions_of(event.kind)}
    organizations = {event.organization_id for event in events if event.organization_id}
    rows = Motivation.objects.active().filter(condition__in=conditions, organization_id__in=organizations)
    motivations = list(rows.only("id", "condition", "parameters", "organization_id", "project_id"))
    if not motivations:
        return
    beads = Bead.objects.in_bulk({event.bead_id for event in events if event.bead_id})
    for event in events:
        for motivation in motivations:
            if _concerns(motivation, event, beads):
                trigger_add(
                    motivation_id=motivation.pk, cause="event", key=f"event:{event.pk}", data=_told(event)
                )


def _concerns(motivation: Motivation, event: Event, beads: dict[int, Bead]) -> bool:
    condition = CONDITIONS[motivation.condition]
    if event.kind not in condition.events or motivation.organization_id != event.organization_id:
        return False
    if motivation.project_id is not None and motivation.project_id != event.project_id:
        return False
    heard = Heard(event.data, beads.get(event.bead_id or 0))
    return condition.hears(heard, motivation.parameters)


def _told(event: Event) -> dict[str, Any]:
    return {"event": event.kind, "project_id": event.project_id, "about": event.data}


@on("project.created", "project.updated")
def perpetual_motivate(event: Event) -> None:
    """A perpetual project stays alive through its motivations."""
    project = Project.objects.filter(pk=event.project_id or 0, is_perpetual=True).defer("prd").first()
    if project is not None:
        defaults_register(project=project)


@on("project.closed", "project.reopened")
def clocks_switch(event: Event) -> None:
    rows = Motivation.objects.filter(project_id=event.project_id or 0).exclude(clock=None)
    for motivation in rows.select_related("project"):
        clock_sync(motivation)

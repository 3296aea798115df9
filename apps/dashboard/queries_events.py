"""Events as lines in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apps.dashboard.queries import PHASES
from apps.events.models import Event
from apps.projects.models import Project
from apps.workflows.terminal import SHAPES, TELLERS, say

EVENTS = 18

# The beads themselves stand beside the events, and replies are too many.
TOLD = set(TELLERS) - {"bead.created", "turn.replied"} | {"project.synced"}
STATE_OF_SHAPE = {shape: state for state, shape in SHAPES.items()}


@dataclass(frozen=True)
class EventLine:
    event: Event
    state: str
    text: str
    project: str


def event_lines(user: Any, project: Project | None = None) -> list[EventLine]:
    """The last events worth telling, newest first."""
    events = Event.objects.for_user(user).filter(kind__in=TOLD)
    if project is not None:
        events = events.filter(project_id=project.pk)
    newest = list(events.order_by("-id")[:EVENTS])
    names = dict(
        Project.objects.filter(pk__in={event.project_id for event in newest}).values_list("pk", "name")
    )
    named = ((event, names.get(event.project_id or 0, "")) for event in newest)
    return [line for event, name in named if (line := event_line(event, name))]


def event_line(event: Event, project: str) -> EventLine | None:
    """The event in words; None for those too small to tell."""
    text = say(event) or _plainly(event)
    if not text:
        return None
    state = STATE_OF_SHAPE.get(text[0], "waiting")
    told = text.lstrip("".join(SHAPES.values()) + "─ ")
    return EventLine(event, state, PHASES.get(told, told), project)


def _plainly(event: Event) -> str:
    by = f" by {event.actor}" if event.actor else ""
    match event.kind:
        case "bead.reopened":
            return f"○ reopened{by}: {event.data.get('reason', '')}"
        case "bead.resumed":
            return f"◔ goes on{by}"
        case "bead.updated":
            return f"○ {', '.join(event.data.get('fields', []))} changed{by}"
        case "bead.stage":
            return f"◔ {event.data.get('stage', '')}"
        case "project.synced":
            return f"✔ repository read: its branch is at {event.data.get('commit', '')[:7]}"
        case _:
            return ""

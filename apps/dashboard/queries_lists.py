"""Lists across projects: decisions, activity."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Page, Paginator

from apps.agents.models import Session
from apps.beads.models import Bead
from apps.dashboard.queries_events import EventLine, event_line
from apps.decisions.models import Decision
from apps.events.models import Event
from apps.pairing.models import Exchange
from apps.projects.models import Project
from apps.workflows.terminal import TELLERS

PER_PAGE = 50
TOLD = {*TELLERS, "bead.reopened", "bead.resumed"} - {"turn.replied"}
ABOUT = {
    "plans": ("Plans", ("plan.", "weave.", "requirements.")),
    "beads": ("Beads", ("bead.",)),
    "proof": ("Claims and checks", ("claim.", "evidence.")),
    "reviews": ("Reviews", ("review.",)),
    "merges": ("Merges", ("merge.",)),
    "decisions": ("Decisions", ("decision.",)),
}


def decided(user: Any, page: str | None) -> Page[Decision]:
    rows = Decision.objects.for_user(user).exclude(status=Decision.Status.OPEN)
    rows = rows.select_related("project", "bead").defer("context", "project__prd")
    return Paginator(rows.order_by("-decided_at", "-id"), PER_PAGE).get_page(page)


def events_page(
    user: Any, project: Project | None, about: str, page: str | None
) -> tuple[Page[Any], list[tuple[EventLine, Bead | None]]]:
    """What happened, with the bead it happened to."""
    prefixes = ABOUT[about][1] if about in ABOUT else ()
    kinds = {kind for kind in TOLD if kind.startswith(prefixes)} if prefixes else TOLD
    events = Event.objects.for_user(user).filter(kind__in=kinds)
    if project is not None:
        events = events.filter(project_id=project.pk)
    shown = Paginator(events.order_by("-id"), 2 * PER_PAGE).get_page(page)
    names = dict(
        Project.objects.filter(pk__in={event.project_id for event in shown}).values_list("pk", "name")
    )
    beads = beads_by_id({event.bead_id for event in shown})
    lines = [
        (event_line(event, names.get(event.project_id or 0, "")), beads.get(event.bead_id or 0))
        for event in shown
    ]
    return shown, [(line, bead) for line, bead in lines if line]


def sessions_page(
    user: Any, project: Project | None, kind: str, status: str, page: str | None
) -> tuple[Page[Any], dict[int, str]]:
    """Sessions, newest first; and what a person first said, of those in which people talk with agents."""
    rows = Session.objects.for_user(user).select_related("project", "bead", "agent")
    rows = rows.defer("opening", "actions", "lessons", "project__prd", "bead__description")
    if project is not None:
        rows = rows.filter(project=project)
    if kind in Session.Kind.values:
        rows = rows.filter(kind=kind)
    if status in Session.Status.values:
        rows = rows.filter(status=status)
    shown = Paginator(rows.order_by("-id"), PER_PAGE).get_page(page)
    said = Exchange.objects.filter(session__in=list(shown)).order_by("-id").values_list("session_id", "text")
    return shown, {session_id: text[:200] for session_id, text in said if session_id}


def beads_by_id(ids: set[int | None]) -> dict[int, Bead]:
    rows = Bead.objects.filter(pk__in=[pk for pk in ids if pk]).only("key", "title")
    return {row.pk: row for row in rows}

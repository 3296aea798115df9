"""Reactions to events: what a project preferred goes with it."""

from __future__ import annotations

from apps.events.bus import on
from apps.events.models import Event
from apps.providers.models import Preference
from apps.providers.pool import forget


@on("project.deleted")
def preferences_forget(event: Event) -> None:
    if event.project_id is not None:
        Preference.objects.filter(project_id=event.project_id).delete()
    forget()

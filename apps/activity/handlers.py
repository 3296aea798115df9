"""Reactions to events: whom they concern is told."""

from __future__ import annotations

from apps.activity.rules import RULES
from apps.activity.services import notifications_create
from apps.events.bus import on
from apps.events.models import Event


@on(*RULES)
def notify(event: Event) -> None:
    notifications_create(event=event)

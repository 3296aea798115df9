"""The tick: acts on pending triggers and on what it senses, a few at a time; the rest waits for the next."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.engine.errors import is_outage
from apps.events.bus import emit
from apps.motivations.conditions import SENSED
from apps.motivations.firing import KEY_CHARS, pending_fire, sensed_fire
from apps.motivations.models import Motivation, MotivationTrigger
from apps.motivations.sensing import Sensed, sense

KEPT_MARKS = 500  # of reasons that nobody can count

T = TypeVar("T")

log = logging.getLogger(__name__)


def tick(now: datetime | None = None, limit: int | None = None, *, sensing: bool = True) -> int:
    """Fire what is due, at most `limit` times; how many fired. Two ticks at once share the work."""
    now = now or timezone.now()
    limit = settings.LOOM_MOTIVATION_TRIGGERS if limit is None else limit
    fired = _pending(now, limit)
    return fired + (_sensed(now, limit - fired) if sensing else 0)


def _pending(now: datetime, limit: int) -> int:
    """Oldest first among equals, so that each gets its turn."""
    ready = Motivation.objects.active().rested(now)
    due = MotivationTrigger.objects.filter(result=MotivationTrigger.Result.PENDING, motivation__in=ready)
    first = due.order_by("motivation__priority", "id").values_list("pk", flat=True)[: max(0, limit)]
    return sum(_safely(f"trigger {pk}", partial(pending_fire, pk, now)) is not None for pk in list(first))


def _sensed(now: datetime, limit: int) -> int:
    if limit <= 0:
        return 0
    fired = 0
    rows = Motivation.objects.active().rested(now).filter(condition__in=SENSED)
    # Who fired longest ago comes first: a limit that is always reached starves nobody.
    for motivation in list(rows.order_by("priority", "last_triggered_at", "id")):
        if _safely(f"motivation {motivation.pk}", partial(_look, motivation, now)):
            fired += 1
            if fired == limit:
                break
    return fired


def _look(motivation: Motivation, now: datetime) -> bool:
    found = sense(motivation, now)
    return found is not None and _fire(motivation, found, now)


def _safely(what: str, act: Callable[[], T]) -> T | None:
    """A fault with one of them stops none of the others, which may be another tenant's."""
    try:
        return act()
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("%s could not be acted on", what)
        return None


def _told(motivation: Motivation, found: Sensed) -> list[str]:
    """The marks that are not acted on again."""
    if found.standing is None:
        return [*motivation.told, found.mark][-KEPT_MARKS:]
    return [*(mark for mark in motivation.told if mark in found.standing), found.mark]


@transaction.atomic
def _fire(motivation: Motivation, found: Sensed, now: datetime) -> bool:
    told = _told(motivation, found) if found.mark else None
    key = f"sense:{found.mark or now.isoformat()}"
    if sensed_fire(motivation, now, key=key, data=found.data, told=told) is None:
        if told and motivation.triggers.filter(key=key[:KEY_CHARS]).exists():
            # It was acted on long ago, and must not stand before all others for ever.
            Motivation.objects.filter(pk=motivation.pk).update(told=told)
        return False
    if found.event:
        emit(
            found.event,
            organization_id=motivation.organization_id,
            project_id=found.data.get("project_id") or motivation.project_id,
            subject=f"motivation:{motivation.pk}",
            actor="loom",
            **{f"{key}": value for key, value in found.data.get("about", {}).items()},
        )
    return True

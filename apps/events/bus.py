"""The event bus: `emit` in the transaction, deliver after commit, sweep what a crash left.

Delivery is at least once, so handlers must be idempotent. A kind that nobody handles needs no delivery.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import connection
from django.db.models import F, Q
from django.utils import timezone

from apps.core.commit import after_commit
from apps.core.crash import crashpoint
from apps.core.masking import masker, scope_of
from apps.core.origin import origin_current
from apps.core.pubsub import publish
from apps.core.sql import insert_soon
from apps.core.storable import storable, storable_text
from apps.events.models import SUBJECT_CHARS, Event

Handler = Callable[[Event], None]
GroupHandler = Callable[[list[Event]], None]

CHANNEL = "events"  # on which readers of live streams are told that there are more
SWEEP_AFTER = timedelta(seconds=10)
MAX_ATTEMPTS = 12  # each waits twice as long as the one before: together more than five hours

_handlers: defaultdict[str, list[Handler]] = defaultdict(list)
_group_handlers: defaultdict[str, list[GroupHandler]] = defaultdict(list)
_urgent: set[str] = set()
_late: ContextVar[list[Event] | None] = ContextVar("late_events", default=None)
log = logging.getLogger(__name__)


def on(*kinds: str) -> Callable[[Handler], Handler]:
    """Register a handler for event kinds; it runs after commit, outside any transaction, maybe twice."""

    def register(handler: Handler) -> Handler:
        for kind in kinds:
            if handler not in _handlers[kind]:
                _handlers[kind].append(handler)
        return handler

    return register


def on_all(*kinds: str, urgent: bool = False) -> Callable[[GroupHandler], GroupHandler]:
    """The same for a handler that gets all events of these kinds that one transaction emitted together.

    Events of `urgent` kinds are delivered before what else the transaction told.
    """

    def register(handler: GroupHandler) -> GroupHandler:
        _urgent.update(kinds if urgent else ())
        for kind in kinds:
            if handler not in _group_handlers[kind]:
                _group_handlers[kind].append(handler)
        return handler

    return register


@dataclass(frozen=True)
class Fact:
    """What is to be told; becomes an Event. `data` is JSON."""

    kind: str
    organization_id: int | None
    project_id: int | None = None
    bead_id: int | None = None
    subject: str = ""
    actor: str = ""
    data: dict[str, Any] = field(default_factory=dict)


def emit(
    kind: str,
    *,
    organization_id: int | None,
    project_id: int | None = None,
    bead_id: int | None = None,
    subject: str = "",
    actor: str = "",
    **data: Any,
) -> Event:
    """Append one event to the caller's transaction and have it delivered once that commits."""
    return emit_all([Fact(kind, organization_id, project_id, bead_id, subject, actor, data)])[0]


def emit_all(facts: Iterable[Fact]) -> list[Event]:
    """Append events to the caller's transaction, in order, and have them delivered once that commits."""
    if not connection.in_atomic_block:
        raise RuntimeError("An event emitted outside a transaction could outlive a failed change.")
    events = [_event(fact) for fact in facts]
    insert_soon(events)
    after_commit(publish, CHANNEL)
    if handled := [event for event in events if event.delivered_at is None]:
        after_commit(_deliver, handled, first=any(event.kind in _urgent for event in handled))
    return events


@contextmanager
def delivering_late() -> Iterator[None]:
    """What this thread emits in the block is delivered at its end: what it does has no time to lose."""
    late: list[Event] = []
    token = _late.set(late)
    try:
        yield
    finally:
        _late.reset(token)
        if late:
            try:
                deliver_all(_still_waiting(late))
            except Exception:  # what was done in the block is done; the sweep delivers
                log.exception("events were not delivered at once")


def _still_waiting(events: list[Event]) -> list[Event]:
    """Those of the events that no sweep has delivered, which takes up only what is old enough."""
    if timezone.now() - min(event.created_at for event in events) < SWEEP_AFTER:
        return events
    rows = Event.objects.undelivered().filter(pk__in=[event.pk for event in events])
    waiting = set(rows.values_list("pk", flat=True))
    return [event for event in events if event.pk in waiting]


def _deliver(events: list[Event]) -> None:
    if (late := _late.get()) is not None:
        late += events
    else:
        deliver_all(events)


def _event(fact: Fact) -> Event:
    now, origin = timezone.now(), origin_current()
    return Event(
        kind=fact.kind,
        organization_id=fact.organization_id,
        project_id=fact.project_id,
        bead_id=fact.bead_id,
        subject=storable_text(fact.subject)[:SUBJECT_CHARS],
        actor=storable_text(fact.actor)[:SUBJECT_CHARS],
        data=masker(scope_of(fact.project_id)).value(storable(fact.data)),
        **(origin.fields() if origin else {}),
        created_at=now,
        delivered_at=None if _handlers.get(fact.kind) or _group_handlers.get(fact.kind) else now,
    )


def deliver_all(events: Iterable[Event]) -> int:
    """Run the handlers of events and stamp those that succeeded; how many. The sweep tries others again."""
    events = list(events)
    failed = {event.pk for call, heard in _calls(events) if not _succeeds(call, heard) for event in heard}
    delivered = [event.pk for event in events if event.pk not in failed]
    if delivered:
        Event.objects.filter(pk__in=delivered, delivered_at=None).update(delivered_at=timezone.now())
    if failed:
        Event.objects.filter(pk__in=failed).update(attempts=F("attempts") + 1)
    return len(delivered)


def _calls(events: list[Event]) -> Iterator[tuple[Callable[[], None], list[Event]]]:
    """What is to be called, each with the events it hears of."""
    for event in events:
        for handler in _handlers.get(event.kind, ()):
            yield partial(handler, event), [event]
    groups: defaultdict[GroupHandler, list[Event]] = defaultdict(list)
    for event in events:
        for group_handler in _group_handlers.get(event.kind, ()):
            groups[group_handler].append(event)
    for group_handler, heard in groups.items():
        yield partial(group_handler, heard), heard


def _succeeds(call: Callable[[], None], heard: list[Event]) -> bool:
    crashpoint("before_deliver")
    try:
        call()
    except Exception:
        told = ", ".join(f"{event.pk} ({event.kind})" for event in heard[:5])
        log.exception("event %s could not be delivered", told)
        return False
    return True


def sweep(limit: int = 200) -> int:
    """Deliver events that a crash or a failing handler left behind; how many were delivered."""
    now, due = timezone.now(), Q()
    for attempts in range(MAX_ATTEMPTS):
        due |= Q(attempts=attempts, created_at__lt=now - SWEEP_AFTER * 2**attempts)
    return deliver_all(Event.objects.undelivered().filter(due)[:limit])

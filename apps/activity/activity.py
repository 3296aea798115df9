"""The activity feed: events in people's words, those alike within five minutes told as one.

It is read from the events, so that it has everything there ever was, and nothing to keep in step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from django.db.models import Q, QuerySet

from apps.activity.wire import source_of
from apps.events.models import Event

WINDOW_SECONDS = 300
SCAN_ROWS = 20_000  # that one page of the aggregated feed looks at, at most
CHUNK = 1000
MAX_RESOURCES = 20
TITLE_CHARS = 200
# The platform's own bookkeeping, which says nothing to people.
HIDDEN: Final = ("agent.heartbeat", "loom.heartbeat", "log.message", "bead.ready", "agent.status_change")
HIDDEN_FAMILIES: Final = ("run.", "turn.", "session.", "notification", "delivery.")
TITLES: Final = ("title", "name", "question", "message", "username")


def shown(rows: QuerySet[Event]) -> QuerySet[Event]:
    families = Q()
    for family in HIDDEN_FAMILIES:
        families |= Q(kind__startswith=family)
    return rows.exclude(kind__in=HIDDEN).exclude(families)


def is_shown(kind: str) -> bool:
    return kind not in HIDDEN and not kind.startswith(HIDDEN_FAMILIES)


def of_resources(rows: QuerySet[Event], given: Sequence[str]) -> QuerySet[Event]:
    found = Q(pk__in=[])
    for word in given:
        found |= Q(kind__startswith=f"{word}.")
    return rows.filter(found)


def activity_body(event: Event) -> dict[str, Any]:
    resource, _, action = event.kind.rpartition(".")
    data = event.data
    body: dict[str, Any] = {
        "id": str(event.pk),
        "event_type": event.kind,
        "event_id": str(event.pk),
        "timestamp": event.created_at,
        "source": source_of(event.kind),
        "action": action,
        "resource_type": resource,
        "resource_id": event.subject.partition(":")[2] or event.subject,
        "metadata": data,
        "aggregation_key": aggregation_key(event),
        "aggregation_count": 1,
        "is_aggregated": False,
        "visibility": _visibility(event),
    }
    title = next((str(data[name]) for name in TITLES if data.get(name)), "")
    more = {
        "actor_id": event.actor,
        "actor_type": actor_type(event),
        "project_id": event.project_id,
        "agent_id": data.get("agent_id"),
        "bead_id": data.get("bead_id"),
        "provider_id": data.get("provider_id"),
        "resource_title": title[:TITLE_CHARS],
    }
    return body | {name: value for name, value in more.items() if value not in (None, "")}


def _visibility(event: Event) -> str:
    if event.organization_id is None:
        return "system"
    return "organization" if event.project_id is None else "project"


def actor_type(event: Event) -> str:
    if event.actor in {"", "loom", "gateway", "the deadline"}:
        return "system"
    told = {str(event.data.get(name, "")) for name in ("agent", "assigned_to", "requester_id")}
    return "agent" if event.kind.startswith("agent.") or event.actor in told else "user"


def aggregation_key(event: Event) -> str:
    """Equal for events of one kind that one actor caused in one project within the same five minutes."""
    window = datetime.fromtimestamp(int(event.created_at.timestamp()) // WINDOW_SECONDS * WINDOW_SECONDS, UTC)
    return f"{event.kind}:{event.project_id or 0}:{event.actor}:{window:%Y%m%dT%H%M}"


def aggregated(rows: QuerySet[Event], *, offset: int, limit: int) -> list[dict[str, Any]]:
    """A page of groups, newest first; each has the body of its newest event."""
    groups: dict[str, dict[str, Any]] = {}
    for event in _newest_first(rows):
        key = aggregation_key(event)
        if key in groups:
            _join(groups[key], event)
        elif len(groups) < offset + limit:
            groups[key] = activity_body(event)
        elif not _still_open(groups, event):
            break
    return list(groups.values())[offset:]


def _newest_first(rows: QuerySet[Event]) -> Iterable[Event]:
    rows, last = rows.order_by("-pk"), None
    for _ in range(0, SCAN_ROWS, CHUNK):
        found = list((rows if last is None else rows.filter(pk__lt=last))[:CHUNK])
        yield from found
        if len(found) < CHUNK:
            return
        last = found[-1].pk


def _join(body: dict[str, Any], event: Event) -> None:
    if not body["is_aggregated"]:
        body["is_aggregated"] = True
        body["metadata"] = {**body["metadata"], "resources": [body["resource_id"]]}
    body["aggregation_count"] += 1
    body["metadata"]["first_at"] = event.created_at
    resources, one = body["metadata"]["resources"], event.subject.partition(":")[2]
    if one not in resources and len(resources) < MAX_RESOURCES:
        resources.append(one)


def _still_open(groups: dict[str, dict[str, Any]], event: Event) -> bool:
    """Whether older events can still belong to a group that is on the page."""
    oldest = next(reversed(groups.values()))["timestamp"]
    return bool((oldest - event.created_at).total_seconds() < WINDOW_SECONDS)

"""Events as clients see them."""

from __future__ import annotations

from typing import Any, Final

import orjson

from apps.activity.models import Delivery, LogEntry, Notification, NotificationPreferences
from apps.core.http import json_bytes
from apps.events.models import Event

SOURCES: Final = {
    "agent": "agent-manager",
    "bead": "beads-manager",
    "comment": "comments",
    "config": "config-api",
    "decision": "decision-manager",
    "external": "github-webhook",
    "mention": "comments",
    "motivation": "motivation-engine",
    "openclaw": "openclaw-bridge",
    "project": "project-manager",
    "provider": "provider-manager",
}


def source_of(kind: str) -> str:
    first = kind.partition(".")[0]
    return SOURCES.get(first, first)


def event_body(event: Event) -> dict[str, Any]:
    """An event in the original's keys; who did it stands in its data."""
    body = {
        "id": str(event.pk),
        "type": event.kind,
        "timestamp": event.created_at,
        "source": source_of(event.kind),
        "data": {"actor": event.actor, **event.data} if event.actor else event.data,
    }
    if event.project_id is not None:
        body["project_id"] = event.project_id
    return body


def dumped(body: Any) -> bytes:
    """JSON on one line, of whatever the database keeps: one odd fact must not end everybody's stream."""
    try:
        return orjson.dumps(body, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # numbers of more than 64 bits, or nested deeper than it goes
        return json_bytes(body)


def notification_body(row: Notification) -> dict[str, Any]:
    body = {
        "id": str(row.pk),
        "user_id": str(row.user_id),
        "activity_id": str(row.event_id),
        "event_type": row.event_type,
        "title": row.title,
        "message": row.message,
        "status": row.status,
        "priority": row.priority,
        "metadata": {"rule": row.rule, "project_id": row.project_id, **row.metadata},
        "created_at": row.created_at,
    }
    more = {"link": row.link, "read_at": row.read_at, "archived_at": row.archived_at}
    return body | {name: value for name, value in more.items() if value}


def preferences_body(row: NotificationPreferences) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": str(row.user_id),
        "user_id": str(row.user_id),
        **{
            name: getattr(row, name)
            for name in (
                "enable_in_app", "enable_email", "enable_webhook", "subscribed_events", "project_filters",
                "min_priority", "digest_mode", "time_zone", "webhook_url", "updated_at",
            )
        },
        "has_webhook_secret": bool(row.webhook_secret_sealed),
    }  # fmt: skip
    for name in ("quiet_hours_start", "quiet_hours_end"):
        if (moment := getattr(row, name)) is not None:
            body[name] = moment.strftime("%H:%M")
    return body


def delivery_body(row: Delivery) -> dict[str, Any]:
    return {
        name: getattr(row, name)
        for name in (
            "id", "channel", "is_test", "status", "due_at", "attempts", "target", "response_status", "error",
            "created_at", "ended_at",
        )
    }  # fmt: skip


def log_body(row: LogEntry) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": str(row.pk),
        "timestamp": row.timestamp,
        "level": row.level,
        "source": row.source,
        "message": row.message,
    }
    about = {name: getattr(row, name) for name in ("project_id", "agent_id", "bead_id")}
    metadata = {**row.metadata, **{name: value for name, value in about.items() if value is not None}}
    return body | ({"metadata": metadata} if metadata else {})

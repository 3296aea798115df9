"""Events, the activity feed, notifications and the log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.utils import timezone

from apps.activity.models import Delivery, LogEntry, Notification
from apps.events.models import Event
from tests.tenancy.table import Row, many, own

REPLAY = "last_event_id=0"
# Not the logins: everybody's name has a word of ours in it, and an administrator sees those of their own.
BEADS = "type=bead.*"
NOT_MINE = Row(
    "many",
    args={"pk": "notification"},
    expect=dict.fromkeys(("stranger", "removed", "viewer", "user", "admin", "key", "shared"), 404),
)
OTHERS = Row("many", args={"pk": "delivery"}, expect={**NOT_MINE.expect, "other key": 404})
ROWS: dict[str, Row] = {
    "POST /api/v1/auth/stream-token": own(permission="account:read"),
    "GET /api/v1/events": many(query=BEADS),
    "GET /api/v1/events/stats": many(),
    "GET /api/v1/events/stream": many(query=f"{BEADS}&{REPLAY}"),
    "GET /api/v1/activity-feed": many(query="resource_type=bead&aggregated=true"),
    "GET /api/v1/activity-feed/stream": many(query=f"resource_type=bead&{REPLAY}"),
    "GET /api/v1/notifications": many(),
    "GET /api/v1/notifications/stream": many(query=REPLAY),
    "POST /api/v1/notifications/mark-all-read": many(),
    "POST /api/v1/notifications/{pk}/read": NOT_MINE,
    "POST /api/v1/notifications/{pk}/unread": NOT_MINE,
    "POST /api/v1/notifications/{pk}/archive": NOT_MINE,
    "GET /api/v1/notifications/preferences": own(),
    "PATCH /api/v1/notifications/preferences": own(body={"min_priority": "high"}),
    "POST /api/v1/notifications/webhook-secret": own(),
    "GET /api/v1/notifications/deliveries": own(),
    "GET /api/v1/notifications/deliveries/{pk}": OTHERS,
    "POST /api/v1/notifications/deliveries/{pk}/retry": replace(
        OTHERS, expect={**OTHERS.expect, "key": 403, "other key": 403}
    ),
    "POST /api/v1/notifications/test": own(body={"channel": "webhook"}),
    "GET /api/v1/logs/recent": many(),
    "GET /api/v1/logs/stream": many(query=REPLAY),
    "GET /api/v1/logs/export": many(query="format=csv"),
}


def grow(tenancy: Any) -> None:
    """A notification of the boss, a line of the log in each project, an event of the whole organization."""
    now = timezone.now()
    for world in (tenancy.shared, tenancy.hidden):
        LogEntry.objects.create(
            timestamp=now,
            level="info",
            source="agents.loop",
            message=f"{world.project.name} goes on",
            organization_id=tenancy.organization.pk,
            project_id=world.project.pk,
        )
    notification = Notification.objects.create(
        user=tenancy.boss,
        organization_id=tenancy.organization.pk,
        event_id=1,
        event_type="bead.created",
        rule=Notification.Rule.CRITICAL,
        title=tenancy.hidden.project.name,
        created_at=now,
    )
    tenancy.ids["notification"] = tenancy.hidden_ids["notification"] = notification.pk
    sent = Delivery.objects.create(
        user=tenancy.boss,
        channel="email",
        slot="test:1",
        status="failed",
        error=tenancy.hidden.project.name,
        due_at=now,
        created_at=now,
    )
    tenancy.ids["delivery"] = tenancy.hidden_ids["delivery"] = sent.pk
    Event.objects.create(
        kind="bead.created",
        organization_id=tenancy.organization.pk,
        data={"title": tenancy.hidden.project.name},
        created_at=now,
    )

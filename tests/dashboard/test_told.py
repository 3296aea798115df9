"""The page of notifications, and how a person is told."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.activity import delivery, messages
from apps.activity.models import Delivery, Notification
from apps.activity.outbound import Undeliverable
from apps.activity.services import notifications_create, preferences_of, preferences_update
from apps.events.bus import Fact, emit_all
from apps.events.models import Event
from tests.dashboard.test_home import read
from tests.world import World

HOOK = "https://hooks.example.org/loom"
CHOSEN = {
    "enable_in_app": "on",
    "enable_webhook": "on",
    "webhook_url": HOOK,
    "events": ["decision.*", "mention.*"],
    "other_events": "bead.closed",
    "min_priority": "high",
    "digest_mode": "daily",
    "quiet_hours_start": "22:00",
    "quiet_hours_end": "07:00",
    "time_zone": "Europe/Berlin",
}


def told(world: World, kind: str = "bead.blocked", **data: Any) -> Notification:
    data = {"bead_id": world.beads[0].key, "title": "Links", "reason": "", **data}
    with transaction.atomic():
        (event,) = emit_all(
            [Fact(kind, world.organization.pk, world.project.pk, subject="bead:x", data=data)]
        )
    return next(row for row in notifications_create(event=event) if row.user.username == "ann")


def send(client: Client, name: str, *args: Any, **data: Any) -> str:
    answer = client.post(reverse(name, args=args), {"next": "/notifications/", **data}, follow=True)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def test_an_open_page_hears_of_what_is_told(reader: Client, world: World) -> None:
    """Notifications come a moment after their event: the page had asked before."""
    page = read(reader)
    seen = re.search(r'data-seen="([^"]+)"', page)
    assert seen is not None
    headers = {"X-Loom-Seen": seen[1], "X-Loom-Part": "app"}
    assert reader.get("/", headers=headers).status_code == 204
    told(world)
    newest = Event.objects.latest("pk")
    assert (newest.kind, newest.organization_id) == ("notification.created", world.organization.pk)
    answer = reader.get("/", headers={**headers, "X-Loom-Seen": str(newest.pk - 1)})
    assert re.search(r"Notifications<b>1</b>", answer.content.decode())


def test_a_notification_is_read_by_going_where_it_leads(
    reader: Client, stranger: Client, world: World
) -> None:
    row = told(world)
    address = reverse("notification", args=[row.pk])
    assert stranger.get(address).status_code == 404
    assert Notification.objects.get(pk=row.pk).status == "unread"
    for _ in range(2):
        assert reader.get(address)["Location"] == f"/beads/{world.beads[0].key}/"
        assert Notification.objects.get(pk=row.pk).status == "read"
    assert f'href="{address}"' not in read(reader, "/notifications/")


def test_notifications_are_filtered_by_day_read_and_archived_with_undo(reader: Client, world: World) -> None:
    old, new = told(world, title="Older"), told(world, "mention.created", username="ann", content="Look here")
    Notification.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=1, minutes=1))
    page = read(reader, "/notifications/")
    assert [word for word in re.findall(r"<h2>(\w+)</h2>", page) if word in {"Today", "Yesterday"}] == [
        "Today",
        "Yesterday",
    ]
    assert f'<a href="{reverse("notification", args=[old.pk])}"' in page
    for query, shown in (
        ("rule=mention", [new]), ("priority=high", [old, new]), ("priority=low", []), ("show=archived", []),
        (f"project={world.project.pk}", [old, new]), ("project=x", []), ("show=unread", [old, new]),
    ):  # fmt: skip
        page = read(reader, f"/notifications/?{query}")
        assert {row for row in (old, new) if f'id="notification-{row.pk}"' in page} == set(shown), query
    send(reader, "notifications-mark", new.pk, "read")
    page = send(reader, "notifications-mark", old.pk, "archive")
    undo = re.search(r'href="([^"]+)" data-post>Undo', page)
    assert undo is not None
    assert f'id="notification-{old.pk}"' in read(reader, "/notifications/?show=archived")
    reader.post(undo[1])
    assert Notification.objects.get(pk=old.pk).status == "unread", "as it was"
    assert reader.post(reverse("notifications-mark", args=[old.pk, "eat"])).status_code == 404
    assert "1 marked as read" in send(reader, "notifications-read")


def test_preferences_are_saved_and_errors_keep_what_was_typed(
    reader: Client, member: User, world: World
) -> None:
    save = reverse("notifications-save")
    assert (
        "Saved."
        in reader.post(save, {**CHOSEN, "projects": [world.project.pk]}, follow=True).content.decode()
    )
    row = preferences_of(User.objects.get(pk=member.pk))
    assert (row.webhook_url, row.digest_mode, row.min_priority, row.enable_email) == (
        HOOK,
        "daily",
        "high",
        False,
    )
    assert row.subscribed_events == ["bead.closed", "decision.*", "mention.*"]
    assert (row.project_filters, f"{row.quiet_hours_start:%H:%M}") == ([world.project.pk], "22:00")
    page = read(reader, "/notifications/told/")
    assert page.count("checked") >= 5
    cases: list[tuple[dict[str, Any], str]] = [
        ({"time_zone": "Mars"}, "must be a name such as Europe/Berlin"),
        ({"webhook_url": "http://10.0.0.1/"}, "must begin with https"),
        ({"quiet_hours_end": ""}, "need a start and an end"),
        ({"enable_email": "on"}, "no e-mail address"),
        ({"events": [], "other_events": ""}, "Choose some"),
        ({"other_events": "a b;c"}, "no type of event"),
    ]
    for wrong, said in cases:
        answer = reader.post(save, {**CHOSEN, **wrong})
        page = answer.content.decode()
        assert (answer.status_code, said in page) == (400, True), wrong
        assert (wrong.get("time_zone") or wrong.get("webhook_url") or "22:00") in page
        assert 'hx-get="/notifications/told' not in page, "nothing live takes it away"
    assert preferences_of(User.objects.get(pk=member.pk)).time_zone == "Europe/Berlin"


def test_a_test_message_shows_what_really_came_of_it(
    reader: Client, member: User, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = [Undeliverable("hooks.example.org answered 404.", status=404, is_final=True), 200]

    def post(url: str, body: bytes, headers: Any) -> int:
        assert (url, json.loads(body)["type"]) == (HOOK, "test")
        if isinstance(answer := answers.pop(0), Exception):
            raise answer
        return int(answer)

    monkeypatch.setattr(messages, "post", post)
    assert "There is no webhook_url" in send(reader, "notifications-test", channel="webhook")
    preferences_update(user=member, fields={"webhook_url": HOOK})
    assert "on its way" in send(reader, "notifications-test", channel="webhook")
    page = read(reader, "/notifications/told/")
    assert 'data-polls="1000"' in page
    seen = re.search(r'data-seen="([^"]+)"', page)
    planned = Delivery.objects.get()
    delivery.deliver(planned.pk)
    assert seen is not None
    news = reader.get("/notifications/told/", headers={"X-Loom-Seen": seen[1]})
    assert "hooks.example.org answered 404." in news.content.decode()
    assert "sent once more" in send(reader, "notifications-retry", planned.pk)
    delivery.deliver(planned.pk)
    page = read(reader, "/notifications/told/")
    assert "<strong>sent</strong>" in page
    assert "data-polls" not in page
    assert "is sent" in send(reader, "notifications-retry", planned.pk), "there is nothing to do again"
    secret = reader.post(reverse("notifications-secret")).content.decode().split('id="new-secret">')[1][:20]
    assert secret.startswith("whsec_")
    assert secret not in read(reader, "/notifications/told/")

"""Notifications: whom an event concerns, what they want to hear, and when."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Role, User
from apps.accounts.services import membership_remove, membership_set, organization_ensure
from apps.activity import services
from apps.activity.models import Notification, NotificationPreferences
from apps.activity.notifications_api import NotificationInterest
from apps.activity.preferences import due_at
from apps.activity.services import notifications_create
from apps.activity.sight import sight_of
from apps.decisions.services import decision_request
from apps.events.models import Event
from tests.activity.readers import NIGHT, URL, ann, client, tell, told, world
from tests.world import World

__all__ = ["ann", "client", "world"]

pytestmark = pytest.mark.django_db


def test_each_rule_tells_those_whom_it_concerns_and_nobody_twice(world: World, ann: User) -> None:
    viewer, outsider = User.objects.create_user("vic"), User.objects.create_user("out")
    membership_set(user=viewer, organization=world.organization, role=Role.VIEWER)
    membership_set(user=outsider, organization=organization_ensure(name="other"), role=Role.ADMIN)
    staff = world.staff.username
    bead = {"bead_id": "x-1", "title": "Links"}
    question = {"question": "Which?", "needs_person": True, "priority": 0}
    cases: list[tuple[str, dict[str, Any], dict[str, tuple[str, str]]]] = [
        ("bead.assigned", {**bead, "assigned_to": "ann"}, {"ann": ("assigned", "normal")}),
        ("bead.assigned", {**bead, "assigned_to": "Engineer"}, {}),
        ("decision.created", question, dict.fromkeys(("ann", staff), ("decision", "critical"))),
        ("decision.created", {"question": "Which?", "needs_person": False}, {}),
        ("decision.created", {"question": "Which?", "voters": ["ann"]}, {"ann": ("decision", "normal")}),
        ("decision.escalated", {"to": "ceo"}, dict.fromkeys(("ann", staff), ("decision", "high"))),
        ("decision.escalated", {"to": "decision-maker"}, {}),
        ("mention.created", {**bead, "username": "vic"}, {"vic": ("mention", "high")}),
        ("mention.created", {**bead, "username": "out"}, {}),
        ("bead.created", {**bead, "priority": 0}, dict.fromkeys(("ann", staff), ("critical", "critical"))),
        ("bead.created", {**bead, "priority": 2}, {}),
        ("bead.blocked", bead, dict.fromkeys(("ann", staff), ("critical", "high"))),
        ("log.message", {"level": "error", "message": "Oh."}, {staff: ("system", "high")}),
        ("log.message", {"level": "info", "message": "Fine."}, {}),
    ]
    for kind, data, expected in cases:
        event = tell(world, kind, **data)
        assert told(event) == expected, (kind, data)
        assert told(event) == {}, "once is enough"
    assert told(tell(world, "bead.created", actor="ann", priority=0)).keys() == {staff}, (
        "not of one's own doing"
    )


@pytest.mark.parametrize("named", ["ann", "Ann", "user-ann"])
def test_whoever_is_asked_to_vote_hears_of_it(world: World, ann: User, named: str) -> None:
    decision_request(
        project=world.project,
        question="Which?",
        options=[{"key": "a"}, {"key": "b"}],
        requester="Engineer",
        voters=[named, "qa-engineer"],
    )
    event = Event.objects.get(kind="decision.created")
    assert event.data["voters"] == [named, "qa-engineer"]
    assert told(event) == {"ann": ("decision", "normal")}


@pytest.mark.parametrize("named", ["Änn", "user-Änn"])
def test_whoever_is_asked_to_vote_hears_of_it_in_letters_of_any_language(world: World, named: str) -> None:
    membership_set(user=User.objects.create_user("Änn"), organization=world.organization, role=Role.USER)
    event = tell(world, "decision.created", question="Which?", voters=[named])
    assert told(event) == {"Änn": ("decision", "normal")}


def test_of_very_many_people_all_are_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_PEOPLE", 2)
    for number in range(5):
        user = User.objects.create_user(f"user-{number}")
        membership_set(user=user, organization=world.organization, role=Role.USER)
    NotificationPreferences.objects.create(user=User.objects.get(username="user-1"), enable_in_app=False)
    told_people = told(tell(world, "bead.blocked", bead_id="x-1", title="Links"))
    assert set(told_people) == {world.staff.username, *(f"user-{number}" for number in (0, 2, 3, 4))}


def test_each_notification_leads_to_what_it_is_about(world: World, ann: User, client: Client) -> None:
    bead = {"bead_id": "x-1", "title": "Links"}
    decision = decision_request(
        project=world.project,
        question="Which?",
        options=[{"key": "a"}, {"key": "b"}],
        requester="Engineer",
        needs_person=True,
    )
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("bead.assigned", {**bead, "assigned_to": "ann"}, "/beads/x-1/"),
        ("bead.blocked", bead, "/beads/x-1/"),
        ("bead.created", {**bead, "priority": 0}, "/beads/x-1/"),
        ("mention.created", {**bead, "username": "ann", "comment_id": "7"}, "/beads/x-1/#comment-7"),
        (
            "decision.created",
            {"decision_id": decision.pk, "needs_person": True},
            f"/decisions/{decision.pk}/",
        ),
        ("decision.escalated", {"decision_id": decision.pk, "to": "ceo"}, f"/decisions/{decision.pk}/"),
        ("deadline.passed", {"title": "Soon"}, "/beads/x-1/"),
    ]
    for kind, data, link in cases:
        made = next(row for row in notifications_create(event=tell(world, kind, **data)) if row.user == ann)
        assert made.link == link, kind
        assert client.get(f"{URL}?event_type={kind}").json()["notifications"][0]["link"] == made.link
    (system,) = notifications_create(event=tell(world, "log.message", level="error", message="Oh."))
    assert system.link == f"/projects/{world.project.pk}/"
    assert Event.objects.filter(kind="notification.created").count() == len(cases) + 1, (
        "open pages hear of it"
    )


def test_what_was_told_in_an_organization_stays_there(world: World, ann: User, client: Client) -> None:
    notifications_create(event=tell(world, "bead.blocked", title="Links"))
    assert client.get(URL).json()["count"] == 1
    membership_remove(membership=ann.memberships.get())
    assert Notification.objects.filter(user=ann).exists()
    assert Notification.objects.for_user(ann).count() == 0
    membership_set(user=ann, organization=organization_ensure(name="elsewhere"), role=Role.USER)
    sight = sight_of(User.objects.get(pk=ann.pk), "notifications:read")
    assert sight is not None
    told = NotificationInterest(ann.pk, sight)
    assert not told.filter(Notification.objects.all()).exists(), "nor is it told again by the stream"
    assert not any(told.wants(row) for row in Notification.objects.all())


def test_preferences_say_what_is_told(world: World, ann: User, client: Client) -> None:
    def of_ann(kind: str = "bead.blocked", **data: Any) -> bool:
        return "ann" in told(tell(world, kind, **data))

    for fields, is_told in (
        ({"min_priority": "critical"}, False),
        ({"min_priority": "high"}, True),
        ({"subscribed_events": ["decision.*"]}, False),
        ({"subscribed_events": ["bead.*"]}, True),
        ({"project_filters": [world.project.pk + 1]}, False),
        ({"project_filters": [world.project.pk]}, True),
        ({"enable_in_app": False}, False),
    ):
        answer = client.patch(f"{URL}/preferences", json.dumps(fields), content_type="application/json")
        assert answer.status_code == 200, answer.content
        assert of_ann() is is_told, fields
    body = client.get(f"{URL}/preferences").json()
    assert (body["min_priority"], body["enable_in_app"]) == ("high", False), "what is left out stays"
    for nonsense in (
        {"min_priority": "huge"}, {"time_zone": "Mars"}, {"quiet_hours_start": "25:00"}, {"enable_email": 1},
        {"quiet_hours_start": "22:00"}, {"webhook_url": "ftp://x"}, {"webhook_url": "http://example.org"},
        {"enable_webhook": True}, {"enable_email": True}, {"unknown": 1}, {"subscribed_events": ["a b"]},
        {"webhook_url": "https://me:secret@example.org"}, {"project_filters": ["x"]},
    ):  # fmt: skip
        answer = client.patch(f"{URL}/preferences", json.dumps(nonsense), content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_input"), nonsense


def test_a_person_reads_and_marks_their_own(world: World, ann: User, client: Client) -> None:
    for _ in range(3):
        notifications_create(event=tell(world, "bead.blocked", bead_id="x-1", title="Links"))
    listed = client.get(URL).json()
    assert (listed["count"], listed["limit"], listed["offset"]) == (3, 50, 0)
    first = listed["notifications"][0]
    assert {
        "id",
        "user_id",
        "event_type",
        "title",
        "message",
        "status",
        "priority",
        "created_at",
    } <= first.keys()
    theirs = Notification.objects.exclude(user=ann).first()
    assert theirs is not None
    assert client.post(f"{URL}/{theirs.pk}/read").status_code == 404
    assert client.post(f"{URL}/{first['id']}/read").status_code == 200
    assert client.get(f"{URL}?status=unread").json()["count"] == 2
    assert client.post(f"{URL}/{first['id']}/archive").status_code == 200
    assert client.get(URL).json()["count"] == 2
    assert client.post(f"{URL}/mark-all-read").json() == {"message": "2 notifications were marked as read."}
    assert client.get(f"{URL}?status=unread").json()["count"] == 0
    assert client.get(f"{URL}?priority=nonsense").status_code == 400


@pytest.mark.parametrize(
    ("now", "fields", "due"),
    [
        ("12:00", {}, "12:00"),
        ("23:30", NIGHT, "+1 07:00"),
        ("03:00", NIGHT, "07:00"),
        ("07:00", NIGHT, "07:00"),
        ("12:30", {"digest_mode": "hourly"}, "13:00"),
        ("12:30", {"digest_mode": "daily"}, "+1 08:00"),
        ("03:30", {"digest_mode": "daily"}, "08:00"),
        ("21:30", {"digest_mode": "hourly", **NIGHT}, "+1 07:00"),
        ("03:00", {**NIGHT, "time_zone": "Europe/Berlin"}, "05:00"),
        ("12:10", {"digest_mode": "hourly", "time_zone": "Asia/Kolkata"}, "12:30"),
    ],
)  # fmt: skip
def test_quiet_hours_and_digests_delay(now: str, fields: dict[str, Any], due: str) -> None:
    day = datetime(2026, 7, 1, tzinfo=UTC)
    days, _, clock = due.rpartition(" ")
    at, wanted = time.fromisoformat(now), time.fromisoformat(clock)
    moment = day.replace(hour=at.hour, minute=at.minute)
    expected = day.replace(hour=wanted.hour, minute=wanted.minute) + timedelta(days=int(days or 0))
    assert due_at(NotificationPreferences(**fields), moment) == expected


BERLIN = {"time_zone": "Europe/Berlin"}
SHORT_NIGHT = {**BERLIN, "quiet_hours_start": time(22), "quiet_hours_end": time(2, 30)}


@pytest.mark.parametrize(
    ("now", "fields", "due"),
    [
        # Clocks go back on 2026-10-25 at 01:00 UTC: what they show from 02:00 to 03:00, they show twice.
        ("10-25T00:30", {"digest_mode": "hourly"}, "10-25T01:00"),
        ("10-25T01:30", {"digest_mode": "hourly"}, "10-25T02:00"),
        ("10-24T10:00", {"digest_mode": "daily"}, "10-25T07:00"),
        ("10-25T07:00", {"digest_mode": "daily"}, "10-26T07:00"),
        ("10-25T00:15", SHORT_NIGHT, "10-25T00:30"),
        ("10-25T01:15", SHORT_NIGHT, "10-25T01:30"),
        # And forward on 2026-03-29 at 01:00 UTC: they never show 02:30.
        ("03-29T00:30", {"digest_mode": "hourly"}, "03-29T01:00"),
        ("03-28T12:00", {"digest_mode": "daily"}, "03-29T06:00"),
        ("03-29T00:30", SHORT_NIGHT, "03-29T01:30"),
    ],
)
def test_clocks_that_are_set_back_or_forward_lose_and_repeat_nothing(
    now: str, fields: dict[str, Any], due: str
) -> None:
    moment, expected = (datetime.fromisoformat(f"2026-{text}+00:00") for text in (now, due))
    assert due_at(NotificationPreferences(**{**BERLIN, **fields}), moment) == expected

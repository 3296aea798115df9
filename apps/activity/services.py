"""Writes to notifications and to what people want to hear of."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.email_services import ASKED
from apps.accounts.models import User
from apps.activity import delivery as queue
from apps.activity.models import Delivery, Notification, NotificationPreferences
from apps.activity.preferences import channels, due_at, fields_checked, wants
from apps.activity.rules import Notice, notice_of
from apps.core.commit import after_commit
from apps.core.errors import BadInput, Conflict
from apps.core.pubsub import publish
from apps.events.bus import emit
from apps.events.models import Event
from apps.providers.keys import seal

CHANNEL: Final = "notifications"  # on which live readers are told
MAX_PEOPLE = 500  # of one transaction
TITLE_CHARS = 200
REFERENCES = ("bead_id", "decision_id", "comment_id", "level")

Status = Notification.Status


def notifications_create(*, event: Event) -> list[Notification]:
    """Tell those whom the event concerns, each once, whatever was created of them before."""
    notice = notice_of(event)
    made: list[Notification] = []
    last: int | None = 0
    while notice is not None and last is not None:
        some, last = _tell(event, notice, after=last)
        made += some
    return made


@transaction.atomic
def _tell(event: Event, notice: Notice, *, after: int) -> tuple[list[Notification], int | None]:
    """Tell the next people; and after whom to go on, None if these were the last."""
    told = Notification.objects.filter(event_id=event.pk, rule=notice.rule).values("user_id")
    people = notice.people.filter(pk__gt=after).exclude(pk__in=told).exclude(username=event.actor or None)
    found = list(people.select_related("notification_preferences").order_by("pk")[:MAX_PEOPLE])
    made = [_notify(person, event, notice) for person in found if _is_told(person, event, notice)]
    if made:
        after_commit(publish, CHANNEL)
        # One for all of them: by it open pages hear that what they count may have changed.
        emit(
            "notification.created",
            organization_id=event.organization_id,
            project_id=event.project_id,
            subject=event.subject,
            actor="loom",
            rule=notice.rule,
            people=len(made),
        )
    return made, found[-1].pk if len(found) == MAX_PEOPLE else None


def _is_told(person: User, event: Event, notice: Notice) -> bool:
    preferences = preferences_of(person)
    if not preferences.enable_in_app and not channels(preferences):
        return False
    return wants(preferences, event.kind, event.project_id, notice.priority)


def _notify(person: User, event: Event, notice: Notice) -> Notification:
    preferences, now = preferences_of(person), timezone.now()
    is_shown = preferences.enable_in_app
    notification = Notification.objects.create(
        user=person,
        organization_id=event.organization_id,
        project_id=event.project_id,
        event_id=event.pk,
        event_type=event.kind,
        rule=notice.rule,
        title=notice.title[:TITLE_CHARS],
        message=notice.message,
        link=notice.link,
        status=Status.UNREAD if is_shown else Status.ARCHIVED,
        archived_at=None if is_shown else now,
        priority=notice.priority,
        metadata={key: event.data[key] for key in REFERENCES if key in event.data},
        created_at=now,
    )
    for channel in channels(preferences):
        _deliver(notification, channel, preferences, now)
    return notification


def _deliver(
    notification: Notification, channel: str, preferences: NotificationPreferences, now: datetime
) -> None:
    due, mode = due_at(preferences, now), preferences.digest_mode
    is_alone = mode == NotificationPreferences.Digest.REALTIME
    slot = f"notification:{notification.pk}" if is_alone else f"{mode}:{due.isoformat()}"
    planned = _planned(notification, channel, slot, due, now)
    planned.notifications.add(notification)
    if due <= now:
        after_commit(queue.enqueue, planned.pk)


def _planned(notification: Notification, channel: str, slot: str, due: datetime, now: datetime) -> Delivery:
    """The message it goes into: of its slot, or one of its own where that has just been taken to be sent."""
    planned, is_new = Delivery.objects.get_or_create(
        user_id=notification.user_id,
        channel=channel,
        slot=slot,
        defaults={"due_at": due, "created_at": now},
    )
    if is_new:
        return planned
    rows = Delivery.objects.select_for_update().filter(pk=planned.pk, status=Delivery.Status.PENDING)
    found: Delivery | None = rows.first()
    return found or _planned(notification, channel, f"{slot}+{notification.pk}", due, now)


def preferences_of(person: User) -> NotificationPreferences:
    """The person's own, else the defaults; not saved."""
    found: Any = getattr(person, "notification_preferences", None)
    return found if isinstance(found, NotificationPreferences) else NotificationPreferences(user=person)


@transaction.atomic
def preferences_update(*, user: User, fields: Mapping[str, Any]) -> NotificationPreferences:
    """Change what is given, leave the rest."""
    checked = fields_checked(fields)
    NotificationPreferences.objects.get_or_create(user=user)
    row: NotificationPreferences = NotificationPreferences.objects.select_for_update().get(user=user)
    for name, value in checked.items():
        setattr(row, name, value)
    _check_whole(row, user)
    row.save()
    emit(
        "notification_preferences.updated",
        organization_id=None,
        subject=f"user:{user.pk}",
        actor=user.get_username(),
        fields=sorted(checked),
    )
    return row


def _check_whole(row: NotificationPreferences, user: User) -> None:
    if (row.quiet_hours_start is None) != (row.quiet_hours_end is None):
        raise BadInput("Quiet hours need a start and an end.", details={"field": "quiet_hours_start"})
    if row.enable_webhook and not row.webhook_url:
        raise BadInput("A webhook needs webhook_url.", details={"field": "webhook_url"})
    if row.enable_email and not user.email:
        raise BadInput("Your account has no e-mail address.", details={"field": "enable_email"})
    if row.enable_email and not settings.LOOM_EMAIL_URL:
        raise BadInput(
            "This installation sends no e-mail.",
            hint="Its operator sets LOOM_EMAIL_URL.",
            details={"field": "enable_email"},
        )


@transaction.atomic
def webhook_secret_renew(*, user: User) -> str:
    """A new secret that webhooks of this person are signed with; it is shown once."""
    secret = "whsec_" + secrets.token_urlsafe(32)
    NotificationPreferences.objects.get_or_create(user=user)
    NotificationPreferences.objects.filter(user=user).update(
        webhook_secret_sealed=seal(secret), updated_at=timezone.now()
    )
    emit(
        "notification_preferences.secret_renewed",
        organization_id=None,
        subject=f"user:{user.pk}",
        actor=user.get_username(),
    )
    return secret


@transaction.atomic
def notification_mark(*, user: User, notification_id: int, status: str) -> bool:
    """Mark one of the person's own as read, unread or archived; False if it is none of theirs."""
    now = timezone.now()
    moments: dict[str, dict[str, Any]] = {
        Status.READ: {"read_at": now, "archived_at": None},
        Status.UNREAD: {"read_at": None, "archived_at": None},
        Status.ARCHIVED: {"archived_at": now},
    }
    if status not in moments:
        raise BadInput(f"{status[:40]!r} is no status.", hint=f"Use one of: {', '.join(Status.values)}.")
    rows = Notification.objects.for_user(user).filter(pk=notification_id)
    return bool(rows.update(status=status, **moments[status])) or bool(rows.exists())


@transaction.atomic
def notifications_mark_read(*, user: User) -> int:
    """Mark all that the person has not read; how many."""
    rows = Notification.objects.for_user(user).filter(status=Status.UNREAD)
    return int(rows.update(status=Status.READ, read_at=timezone.now()))


@transaction.atomic
def delivery_test(*, user: User, channel: str) -> Delivery:
    """Send a message that only says that this way works."""
    if channel not in Delivery.Channel.values:
        raise BadInput("channel must be email or webhook.", details={"field": "channel"})
    if channel == Delivery.Channel.WEBHOOK and not preferences_of(user).webhook_url:
        raise BadInput("There is no webhook_url to send it to.", hint="Set it in your preferences first.")
    now = timezone.now()
    planned = Delivery.objects.create(
        user=user,
        channel=channel,
        slot=f"test:{secrets.token_hex(8)}",
        is_test=True,
        due_at=now,
        created_at=now,
    )
    after_commit(queue.enqueue, planned.pk)
    return planned


@transaction.atomic
def delivery_retry(*, delivery: Delivery, actor: str) -> Delivery:
    """Send one again that failed; Conflict if it did not fail."""
    rows = Delivery.objects.filter(pk=delivery.pk)
    again = rows.filter(status=Delivery.Status.FAILED).update(
        status=Delivery.Status.PENDING, due_at=timezone.now(), attempts=0, ended_at=None, handed_at=None
    )
    if not again:
        raise Conflict(
            f"Delivery {delivery.pk} is {rows.values_list('status', flat=True).first() or 'gone'}.",
            hint="Only what has failed is sent again.",
        )
    emit("delivery.retried", organization_id=None, subject=f"delivery:{delivery.pk}", actor=actor)
    after_commit(queue.enqueue, delivery.pk)
    found: Delivery = rows.get()
    return found


# -- About one's own account ----------------------------------------------------------------------


@transaction.atomic
def account_mails_plan(*, event: Event) -> None:
    """What an event sends, once, however often it is handled."""
    user = User.objects.filter(pk=event.data["account"], is_active=True).first()
    if user is None or not settings.LOOM_EMAIL_URL:
        return
    if event.kind == ASKED:
        _plan(event, user, Delivery.About.CONFIRM, user.pending_email)
    _plan(event, user, Delivery.About.CHANGED, event.data.get("before", user.email))


def _plan(event: Event, user: User, about: str, target: str) -> None:
    if not target:
        return
    now = timezone.now()
    planned, is_new = Delivery.objects.get_or_create(
        user=user,
        channel=Delivery.Channel.EMAIL,
        slot=f"{about}:{event.pk}",
        defaults={"about": about, "target": target, "due_at": now, "created_at": now},
    )
    if is_new:
        after_commit(queue.enqueue, planned.pk)

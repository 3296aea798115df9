"""What is sent by e-mail and webhook, and handing it to the other side."""

from __future__ import annotations

import hashlib
import hmac
import smtplib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils import timezone

from apps.activity.account_mail import account_text, is_wanted
from apps.activity.models import Delivery, Notification, NotificationPreferences
from apps.activity.outbound import Undeliverable, post
from apps.activity.preferences import channels
from apps.activity.wire import dumped, notification_body
from apps.core.errors import LoomError
from apps.core.version import version
from apps.providers.keys import unseal

MAX_NOTIFICATIONS = 100  # that one message tells of

Channel = Delivery.Channel
Send = Callable[[], int | None]  # hands the message over; the status of the answer, where there is one


class Unwanted(Exception):
    """Nobody waits for the message any more; the text says why."""


@dataclass(frozen=True)
class Told:
    """The notifications of one message: the first of them, and how many there are."""

    first: list[Notification]
    total: int


def prepared(delivery: Delivery) -> Send:
    """The message as it is now, to be handed over. Raises Unwanted, or Undeliverable."""
    if delivery.about:
        return prepare_account_mail(delivery)
    if not delivery.is_test:
        _still_wanted(delivery)
    told = _told(delivery)
    if not delivery.is_test and not told.total:
        raise Unwanted("Everything in it was read meanwhile, or is out of its reader's sight.")
    return _PREPARE[delivery.channel](delivery, told)


def _still_wanted(delivery: Delivery) -> None:
    found: NotificationPreferences | None = getattr(delivery.user, "notification_preferences", None)
    if not delivery.user.is_active or found is None or delivery.channel not in channels(found):
        way = "e-mail" if delivery.channel == Channel.EMAIL else "webhook"
        raise Unwanted(f"Its reader wants no {way} any more.")


def _told(delivery: Delivery) -> Told:
    """What its reader may still see; of a digest, what they have not read in Loom meanwhile."""
    rows = Notification.objects.for_user(delivery.user).filter(deliveries=delivery).order_by("pk")
    found = [row for row in rows if not (delivery.is_digest and _was_read(row))]
    return Told(found[:MAX_NOTIFICATIONS], len(found))


def _was_read(notification: Notification) -> bool:
    """By a person: what is not shown on pages is archived from the beginning."""
    moments = (notification.read_at, notification.archived_at)
    return any(moment is not None and moment > notification.created_at for moment in moments)


def prepare_webhook(delivery: Delivery, told: Told) -> Send:
    preferences: NotificationPreferences | None = getattr(delivery.user, "notification_preferences", None)
    if preferences is None or not preferences.webhook_url:
        raise Undeliverable("There is no webhook_url any more.", is_final=True)
    url = preferences.webhook_url
    delivery.target = (urlsplit(url).hostname or "")[:300]
    body = dumped(webhook_body(delivery, told))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Loom/{version()}",
        "X-Loom-Delivery": str(delivery.pk),
    }
    try:
        secret = unseal(preferences.webhook_secret_sealed)
    except LoomError as error:
        raise Undeliverable("The webhook's secret cannot be read; make a new one.", is_final=True) from error
    if secret:
        headers["X-Loom-Signature"] = signature(secret, body, timezone.now())
    return lambda: post(url, body, headers)


def signature(secret: str, body: bytes, now: datetime) -> str:
    """`t=<seconds>,v1=<hex>`: HMAC-SHA256 of `<seconds>.<body>`, so that a receiver can refuse old ones."""
    seconds = int(now.timestamp())
    digest = hmac.new(secret.encode(), b"%d." % seconds + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def webhook_body(delivery: Delivery, told: Told) -> dict[str, Any]:
    kind = "test" if delivery.is_test else "digest" if told.total > 1 else "notification"
    return {
        "id": str(delivery.pk),
        "type": kind,
        "timestamp": timezone.now(),
        "total": told.total,  # of which the first MAX_NOTIFICATIONS are here
        "notifications": [notification_body(notification) for notification in told.first],
    }


def prepare_email(delivery: Delivery, told: Told) -> Send:
    address = delivery.user.email
    if not address:
        raise Undeliverable("The account has no e-mail address.", is_final=True)
    delivery.target = address[:300]
    return _prepare_mail(delivery, *email_text(delivery, told))


def prepare_account_mail(delivery: Delivery) -> Send:
    if not is_wanted(delivery):
        raise Unwanted("The address was confirmed, withdrawn or replaced meanwhile.")
    return _prepare_mail(delivery, *account_text(delivery))


def _prepare_mail(delivery: Delivery, subject: str, text: str) -> Send:
    if not settings.LOOM_EMAIL_URL:
        raise Undeliverable("This installation sends no e-mail: LOOM_EMAIL_URL is not set.", is_final=True)
    # The same for every attempt, so that mail programs show one that came twice once.
    message_id = f"<loom-delivery-{delivery.pk}-{int(delivery.created_at.timestamp())}@{_host()}>"
    message = EmailMessage(
        subject, text, settings.LOOM_EMAIL_FROM, [delivery.target], headers={"Message-ID": message_id}
    )
    return lambda: _send(message)


def _host() -> str:
    return urlsplit(settings.LOOM_URL).hostname or "loom.invalid"


def _send(message: EmailMessage) -> None:
    try:
        message.send()
    except smtplib.SMTPRecipientsRefused as error:
        raise Undeliverable("The mail server refuses the address.", is_final=True) from error
    except (OSError, smtplib.SMTPException) as error:
        raise Undeliverable(f"The mail server did not take it: {str(error)[:200]}") from error


def email_text(delivery: Delivery, told: Told) -> tuple[str, str]:
    if delivery.is_test:
        return "Loom can reach you", "This message was asked for to see whether e-mail of Loom arrives.\n"
    if told.total == 1:
        one = told.first[0]
        return " ".join(f"Loom: {one.title}".split()), _said(one)
    said = [_said(one) for one in told.first]
    if told.total > len(told.first):
        said.append(f"And {told.total - len(told.first)} more, which wait in Loom.\n")
    return f"Loom: {told.total} notifications", "\n".join(said)


def _said(notification: Notification) -> str:
    link = f"{settings.LOOM_URL}{notification.link}\n" if notification.link and settings.LOOM_URL else ""
    when = f"{notification.created_at:%Y-%m-%d %H:%M} UTC"
    return (
        f"{notification.title}\n{notification.message}\n{link}{notification.get_priority_display()}, {when}\n"
    )


_PREPARE: Final[dict[str, Callable[[Delivery, Told], Send]]] = {
    Channel.EMAIL: prepare_email,
    Channel.WEBHOOK: prepare_webhook,
}

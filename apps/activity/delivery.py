"""Sending by e-mail and webhook. The rows are the queue: the sweep enqueues a job that was lost again.

A process may die between the other side's taking a message and our noting it. A webhook is then sent again
under the same `X-Loom-Delivery`, by which its receiver knows it. People get no e-mail twice by that: such a
one has failed, the log says why, and its reader may send it again.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, Final

import django_rq
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from redis import RedisError

from apps.activity.messages import Unwanted, prepared
from apps.activity.models import Delivery, NotificationPreferences
from apps.activity.outbound import Undeliverable
from apps.activity.preferences import after_quiet
from apps.events.bus import emit

MAX_ATTEMPTS = 8  # over about an hour
LEASE = timedelta(minutes=2)  # after that a job that says nothing counts as dead
FIRST_REST = timedelta(seconds=30)
SWEEP = 200
JOB: Final = "apps.activity.jobs.deliver"

Status, Channel = Delivery.Status, Delivery.Channel
log = logging.getLogger(__name__)


def enqueue(delivery_id: int) -> None:
    try:
        django_rq.get_queue("default").enqueue(JOB, delivery_id, description=f"delivery {delivery_id}")
    except RedisError as error:
        log.warning("delivery %s waits for the next sweep: %s", delivery_id, error)


def sweep() -> int:
    """Enqueue what is due, and what a job that died left behind; how many."""
    waiting = Delivery.objects.filter(status__in=[Status.PENDING, Status.SENDING], due_at__lte=timezone.now())
    due = list(waiting.order_by("due_at").values_list("pk", flat=True)[:SWEEP])
    for delivery_id in due:
        enqueue(delivery_id)
    return len(due)


def deliver(delivery_id: int) -> str:
    """Send it if it is due; what came of it. Two jobs at once send it once."""
    delivery = _claim(delivery_id)
    if delivery is None:
        return "nothing to do"
    try:
        _doubts(delivery)
        send = prepared(delivery)
        if not _hand_over(delivery):
            return "nothing to do"  # another job took it over meanwhile
        status = send()
    except Unwanted as why:
        return delivery_canceled(delivery=delivery, why=str(why))
    except Undeliverable as error:
        return delivery_failed(delivery=delivery, error=error)
    delivery_sent(delivery=delivery, status=status)
    return "sent"


@transaction.atomic
def _claim(delivery_id: int) -> Delivery | None:
    now = timezone.now()
    rows = Delivery.objects.filter(
        pk=delivery_id, status__in=[Status.PENDING, Status.SENDING], due_at__lte=now
    )
    if not rows.update(status=Status.SENDING, due_at=now + LEASE, attempts=F("attempts") + 1):
        return None
    claimed: Delivery = Delivery.objects.select_related("user__notification_preferences").get(pk=delivery_id)
    return claimed


def _doubts(delivery: Delivery) -> None:
    """Undeliverable if trying once more may do harm."""
    if delivery.handed_at is not None and delivery.channel == Channel.EMAIL:
        raise Undeliverable(
            "The process that sent it ended before the mail server answered: it may have arrived.",
            is_final=True,
        )
    if delivery.attempts > MAX_ATTEMPTS:
        raise Undeliverable(f"{MAX_ATTEMPTS} processes ended while they sent it.", is_final=True)


def _hand_over(delivery: Delivery) -> bool:
    """Note, before it happens, that the other side is given the message."""
    return bool(_mine(delivery).update(handed_at=timezone.now()))


@transaction.atomic
def delivery_sent(*, delivery: Delivery, status: int | None) -> None:
    mine = _mine(delivery)
    if mine.update(
        status=Status.SENT,
        ended_at=timezone.now(),
        error="",
        response_status=status,
        target=delivery.target,
    ):
        _tell("delivery.sent", delivery)


@transaction.atomic
def delivery_failed(*, delivery: Delivery, error: Undeliverable) -> str:
    """Plan another attempt, each after twice the rest of the one before, or give up."""
    gives_up = error.is_final or delivery.attempts >= MAX_ATTEMPTS
    now = timezone.now()
    fields: dict[str, Any] = {
        "error": str(error)[:500],
        "response_status": error.status,
        "target": delivery.target,
        "handed_at": None,
    }
    if gives_up:
        fields |= {"status": Status.FAILED, "ended_at": now}
    else:
        again = now + FIRST_REST * 2 ** (delivery.attempts - 1)
        preferences: NotificationPreferences | None = getattr(delivery.user, "notification_preferences", None)
        if preferences is not None and not (delivery.is_test or delivery.about):
            again = after_quiet(preferences, again)
        fields |= {"status": Status.PENDING, "due_at": again}
    if _mine(delivery).update(**fields) and gives_up:
        _tell("delivery.failed", delivery, error=str(error)[:500])
    return f"failed: {error}" if gives_up else f"will be tried again: {error}"


@transaction.atomic
def delivery_canceled(*, delivery: Delivery, why: str) -> str:
    """There is nothing to send any more."""
    if _mine(delivery).update(status=Status.CANCELED, ended_at=timezone.now(), error=why[:500]):
        _tell("delivery.canceled", delivery, reason=why)
    return f"not sent: {why}"


def _mine(delivery: Delivery) -> Any:
    """The row, unless another job took it over meanwhile."""
    return Delivery.objects.filter(pk=delivery.pk, status=Status.SENDING, attempts=delivery.attempts)


def _tell(kind: str, delivery: Delivery, **data: Any) -> None:
    emit(
        kind,
        organization_id=None,
        subject=f"delivery:{delivery.pk}",
        actor="loom",
        channel=delivery.channel,
        user_id=delivery.user_id,
        attempts=delivery.attempts,
        **data,
    )

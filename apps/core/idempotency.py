"""Writes to `IdempotentRequest`: who answers a request, and what was answered to it before."""

from __future__ import annotations

from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.core.errors import Conflict, Unprocessable
from apps.core.models import IdempotentRequest

KEPT = timedelta(hours=24)
IN_FLIGHT = timedelta(minutes=10)  # after that the process that answered is taken for dead
SWEEP = 100


def request_claim(*, user_id: int, key: str, fingerprint: str) -> IdempotentRequest:
    """The row of this key: with a `status` it was answered before, without one it is the caller's to answer.

    Unprocessable where the key was used for another request; Conflict while another answers this one.
    """
    now = timezone.now()
    rows = IdempotentRequest.objects.filter(user_id=user_id, key=key)
    try:
        with transaction.atomic():
            return IdempotentRequest.objects.create(
                user_id=user_id,
                key=key,
                fingerprint=fingerprint,
                locked_until=now + IN_FLIGHT,
                expires_at=now + KEPT,
            )
    except IntegrityError:
        row = rows.filter(expires_at__gt=now).first()
    if row is None:
        rows.filter(expires_at__lte=now).delete()
        return request_claim(user_id=user_id, key=key, fingerprint=fingerprint)
    if row.fingerprint != fingerprint:
        raise Unprocessable(
            "This Idempotency-Key was used for another request.", hint="Use a new key for a new request."
        )
    if row.status is None and not _taken_over(row):
        raise Conflict("The same request is being answered right now.", hint="Try again in a moment.")
    return row


def _taken_over(row: IdempotentRequest) -> bool:
    now = timezone.now()
    dead = IdempotentRequest.objects.filter(
        pk=row.pk, status=None, locked_until=row.locked_until, locked_until__lt=now
    )
    return dead.update(locked_until=now + IN_FLIGHT) == 1


def request_answered(*, row: IdempotentRequest, status: int, body: str, location: str = "") -> None:
    IdempotentRequest.objects.filter(pk=row.pk).update(status=status, body=body, location=location)


def request_release(*, row: IdempotentRequest) -> None:
    """Nothing came of it: the key may be used again."""
    IdempotentRequest.objects.filter(pk=row.pk, status=None).delete()


def requests_sweep() -> None:
    old = IdempotentRequest.objects.filter(expires_at__lt=timezone.now()).values("pk")[:SWEEP]
    IdempotentRequest.objects.filter(pk__in=[row["pk"] for row in old]).delete()

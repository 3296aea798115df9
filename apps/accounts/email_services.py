"""Writes to a person's e-mail address: a new one is in force once somebody who reads it has said so."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.user_services import email_read, user_tell, user_update
from apps.core.errors import NotFound, RateLimited
from apps.core.limits import Limit, limit_use
from apps.events.bus import emit

ASKED: Final = "user.email_asked"
SALT: Final = "loom.email"
LIFE: Final = 2 * 24 * 3600  # seconds
ASKS: Final = Limit(most=5, seconds=3600)  # nobody's mailbox is filled from here


@transaction.atomic
def email_change(*, user: User, email: str) -> bool:
    """By the person; True if the new address waits until it is confirmed and the old one stays.

    Where the installation sends no e-mail there is nothing to confirm with: it is in force at once.
    """
    email = email_read(email)
    if email == user.email or not email or not settings.LOOM_EMAIL_URL:
        email_withdraw(user=user)
        if email != user.email:
            user_update(user=user, email=email, actor=str(user))
        return False
    if seconds := limit_use(f"email:account:{user.pk}", ASKS):
        raise RateLimited(
            f"Too many confirmations were sent. Try again in {seconds // 60 + 1} minutes.",
            details={"retry_after": seconds},
        )
    User.objects.filter(pk=user.pk).update(pending_email=email, updated_at=timezone.now())
    user.pending_email = email
    emit(ASKED, organization_id=None, subject=f"user:{user.pk}", actor=str(user), account=user.pk)
    return True


@transaction.atomic
def email_withdraw(*, user: User) -> bool:
    """Stay with the old address; links to confirm the new one are good for nothing."""
    withdrawn = User.objects.filter(pk=user.pk).exclude(pending_email="").update(pending_email="")
    user.pending_email = ""
    return bool(withdrawn)


@transaction.atomic
def email_confirm(*, user: User, token: str) -> str:
    """By the person who asked, signed in, with the link from their new mailbox; the address."""
    email = email_of(user=user, token=token)
    confirmed = User.objects.filter(pk=user.pk, pending_email=email).update(
        email=email, pending_email="", updated_at=timezone.now()
    )
    if not confirmed:
        raise _gone()
    user_tell("user.updated", user, str(user), fields=["email"])
    return email


def email_of(*, user: User, token: str) -> str:
    """The address that a link confirms; NotFound if it does not, or is another person's."""
    try:
        whose, email = signing.loads(token, salt=SALT, max_age=LIFE)
    except (signing.BadSignature, TypeError, ValueError):
        raise _gone() from None
    if whose != user.pk:
        raise NotFound(
            "This link is for another account.", hint="Sign in with the account that asked for the change."
        )
    if email != user.pending_email:
        raise _gone()
    return str(email)


def email_link(user: User) -> str:
    """Where the person confirms the address that waits."""
    token = signing.dumps([user.pk, user.pending_email], salt=SALT)
    base = settings.LOOM_URL or f"http://localhost:{settings.LOOM_PORT}"
    return f"{base}{reverse('email-confirm', args=[token])}"


def _gone() -> NotFound:
    return NotFound(
        "This link is not good any more.",
        hint="It works once and for two days. Ask for the change again on the page of your account.",
    )

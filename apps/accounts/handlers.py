"""Logins through pages and failures behind every door, as events of the organizations concerned."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction

from apps.accounts.models import User
from apps.events.bus import Fact, emit_all


def listen() -> None:
    user_logged_in.connect(_succeeded, dispatch_uid="accounts.succeeded")
    user_logged_out.connect(_left, dispatch_uid="accounts.left")
    user_login_failed.connect(_failed, dispatch_uid="accounts.failed")


def _succeeded(sender: Any, user: User, **_: Any) -> None:
    _tell("login.succeeded", user)


def _left(sender: Any, user: User | None, **_: Any) -> None:
    if user is not None:
        _tell("login.ended", user, reason="logout")


def _failed(sender: Any, credentials: dict[str, Any], **_: Any) -> None:
    name = str(credentials.get("username", ""))[:150]
    _tell("login.failed", User.objects.filter(username=name).first(), username=name)


@transaction.atomic
def _tell(kind: str, user: User | None, **data: Any) -> None:
    """In each organization of the person; of somebody unknown, only the installation's operators hear."""
    organizations: list[int | None] = []
    if user is not None:
        organizations += user.memberships.values_list("organization_id", flat=True)
    subject, actor = (f"user:{user.pk}", str(user)) if user is not None else ("", "")
    emit_all(
        Fact(kind, organization_id, subject=subject, actor=actor, data=data)
        for organization_id in organizations or [None]
    )

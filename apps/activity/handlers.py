"""Reactions to events: whom they concern is told."""

from __future__ import annotations

from apps.accounts.email_services import ASKED
from apps.accounts.user_services import EMAIL_CHANGED
from apps.activity.rules import RULES
from apps.activity.services import account_mails_plan, notifications_create
from apps.events.bus import on
from apps.events.models import Event


@on(*RULES)
def notify(event: Event) -> None:
    notifications_create(event=event)


@on(ASKED, EMAIL_CHANGED)
def mail(event: Event) -> None:
    account_mails_plan(event=event)

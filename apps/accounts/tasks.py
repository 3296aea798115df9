"""Celery's door to what is left of logins."""

from __future__ import annotations

from celery import shared_task

from apps.accounts.login_services import logins_trim


@shared_task(name="accounts.trim")
def trim() -> None:
    logins_trim()

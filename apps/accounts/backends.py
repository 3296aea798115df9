"""Passwords, checked the same way behind every door: pages, admin, API. Who fails too often has to wait.

An unknown name costs as much time as a known one: Django hashes the password for it too.
"""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend

from apps.accounts.models import User
from apps.core.errors import RateLimited
from apps.core.limits import Limit, limit_forget, limit_return, limit_use
from apps.core.lookup import Lookup
from apps.core.origin import address_of, network_of

PERSON = Lookup(User.objects.all())
MAX_PASSWORD = 1000  # characters; hashing longer ones would only cost time
log = logging.getLogger(__name__)


class PasswordBackend(ModelBackend):
    def authenticate(
        self, request: Any, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if not isinstance(username, str) or not isinstance(password, str):
            return None
        account = f"login:account:{username.casefold()[:150]}"
        if len(password) > MAX_PASSWORD:
            return None
        address = f"login:address:{network_of(address_of(request.META))}" if request is not None else ""
        # Counted before the password is looked at: many tries at once are many tries.
        _count(account, settings.LOOM_LOGINS_PER_ACCOUNT)
        if address:
            _count(address, settings.LOOM_LOGINS_PER_ADDRESS)
        person = super().authenticate(request, username=username, password=password, **kwargs)
        if person is not None:
            limit_forget(account)
            if address:
                limit_return(address)
        return person

    def get_user(self, user_id: int) -> User | None:
        """Asked for by every request of a session."""
        try:
            person = PERSON.get(user_id)
        except User.DoesNotExist:
            return None
        return person if self.user_can_authenticate(person) else None


def password_confirm(person: User, password: str) -> bool:
    """The person's own password, asked for again; who holds their session cannot try many."""
    name = f"password:account:{person.pk}"
    _count(name, settings.LOOM_LOGINS_PER_ACCOUNT)
    is_right = len(password) <= MAX_PASSWORD and person.check_password(password)
    if is_right:
        limit_forget(name)
    return is_right


def _count(name: str, most: int) -> None:
    if seconds := limit_use(name, Limit(most, settings.LOOM_LOGIN_SECONDS)):
        log.warning("too many failed logins: %s", name)
        raise RateLimited(
            f"Too many wrong passwords. Try again in {seconds} seconds.", details={"retry_after": seconds}
        )

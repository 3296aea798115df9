"""So many requests a minute of one person, and of one API key."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from apps.core.limits import Limit, limit_use
from apps.core.middleware import MINUTE, too_many
from apps.core.tenancy import access_of


class RateLimit(BaseThrottle):
    """Visitors are counted by address only, before anything else (apps.core.middleware)."""

    def allow_request(self, request: Request, view: Any) -> bool:
        user = request.user
        if not user.is_authenticated:
            return True
        access = access_of(user)
        name, most = f"user:{user.pk}", settings.LOOM_RATE_PER_USER
        if access.is_key:
            name, most = access.credential, settings.LOOM_RATE_PER_KEY
        if seconds := limit_use(f"rate:{name}", Limit(most, MINUTE)):
            raise too_many(seconds)
        return True

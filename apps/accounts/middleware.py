"""The organization that a browser has chosen, and a trace of every change."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from apps.accounts.services import request_tell
from apps.core.origin import origin_current
from apps.core.tenancy import Access

CHOSEN = "organization"  # in the session: the id of the organization one looks at; absent: all of them
SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}


class OrganizationMiddleware(MiddlewareMixin):
    """Narrows the person of a session to the organization they have chosen."""

    def process_request(self, request: HttpRequest) -> None:
        if (chosen := request.session.get(CHOSEN)) is None:
            return
        user: Any = request.user
        if not user.is_authenticated:
            return
        if user.is_superuser or user.memberships.filter(organization_id=chosen).exists():
            user.access = Access(organization_id=chosen)
        else:
            del request.session[CHOSEN]


class AuditMiddleware(MiddlewareMixin):
    """Each change leaves an event that says who made it from where, also one whose code emits none itself."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        origin, user = origin_current(), getattr(request, "user", None)
        is_change = request.method not in SAFE and response.status_code < 400
        is_change = is_change and "Idempotency-Replayed" not in response  # which changed nothing
        if (
            is_change
            and origin is not None
            and not origin.told
            and user is not None
            and user.is_authenticated
        ):
            request_tell(
                user=user, method=str(request.method), path=request.path, status=response.status_code
            )
        return response

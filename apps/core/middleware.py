"""What stands around every request: its id and origin, the limit of its address, the policy of its page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin

from apps.core.errors import LoomError, RateLimited
from apps.core.inline import inline_hashes
from apps.core.limits import Limit, limit_use
from apps.core.origin import Origin, address_of, network_of, origin_enter, origin_leave

API_PREFIX = "/api/"
REQUEST_ID = "X-Request-ID"
MINUTE = 60
# Pages of others, whose templates have scripts and styles of their own in them.
FOREIGN_PAGES = {
    "/admin/": ("django.contrib.admin", "django_rq"),
    "/queues/": ("django_rq",),
}
# What those pages make by script, in versions that are pinned: of ReDoc an empty style element to fill, the
# style of its scroll bar, and the worker that searches; of the browsable API one style attribute.
NEEDS = {
    "/api/redoc/": {
        "style-src": [
            "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
            "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='",
        ],
        "worker-src": ["blob:"],
    },
    "/api/v1/": {
        "style-src": ["'unsafe-hashes'", "'sha256-OfgyIBrd+/vP79JdFMYP+re4T+fIenvkrHPD2HZ8/cs='"],
    },
}

Answer = HttpResponseBase | Awaitable[HttpResponseBase]


class RequestMiddleware:
    """Outermost: gives the request an id, which every answer, log line and event of it carries."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        if self._is_async:
            return self._later(request)
        origin = Origin(request)
        token = origin_enter(origin)
        try:
            response: HttpResponseBase = self._get_response(request)
        finally:
            origin_leave(token)
        response[REQUEST_ID] = origin.request_id
        return response

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        origin = Origin(request)
        token = origin_enter(origin)
        try:
            response: HttpResponseBase = await self._get_response(request)
        finally:
            origin_leave(token)
        response[REQUEST_ID] = origin.request_id
        return response


class AddressLimitMiddleware(MiddlewareMixin):
    """So many requests a minute from one address, whoever it is; probes of health are not counted."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        if request.path.startswith(("/health", "/api/v1/health")):
            return None
        limit = Limit(settings.LOOM_RATE_PER_ADDRESS, MINUTE)
        if seconds := limit_use(f"rate:address:{network_of(address_of(request.META))}", limit):
            return error_answer(request, too_many(seconds))
        return None


class ErrorMiddleware(MiddlewareMixin):
    """Errors that people can understand, on a page of their own where no view says them better."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return error_answer(request, exception) if isinstance(exception, LoomError) else None


class PolicyMiddleware(CSPMiddleware):
    """The strict policy; pages of others also run what their templates hold, by its hash."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if parts.update or not response.get("Content-Type", "").startswith("text/html"):
            return parts
        for prefix, packages in FOREIGN_PAGES.items():
            if request.path.startswith(prefix):
                parts.update = inline_hashes(packages)
        for prefix, needed in NEEDS.items():
            if request.path.startswith(prefix):
                parts.update = needed
        return parts


def too_many(seconds: int) -> RateLimited:
    return RateLimited(
        f"Too many requests. Try again in {seconds} seconds.", details={"retry_after": seconds}
    )


def error_answer(request: HttpRequest, error: LoomError) -> HttpResponse:
    """The error as JSON for programs and as a page for people."""
    response: HttpResponse
    if request.path.startswith(API_PREFIX):
        response = JsonResponse(error.body(), status=error.status)
    else:
        response = render(request, "error.html", {"error": error}, status=error.status)
    if isinstance(error, RateLimited):
        response["Retry-After"] = str(error.seconds)
    return response

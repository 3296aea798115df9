"""Whether this process can do its work: for load balancers and people with curl."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.core.broker import broker_url
from apps.core.version import version

BROKER_SECONDS = 1.0
OK = "ok"
UNREACHABLE = "unreachable"

log = logging.getLogger(__name__)

# What higher apps add to the page: name -> function; `everything` only for people who are logged in.
EXTRAS: dict[str, Callable[..., dict[str, Any]]] = {}


@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """503 without the database; without the broker pages and API still work, but nothing starts at once."""
    parts = {"database": database_state(), "broker": broker_state()}
    status = OK if all(state == OK for state in parts.values()) else "degraded"
    if parts["database"] != OK:
        status = "failing"
    said = {"status": status, "version": version(), **parts}
    if status == "failing":
        return JsonResponse(said, status=503)
    return JsonResponse({**said, **extras(request)})


def extras(request: HttpRequest) -> dict[str, Any]:
    everything = bool(getattr(request, "user", None) and request.user.is_staff)
    try:
        return {name: show(everything=everything) for name, show in EXTRAS.items()}
    except DatabaseError as error:
        log.warning("the health page is not complete: %s", error)
        return {}


def database_state() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        log.warning("the database does not answer: %s", error)
        return UNREACHABLE
    return OK


def broker_state() -> str:
    url = broker_url(Path(settings.LOOM_DATA_DIR))
    try:
        with redis.Redis.from_url(
            url, socket_timeout=BROKER_SECONDS, socket_connect_timeout=BROKER_SECONDS
        ) as client:
            client.ping()
    except redis.RedisError as error:
        log.warning("the broker does not answer: %s", error)
        return UNREACHABLE
    return OK

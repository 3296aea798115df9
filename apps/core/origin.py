"""Where a change came from: who asked, with what, from which address; kept with every event.

One of these stands for the request in hand; work of the platform itself has none.
"""

from __future__ import annotations

import logging
import re
import uuid
from contextvars import ContextVar, Token
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings

from apps.core.storable import storable_text
from apps.core.tenancy import access_of

SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
ADDRESS_CHARS, AGENT_CHARS = 45, 200
SESSION = "session"


class Origin:
    """A request, as the events it causes tell of it."""

    def __init__(self, request: Any) -> None:
        self._request = request
        request.origin = self
        self.request_id = request_id_of(request.headers.get("X-Request-ID", ""))
        self.address = address_of(request.META)
        self.user_agent = storable_text(request.headers.get("User-Agent", ""))[:AGENT_CHARS]
        self.told = 0  # events so far

    def fields(self) -> dict[str, Any]:
        """What an event keeps; counts that there was one."""
        self.told += 1
        user: Any = getattr(self._request, "user", None)
        is_known = user is not None and user.is_authenticated
        return {
            "user_id": user.pk if is_known else None,
            "credential": _named(access_of(user).credential) if is_known else "",
            "address": self.address,
            "user_agent": self.user_agent,
            "request_id": self.request_id,
        }


def _named(credential: str) -> str:
    """As events name it: a session has no name that is told."""
    return SESSION if credential.partition(":")[0] in {"", SESSION} else credential


_current: ContextVar[Origin | None] = ContextVar("origin", default=None)


def origin_current() -> Origin | None:
    return _current.get()


def origin_enter(origin: Origin) -> Token[Origin | None]:
    return _current.set(origin)


def origin_leave(token: Token[Origin | None]) -> None:
    _current.reset(token)


def request_id_of(given: str) -> str:
    """The id a client or proxy gave the request if it is a sane one, else a new one."""
    return given if SANE_ID.fullmatch(given) else uuid.uuid4().hex


def address_of(meta: dict[str, Any]) -> str:
    """The client's address, as the first of LOOM_PROXIES trusted proxies saw it."""
    proxies: int = settings.LOOM_PROXIES
    seen = [part.strip() for part in str(meta.get("HTTP_X_FORWARDED_FOR", "")).split(",") if part.strip()]
    if proxies and len(seen) >= proxies:
        return storable_text(seen[-proxies])[:ADDRESS_CHARS]
    return str(meta.get("REMOTE_ADDR", ""))[:ADDRESS_CHARS]


def network_of(address: str) -> str:
    """Whom an address stands for where addresses are counted: of IPv6 one has a whole /64 to choose from."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or ip_network((found, 64), strict=False))
    return str(found)


class RequestIdFilter(logging.Filter):
    """Gives every log record `request_id`; work of the platform itself has a dash."""

    def filter(self, record: logging.LogRecord) -> bool:
        # What the framework says about an answer, it says when the request is over; but it names it.
        origin = origin_current() or getattr(getattr(record, "request", None), "origin", None)
        record.request_id = origin.request_id if origin else "-"
        return True

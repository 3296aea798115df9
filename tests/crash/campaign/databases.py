"""The database under attack: SQLite in the data directory, or a PostgreSQL cluster of the campaign's own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path

from apps.core.errors import Unavailable

INSTALLED = "/usr/lib/postgresql"  # Debian keeps the programs of each version off the PATH
OPTIONS = "-c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200"


class Cluster:
    """A PostgreSQL server with its own files, run by the user `postgres` when we are root."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = _free_port()

    @property
    def url(self) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/loom"

    def start(self) -> None:
        self.directory.mkdir(mode=0o700)
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        self._run("initdb", "-D", self._files, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        self._run("pg_ctl", *self._control, "-o", f"{OPTIONS} -p {self.port}", "start")
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "loom")

    def restart(self, mode: str) -> None:
        """`immediate` is a crash: the server recovers from its log. `fast` ends every transaction."""
        self._run("pg_ctl", *self._control, "-m", mode, "restart")

    def stop(self) -> None:
        if (Path(self._files) / "postmaster.pid").exists():
            self._run("pg_ctl", *self._control, "-m", "immediate", "stop")

    @property
    def _files(self) -> str:
        return str(self.directory / "files")

    @property
    def _control(self) -> tuple[str, ...]:
        return ("-D", self._files, "-l", str(self.directory / "server.log"), "-w", "-s")

    def _run(self, program: str, *arguments: str) -> None:
        become = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
        done = subprocess.run(
            [*become, _program(program), *arguments],
            cwd=self.directory,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a pipe would stay open in the server
            stderr=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"{program} failed.", hint=f"See {self.directory / 'server.log'}.")


def _program(name: str) -> str:
    versions = sorted(Path(INSTALLED).glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    found = str(versions[-1]) if versions else shutil.which(name)
    if found is None:
        raise Unavailable(f"{name} is not installed.", hint="Install PostgreSQL, or use --database sqlite.")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""What others are measured with: `.venv-bench`, made when it is first needed, and services that answer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis

from tests.bench.child import ROOT

LOCK = ROOT / "requirements-bench.txt"
PLACE = ROOT / ".venv-bench"
SECONDS = 300


class Missing(Exception):
    """Something this part of the benchmark needs is not there; the text says what."""


def services_need(env: Mapping[str, str], *, broker: bool = False) -> None:
    """Raise Missing unless PostgreSQL (and Redis, if `broker`) is named and answers."""
    url = env.get("DATABASE_URL", "")
    if urlsplit(url).scheme not in ("postgres", "postgresql"):
        raise Missing("This part needs PostgreSQL: DATABASE_URL=postgres://user:password@host/name.")
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.Error as error:
        raise Missing(f"PostgreSQL does not answer: {error}") from None
    if broker and not env.get("REDIS_URL"):
        raise Missing("This part needs Redis: REDIS_URL=redis://host:6379/0.")
    try:
        if broker:
            redis.from_url(env["REDIS_URL"], socket_connect_timeout=5).ping()
    except redis.RedisError as error:
        raise Missing(f"Redis does not answer: {error}") from None


def python() -> str:
    """The interpreter of `.venv-bench`, with everything of its lock file installed."""
    stamp, program = PLACE / ".installed", PLACE / "bin" / "python"
    want = sha256(LOCK.read_bytes()).hexdigest()
    if not (program.exists() and stamp.exists() and stamp.read_text() == want):
        _install(program)
        stamp.write_text(want)
    return str(program)


def _install(program: Path) -> None:
    uv = str(Path(sys.executable).parent / "uv")
    fill = [uv, "pip", "install", "--require-hashes", "--python", str(program), "-r", str(LOCK)]
    try:
        for command in ([sys.executable, "-m", "venv", "--clear", str(PLACE)], fill):
            subprocess.run(command, cwd=ROOT, timeout=SECONDS, check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        raise Missing(f"{LOCK.name} could not be installed: {error.stderr.decode()[-500:]}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{LOCK.name} could not be installed: {error}") from None

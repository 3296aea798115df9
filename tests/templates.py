"""Databases with all tables and nothing in them: migrated once, and copied wherever a test needs one.

A file of SQLite is kept between runs, for as long as the migrations stay what they are. On PostgreSQL the
template lives as long as the run: all its processes share one, and `template_drop` ends it.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / ".pytest_cache" / "loom"
SECONDS = 120
LEADER = "LOOM_TEST_LEADER"  # names the process that started the others


def sqlite_copy(target: Path) -> None:
    """Put a migrated database of SQLite there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked():
        made = KEPT / f"{_version()}.sqlite3"
        if not made.exists():
            for old in KEPT.glob("*.sqlite3"):
                old.unlink()
            _migrate(LOOM_DATA_DIR=str(KEPT / "making"))
            (KEPT / "making" / "loom.sqlite3").replace(made)
            shutil.rmtree(KEPT / "making")
        shutil.copyfile(made, target)


def template_name(url: str) -> str:
    """The name of the run's migrated database on the server of this URL."""
    name = _name()
    if os.environ[LEADER] == str(os.getpid()):
        atexit.register(template_drop, url)
    with _locked(), psycopg.connect(url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            _migrate(DATABASE_URL=urlsplit(url)._replace(path=f"/{name}").geturl())
    return name


def template_drop(url: str) -> None:
    _drop(url, _name())


@contextlib.contextmanager
def postgres_copy(url: str) -> Iterator[str]:
    """The URL of a migrated database of its own, beside the one of this URL."""
    template, name = template_name(url), f"loom_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(made.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        _drop(url, name)


def disconnect(url: str, name: str) -> None:
    """End the connections that threads still hold, which may live as long as the process does."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )


def _drop(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _name() -> str:
    return f"loom_template_{os.environ.setdefault(LEADER, str(os.getpid()))}"


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def _version() -> str:
    """Another one whenever a migration, or a package that may bring one, changes."""
    digest = hashlib.sha256()
    for path in [*sorted(ROOT.glob("apps/*/migrations/*.py")), ROOT / "requirements.txt"]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _migrate(**environment: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env={
            **{key: value for key, value in os.environ.items() if key != "DATABASE_URL"},
            **environment,
            "DJANGO_SETTINGS_MODULE": "loom_site.settings",
        },
        check=True,
        timeout=SECONDS,
    )

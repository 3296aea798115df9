from __future__ import annotations

import json
import os
import re
import signal
import socket
import urllib.request
import uuid
from collections.abc import Iterator
from functools import partial
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import psycopg
import pytest
from psycopg import sql
from redis import Redis
from rq import Queue

from apps.core.broker import socket_path
from tests.core.collector import collecting
from tests.core.processes import Running, is_alive, wait_until
from tests.templates import sqlite_copy

pytestmark = [pytest.mark.slow, pytest.mark.crash]

PASSWORD = re.compile(r"password (\S{16,})")


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "data"
    yield path
    leftover = Running(path, "-c", "pass")
    leftover.clean()


@pytest.fixture
def migrated(data_dir: Path) -> Path:
    """A data directory whose database has its tables, as after a first start."""
    sqlite_copy(data_dir / "loom.sqlite3")
    return data_dir


def up(data_dir: Path, **environment: str) -> Running:
    loom = Running(data_dir, **environment)
    loom.wait_for(f"Loom is ready at http://localhost:{loom.port}")
    return loom


def get(loom: Running, path: str) -> tuple[int, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{loom.port}{path}", timeout=10) as answer:
        return answer.status, answer.read().decode()


def as_admin(loom: Running, path: str) -> str:
    """A page as the administrator of the first start sees it."""
    web = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies := CookieJar()))
    base = f"http://127.0.0.1:{loom.port}"
    web.open(f"{base}/login/", timeout=30).read()
    token = next(cookie.value for cookie in cookies if cookie.name == "csrftoken")
    (password,) = PASSWORD.findall(loom.text)
    said = {"username": "admin", "password": password, "csrfmiddlewaretoken": token}
    web.open(f"{base}/login/", urlencode(said).encode(), timeout=30).read()
    text: str = web.open(base + path, timeout=30).read().decode()
    return text


def processes(loom: Running) -> dict[str, int]:
    """Name to pid of what `up` forked; forks show the command line of `up`, their names are their own."""
    found: dict[str, int] = {}
    for pid in loom.others():
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        found[name.removeprefix("loom-")] = pid
    return found


@pytest.mark.once
def test_it_serves_and_ends_without_a_trace_and_shows_the_password_only_once(data_dir: Path) -> None:
    loom = up(data_dir)
    status, body = get(loom, "/api/v1/health")
    assert status == 200
    assert json.loads(body)
    assert len(PASSWORD.findall(loom.text)) == 1
    wait_until(lambda: {"web", "worker", "beat", "jobs", "valkey-server"} <= set(processes(loom)))
    assert loom.end(signal.SIGINT) == 0
    assert "Loom has stopped." in loom.text
    assert "Traceback" not in loom.text
    wait_until(lambda: not loom.others(), seconds=10, what="nothing is left")

    with collecting() as collector:
        again = up(data_dir, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="200")
        assert get(again, "/api/v1/health")[0] == 200
        assert PASSWORD.findall(again.text) == []
        with Redis(unix_socket_path=str(socket_path(data_dir))) as broker:
            Queue("default", connection=broker).enqueue("time.time")
        for service, name in (
            ("loom-web", "GET api/v1/health"),
            ("loom-worker", "start"),
            ("loom-beat", "send engine.sweep"),
            ("loom-jobs", "job time.time"),
        ):
            told = partial(collector.has, service, name)
            wait_until(told, what=f"{name} of {service}")
        assert again.end(signal.SIGTERM) == 0
    wait_until(lambda: not again.others(), seconds=10, what="nothing is left")


@pytest.mark.once
def test_killing_it_leaves_nothing_and_killing_a_worker_only_restarts_that(migrated: Path) -> None:
    loom = up(migrated)
    wait_until(lambda: {"web", "worker", "beat", "jobs"} <= set(processes(loom)))
    before = processes(loom)
    os.kill(before["worker"], signal.SIGKILL)
    wait_until(lambda: processes(loom).get("worker") not in {None, before["worker"]}, what="another worker")
    assert is_alive(before["web"])
    assert get(loom, "/api/v1/health")[0] == 200
    loom.end(signal.SIGKILL)
    wait_until(lambda: not loom.others(), seconds=10, what="nothing is left")


@pytest.mark.once
def test_periodic_tasks_reach_the_worker(migrated: Path) -> None:
    loom = up(migrated, LOOM_QUEUE_LOG_LEVEL="INFO")
    loom.wait_for(r"(?m)^worker \|.*engine\.sweep\[.*succeeded")
    page = as_admin(loom, "/admin/engine/run/machinery/")
    assert "Embedded, version" in page
    assert "answered within" in page, "the worker says so itself"
    assert "engine-sweep" in page
    assert loom.end(signal.SIGINT) == 0


@pytest.mark.once
def test_a_busy_port_is_one_clear_sentence(data_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        loom = Running(data_dir, LOOM_PORT=str(port))
        assert loom.process.wait(60) == 2
    assert f"cannot listen on 127.0.0.1 port {port}: something else is listening there." in loom.text
    assert f"LOOM_PORT={port + 1}" in loom.text
    assert "Traceback" not in loom.text


@pytest.mark.once
def test_an_unreachable_database_is_one_clear_sentence(data_dir: Path) -> None:
    loom = Running(data_dir, DATABASE_URL="postgres://nobody:secret@127.0.0.1:1/none")
    assert loom.process.wait(60) == 2
    assert "The database cannot be used" in loom.text
    assert "DATABASE_URL" in loom.text
    assert "Traceback" not in loom.text
    assert "secret" not in loom.text


@pytest.fixture
def fresh_database() -> Iterator[str]:
    """The URL of an empty PostgreSQL database beside the one that DATABASE_URL names."""
    url = urlsplit(os.environ["DATABASE_URL"])
    name = f"loom_up_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url.geturl(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield url._replace(path=f"/{name}").geturl()
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.services
@pytest.mark.skipif(
    not (os.environ.get("DATABASE_URL", "").startswith("postgres") and os.environ.get("REDIS_URL")),
    reason="DATABASE_URL and REDIS_URL name no PostgreSQL and Redis",
)
def test_with_postgresql_and_redis_it_starts_no_broker(data_dir: Path, fresh_database: str) -> None:
    loom = up(
        data_dir, DATABASE_URL=fresh_database, REDIS_URL=os.environ["REDIS_URL"], LOOM_QUEUE_LOG_LEVEL="INFO"
    )
    loom.wait_for(r"(?m)^worker \|.*engine\.sweep\[.*succeeded")
    assert get(loom, "/api/v1/health")[0] == 200
    assert "valkey-server" not in processes(loom)
    assert not (data_dir / "loom.sqlite3").exists()
    assert loom.end(signal.SIGINT) == 0
    wait_until(lambda: not loom.others(), seconds=10, what="nothing is left")

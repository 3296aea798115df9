from __future__ import annotations

import json
import os
import re
import signal
import socket
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.core.processes import Running, is_alive, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.crash]

PASSWORD = re.compile(r"password (\S{16,})")


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "data"
    yield path
    leftover = Running(path, "-c", "pass")
    leftover.clean()


def up(data_dir: Path, **environment: str) -> Running:
    loom = Running(data_dir, **environment)
    loom.wait_for(f"Loom is ready at http://localhost:{loom.port}")
    return loom


def get(loom: Running, path: str) -> tuple[int, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{loom.port}{path}", timeout=10) as answer:
        return answer.status, answer.read().decode()


def processes(loom: Running) -> dict[str, int]:
    """Name to pid of what `up` forked; forks show the command line of `up`, their names are their own."""
    found: dict[str, int] = {}
    for pid in loom.others():
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        found[name.removeprefix("loom-")] = pid
    return found


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

    again = up(data_dir)
    assert get(again, "/api/v1/health")[0] == 200
    assert PASSWORD.findall(again.text) == []
    assert again.end(signal.SIGTERM) == 0
    wait_until(lambda: not again.others(), seconds=10, what="nothing is left")


def test_killing_it_leaves_nothing_and_killing_a_worker_only_restarts_that(data_dir: Path) -> None:
    loom = up(data_dir)
    wait_until(lambda: {"web", "worker", "beat", "jobs"} <= set(processes(loom)))
    before = processes(loom)
    os.kill(before["worker"], signal.SIGKILL)
    wait_until(lambda: processes(loom).get("worker") not in {None, before["worker"]}, what="another worker")
    assert is_alive(before["web"])
    assert get(loom, "/api/v1/health")[0] == 200
    loom.end(signal.SIGKILL)
    wait_until(lambda: not loom.others(), seconds=10, what="nothing is left")


def test_periodic_tasks_reach_the_worker(data_dir: Path) -> None:
    loom = up(data_dir, LOOM_QUEUE_LOG_LEVEL="INFO")
    loom.wait_for(r"(?m)^worker \|.*engine\.sweep\[.*succeeded")
    assert loom.end(signal.SIGINT) == 0


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

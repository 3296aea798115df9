from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from redis import Redis

from apps.core import broker
from apps.core.broker import BrokerKeeper, broker_url, celery_url, socket_path
from apps.core.errors import Unavailable
from tests.core.processes import Running, is_alive, wait_until


@pytest.fixture(autouse=True)
def embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[BrokerKeeper]:
    keeper = BrokerKeeper(tmp_path)
    yield keeper
    keeper.stop()


def client(data_dir: Path) -> Redis:
    return Redis.from_url(broker_url(data_dir), decode_responses=True)


def test_it_answers_as_soon_as_ensure_returns(keeper: BrokerKeeper, tmp_path: Path) -> None:
    assert keeper.ensure()
    assert client(tmp_path).ping()


def test_celery_reaches_it_by_its_own_spelling_of_the_url(tmp_path: Path) -> None:
    data_dir = tmp_path / "with space and 100%"
    keeper = BrokerKeeper(data_dir)
    try:
        keeper.ensure()
        Celery(broker=celery_url(data_dir), set_as_current=False).send_task("anything", queue="somewhere")
        assert client(data_dir).llen("somewhere") == 1
    finally:
        keeper.stop()


def test_it_listens_on_a_private_socket_and_on_no_port(keeper: BrokerKeeper, tmp_path: Path) -> None:
    keeper.ensure()
    assert stat.S_IMODE(keeper.socket.stat().st_mode) == 0o700
    assert stat.S_IMODE(keeper.socket.parent.stat().st_mode) == 0o700
    assert client(tmp_path).config_get("port") == {"port": "0"}
    assert client(tmp_path).config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_killed_broker_comes_back_with_its_data(keeper: BrokerKeeper, tmp_path: Path) -> None:
    keeper.ensure()
    client(tmp_path).rpush("queue", *range(1000))
    first = keeper.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: keeper.ensure() and keeper.pid != first, what="another broker runs")
    assert client(tmp_path).llen("queue") == 1000


def test_a_stopped_broker_keeps_its_data_for_the_next_start(keeper: BrokerKeeper, tmp_path: Path) -> None:
    keeper.ensure()
    client(tmp_path).set("kept", "yes")
    keeper.stop()
    keeper.ensure()
    assert client(tmp_path).get("kept") == "yes"


def test_a_second_keeper_uses_the_first_ones_broker_and_takes_over_when_it_goes(
    keeper: BrokerKeeper, tmp_path: Path
) -> None:
    keeper.ensure()
    client(tmp_path).set("kept", "yes")
    second = BrokerKeeper(tmp_path)
    try:
        assert (second.ensure(), second.pid) == (True, None)
        keeper.stop()
        second.ensure()
        assert second.pid is not None
        assert client(tmp_path).get("kept") == "yes"
    finally:
        second.stop()


def test_it_is_taken_over_from_a_keeper_that_was_killed(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    script = tmp_path / "hold.py"
    script.write_text(
        "import sys, time, pathlib\n"
        "from apps.core.broker import BrokerKeeper\n"
        f"keeper = BrokerKeeper(pathlib.Path({str(data_dir)!r}))\n"
        "keeper.ensure()\n"
        "print('broker', keeper.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    holder = Running(data_dir, str(script))
    keeper = BrokerKeeper(data_dir)
    try:
        old = int(holder.wait_for(r"broker (\d+)")[1])
        client(data_dir).set("kept", "yes")
        holder.end(signal.SIGKILL)
        wait_until(lambda: not is_alive(old), what="the broker of a killed keeper ends")
        wait_until(keeper.ensure, what="the lock of the dead broker is free")
        assert keeper.pid not in {None, old}
        assert client(data_dir).get("kept") == "yes"
    finally:
        keeper.stop()
        holder.clean()


def test_a_damaged_file_is_set_aside_instead_of_keeping_the_broker_down(
    keeper: BrokerKeeper, tmp_path: Path
) -> None:
    keeper.ensure()
    client(tmp_path).set("kept", "yes")
    keeper.stop()
    for file in (tmp_path / "broker" / "appendonlydir").glob("*.incr.aof"):
        file.write_bytes(b"this is no append only file\r\n" * 20)
    assert keeper.ensure()
    assert client(tmp_path).ping()
    assert len(list((tmp_path / "broker").glob("damaged-*"))) == 1


def test_a_long_data_directory_gets_a_short_socket(tmp_path: Path) -> None:
    data_dir = tmp_path / ("long" * 30)
    path = socket_path(data_dir)
    assert len(os.fsencode(path)) < 108
    assert path != socket_path(tmp_path / ("gone" * 30))
    keeper = BrokerKeeper(data_dir)
    try:
        keeper.ensure()
        assert client(data_dir).ping()
    finally:
        keeper.stop()


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "broker").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unavailable, match="not a directory of this user"):
        BrokerKeeper(tmp_path).ensure()


def test_a_server_that_cannot_start_is_reported_with_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "find_server", lambda: Path(sys.executable))
    keeper = BrokerKeeper(tmp_path)
    with pytest.raises(Unavailable, match="did not start") as caught:
        keeper.ensure()
    assert "REDIS_URL" in caught.value.hint
    keeper.stop()


def test_without_any_server_program_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "bundled_server", lambda: None)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Unavailable) as caught:
        broker.find_server()
    assert "REDIS_URL" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "for_celery"),
    [
        ("redis://localhost:6379/3", "redis://localhost:6379/3"),
        ("unix:///run/redis.sock?db=2", "redis+socket:///run/redis.sock?virtual_host=2"),
    ],
)
def test_redis_url_replaces_the_embedded_broker(
    given: str, for_celery: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", given)
    assert broker_url(tmp_path) == given
    assert celery_url(tmp_path) == for_celery
    keeper = BrokerKeeper(tmp_path)
    assert keeper.ensure()
    assert keeper.pid is None
    assert not (tmp_path / "broker").exists()

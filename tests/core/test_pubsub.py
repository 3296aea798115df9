"""Live messages: from any process to all that listen; what is lost is told."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import redis
from django.conf import settings

from apps.core import pubsub
from apps.core.broker import broker_url
from apps.core.pubsub import Subscription, publish, subscribe

SECONDS = 60  # a process that only starts takes many of them on a busy machine


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scene(), SECONDS)

    asyncio.run(bounded())


async def heard(subscription: Subscription, count: int) -> list[bytes | None]:
    items: list[bytes | None] = []
    while len(items) < count:
        items += await subscription.get()
    return items


def test_every_subscriber_hears_messages_of_its_channel_in_order() -> None:
    async def scene() -> None:
        async with subscribe("a") as one, subscribe("a") as two, subscribe("b") as other:
            assert await heard(one, 1) == await heard(two, 1) == await heard(other, 1) == [None]
            sent = [b"%d" % number for number in range(600)]
            for message in sent:
                publish("a", message)
            publish("b", b"only b")
            assert await heard(one, 600) == await heard(two, 600) == sent
            assert await heard(other, 1) == [b"only b"]

    play(scene)


def test_another_process_is_heard_even_if_it_ends_at_once() -> None:
    script = "import django; django.setup(); from apps.core.pubsub import publish; publish('a', b'from afar')"

    async def scene() -> None:
        async with subscribe("a") as messages:
            await heard(messages, 1)
            await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script], check=True)
            assert await heard(messages, 1) == [b"from afar"]

    play(scene)


def test_who_reads_too_slowly_is_told_that_something_was_lost() -> None:
    async def scene() -> None:
        async with subscribe("a", size=3) as slow, subscribe("a") as quick:
            await heard(slow, 1)
            await heard(quick, 1)
            for number in range(5):
                publish("a", b"%d" % number)
            assert await heard(quick, 5) == [b"0", b"1", b"2", b"3", b"4"]
            assert (await slow.get())[0] is None

    play(scene)


def test_bells_that_wait_together_ring_once() -> None:
    waiting = pubsub._Publisher()
    waiting._waiting.extend([("a", b""), ("b", b""), ("a", b""), ("a", b"1"), ("a", b"1")])
    assert waiting._take() == [("a", b""), ("b", b""), ("a", b"1"), ("a", b"1")]


def test_a_broken_connection_to_the_broker_is_told_and_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pubsub, "RETRY_SECONDS", 0.01)
    client = redis.Redis.from_url(broker_url(Path(settings.LOOM_DATA_DIR)))

    async def scene() -> None:
        async with subscribe("a") as messages:
            await heard(messages, 1)
            await asyncio.to_thread(client.execute_command, "CLIENT", "KILL", "TYPE", "pubsub")
            assert await heard(messages, 1) == [None]
            publish("a", b"again")
            assert await heard(messages, 1) == [b"again"]

    play(scene)


def test_publishing_without_a_broker_neither_fails_nor_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr(settings, "LOOM_DATA_DIR", tmp_path)
    monkeypatch.setattr(pubsub, "RETRY_SECONDS", 0.01)
    caplog.set_level("DEBUG", logger="apps.core.pubsub")
    alone = pubsub._Publisher()
    for number in range(3):
        alone.put("a", b"%d" % number)
    alone.flush()
    assert "the broker does not answer" in caplog.text


def test_who_began_to_publish_to_another_broker_is_heard_by_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pubsub, "RETRY_SECONDS", 0.01)
    publisher = pubsub._Publisher()
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.delenv("REDIS_URL", raising=False)
        elsewhere.setattr(settings, "LOOM_DATA_DIR", tmp_path)
        publisher.put("a", b"lost")
        publisher.flush()

    async def scene() -> None:
        async with subscribe("a") as messages:
            await heard(messages, 1)
            publisher.put("a", b"here")
            assert await heard(messages, 1) == [b"here"]

    play(scene)


def test_the_subscription_to_the_broker_ends_with_its_last_listener() -> None:
    async def scene() -> None:
        async with subscribe("a") as messages:
            await heard(messages, 1)
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "loom-subscribe"]

    async def whole() -> None:
        async with subscribe("a") as messages:
            await heard(messages, 1)
            task = next(task for task in asyncio.all_tasks() if task.get_name() == "loom-subscribe")
        await asyncio.wait([task])
        assert task.cancelled()

    play(whole)

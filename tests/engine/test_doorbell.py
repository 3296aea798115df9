"""The doorbell keeps what it sends with, and makes it anew after a failure."""

from __future__ import annotations

import os
from typing import Any

import pytest
from celery import current_app
from kombu import Producer
from kombu.exceptions import OperationalError

from apps.engine import doorbell


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    doorbell._idle.clear()


def waiting() -> int:
    """Messages in the queue of rings."""
    with current_app.connection_for_read() as connection:
        channel: Any = connection.channel()
        return int(channel._size(doorbell.QUEUE))


def test_rings_one_after_the_other_are_sent_with_the_same_producer() -> None:
    before = waiting()
    doorbell.ring_celery([1])
    kept = list(doorbell._idle)
    doorbell.ring_celery(range(2, 2 + 2 * doorbell.AT_ONCE))
    assert doorbell._idle == kept
    assert len(kept) == 1
    assert waiting() == before + 3


def test_what_failed_is_not_used_again(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OperationalError("gone")

    doorbell.ring_celery([1])
    with monkeypatch.context() as patch:
        patch.setattr(Producer, "publish", broken)
        doorbell.ring_celery([2])
    assert "the sweep will find runs" in caplog.text
    assert not doorbell._idle
    before = waiting()
    doorbell.ring_celery([3])
    assert waiting() == before + 1


def test_a_child_of_a_fork_does_not_share_its_parents_connection() -> None:
    doorbell.ring_celery([1])
    assert doorbell._idle
    child = os.fork()
    if not child:
        os._exit(len(doorbell._idle))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert doorbell._idle

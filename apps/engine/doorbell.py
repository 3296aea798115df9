"""The doorbell: a hint to some worker that runs want attention. A lost or doubled ring is harmless."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any
from uuid import uuid4

from celery import current_app
from kombu import Connection, Producer
from kombu.exceptions import OperationalError
from kombu.transport.redis import Channel
from redis.exceptions import RedisError

AT_ONCE = 16  # runs of one message: few messages tell of many, and several workers may share them
TASK, QUEUE = "engine.advance", "rings"

Ringer = Callable[[Sequence[int]], object]

_idle: list[tuple[Connection, Producer]] = []
os.register_at_fork(after_in_child=_idle.clear)  # a child must not share its parent's connections

log = logging.getLogger(__name__)


def ring_celery(run_ids: Sequence[int]) -> None:
    """Tell whichever worker comes first."""
    try:
        with _producer() as producer:
            for start in range(0, len(run_ids), AT_ONCE):
                _send(producer, list(run_ids[start : start + AT_ONCE]))
    except (OperationalError, RedisError, OSError) as error:
        log.warning("the broker does not answer (%s); the sweep will find runs %s", error, run_ids)


@contextmanager
def _producer() -> Iterator[Producer]:
    """One that nobody uses just now. Those of Celery's pool are prepared anew for each message.

    That and a new client of Redis for each command take twice as long as to send the message.
    """
    try:
        connection, producer = _idle.pop()
    except IndexError:
        connection = current_app.connection_for_write()
        producer = _new(connection)
    try:
        yield producer
    except BaseException:
        with suppress(Exception):
            connection.release()
        raise
    _idle.append((connection, producer))


def _new(connection: Connection) -> Producer:
    channel: Any = connection.channel()
    if isinstance(channel, Channel):
        client = channel._create_client()  # type: ignore[attr-defined]
        vars(channel)["conn_or_acquire"] = lambda *_: nullcontext(client)
    producer: Producer = current_app.amqp.Producer(channel, auto_declare=False)
    return producer


def _send(producer: Producer, run_ids: list[int]) -> None:
    """A message of Celery's protocol 2 with what it demands; `send_task` takes as long again to say more.

    https://docs.celeryq.dev/en/stable/internals/protocol.html
    """
    key = str(uuid4())
    headers = {"lang": "py", "task": TASK, "id": key, "root_id": key, "parent_id": None, "group": None}
    producer.publish(
        (run_ids, {}, {}), routing_key=QUEUE, headers=headers, serializer="json", correlation_id=key
    )


_ringer: Ringer = ring_celery


def ring(run_id: int) -> None:
    _ringer([run_id])


def ring_all(run_ids: Sequence[int]) -> None:
    if run_ids:
        _ringer(run_ids)


def use(ringer: Ringer | None) -> None:
    """Replace the doorbell (None: Celery again); for processes that advance runs themselves."""
    global _ringer  # noqa: PLW0603 - one doorbell per process
    _ringer = ringer or ring_celery

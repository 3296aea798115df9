"""How often something happened lately, counted in the broker for all processes together.

Without a broker nothing is refused: a limit is there to slow down strangers, not to stop the house.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import redis
from django.conf import settings

from apps.core.broker import broker_url

PREFIX = "limits:"
PATIENCE = 0.5  # seconds to wait for the broker
COMPLAIN_EVERY = 60.0  # seconds between log lines about a broker that is away
USE = """
local count = redis.call('incr', KEYS[1])
if count == 1 then redis.call('expire', KEYS[1], ARGV[1]) end
if count <= tonumber(ARGV[2]) then return 0 end
return math.max(1, redis.call('ttl', KEYS[1]))
"""
# A count that ended meanwhile must not begin again below zero, without an end.
RETURN = "if redis.call('exists', KEYS[1]) == 1 then return redis.call('decr', KEYS[1]) end"

log = logging.getLogger(__name__)
_complained = [-COMPLAIN_EVERY]


@dataclass(frozen=True)
class Limit:
    """At most `most` times in a window of `seconds`; 0 times: no limit."""

    most: int
    seconds: int


def limit_use(name: str, limit: Limit) -> int:
    """Count one more; 0 if it is within the limit, else the seconds until the window ends."""
    if not limit.most:
        return 0
    key = f"{PREFIX}{name}"
    try:
        left: Any = _client(_url()).eval(USE, 1, key, limit.seconds, limit.most)
    except redis.RedisError as error:
        _complain(error)
        return 0
    return int(left)


def limit_return(name: str) -> None:
    """Take one count back."""
    try:
        _client(_url()).eval(RETURN, 1, f"{PREFIX}{name}")
    except redis.RedisError as error:
        _complain(error)


def limit_forget(name: str) -> None:
    """Begin to count anew."""
    try:
        _client(_url()).delete(f"{PREFIX}{name}")
    except redis.RedisError as error:
        _complain(error)


def _complain(error: Exception) -> None:
    now = time.monotonic()
    if now - _complained[0] >= COMPLAIN_EVERY:
        _complained[0] = now
        log.warning("nothing is limited while the broker cannot be asked: %s", error)


def _url() -> str:
    return broker_url(Path(settings.LOOM_DATA_DIR))


@cache
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)

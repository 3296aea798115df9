"""What programs without a login send: a JSON object whose bytes are signed with a secret that both know."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import orjson

from apps.core.errors import BadInput
from apps.core.storable import storable

HEADER_CHARS = 200


def digest_of(body: bytes, secret: str) -> str:
    """The HMAC-SHA256 of the body in hexadecimal; compare it with hmac.compare_digest."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def header_checked(name: str, value: str, whose: str) -> str:
    """A header's value as it is; BadInput if it is none that such a sender writes."""
    if len(value) > HEADER_CHARS or not value.isprintable():
        raise BadInput(f"The header {name} is not one of {whose}'s.")
    return value


def object_read(raw: bytes) -> dict[str, Any]:
    """The object in a body that nobody has vouched for yet; BadInput if there is none, or none so deep."""
    try:
        body = storable(orjson.loads(raw))
    except (orjson.JSONDecodeError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise BadInput("The body is no JSON object.", hint="The webhook must send application/json.")
    return body

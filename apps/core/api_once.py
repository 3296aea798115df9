"""Idempotency-Key: a POST that is sent twice is done once, and answered the same both times.

Keys belong to the person, are kept in the database for a day, and stand for one request: method, address and
body. What a POST that only writes to the database did and what it answered are kept in one transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import orjson
from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.errors import BadInput, Conflict
from apps.core.http import json_bytes
from apps.core.idempotency import request_answered, request_claim, request_release, requests_sweep
from apps.core.models import IdempotentRequest

HEADER = "Idempotency-Key"
KEY_CHARS = 200


class OnceMixin:
    """For views that have a POST."""

    # These only write to the database: their writes and the kept answer are one transaction.
    atomic_actions: frozenset[str] = frozenset({"create"})
    # These answer a secret that is shown once; the answer is not kept.
    secret_actions: frozenset[str] = frozenset()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        key = request.headers.get(HEADER)
        if key is None or request.method != "POST" or not request.user.is_authenticated:
            return
        if not (0 < len(key) <= KEY_CHARS and key.isascii() and key.isprintable()):
            raise BadInput(f"{HEADER} is 1 to {KEY_CHARS} printable ASCII characters.")
        this: Any = self
        this.post = partial(self._once, this.post, key)

    def _once(
        self, handler: Callable[..., Any], key: str, request: Request, *args: Any, **kwargs: Any
    ) -> Any:
        user: Any = request.user
        row = request_claim(user_id=user.pk, key=key, fingerprint=_fingerprint(request))
        if row.status is not None:
            return _again(row)
        try:
            return self._answer_once(row, partial(handler, request, *args, **kwargs))
        finally:
            request_release(row=row)

    def _answer_once(self, row: IdempotentRequest, handler: Callable[[], Any]) -> Any:
        action = getattr(self, "action", None)
        with transaction.atomic() if action in self.atomic_actions else nullcontext():
            response = handler()
            if isinstance(response, Response) and response.status_code < 400:
                body = "" if action in self.secret_actions else json_bytes(response.data).decode()
                location = response.headers.get("Location", "")
                request_answered(row=row, status=response.status_code, body=body, location=location)
            elif response.status_code < 400 and not isinstance(response, Response):
                # A stream or a file, which is not kept.
                request_answered(row=row, status=response.status_code, body="")
        requests_sweep()
        return response


def _fingerprint(request: Request) -> str:
    body = json_bytes(request.data, option=orjson.OPT_SORT_KEYS)
    said = f"{request.method} {request.get_full_path()}\n".encode() + body
    return hashlib.sha256(said).hexdigest()


def _again(row: IdempotentRequest) -> Response:
    if not row.body:
        raise Conflict("This was done already; its answer, a secret or a stream, is given only once.")
    headers = {"Idempotency-Replayed": "true", **({"Location": row.location} if row.location else {})}
    return Response(orjson.loads(row.body), status=row.status, headers=headers)

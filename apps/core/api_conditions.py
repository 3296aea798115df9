"""ETag, If-None-Match and If-Match on single objects: what was read, and writes only to what was read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import orjson
from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.errors import Stale
from apps.core.http import json_bytes

UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def etag_of(body: Any, figures: Collection[str] = ()) -> str:
    """Of two parts where there are `figures`: a tag of what people set, and one of what changes by itself."""
    if not figures or not isinstance(body, dict):
        return f'"{_digest(body)}"'
    own = {name: value for name, value in body.items() if name not in figures}
    return f'"{_digest(own)}.{_digest([body.get(name) for name in figures])}"'


def _digest(body: Any) -> str:
    return hashlib.sha256(json_bytes(body, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def matches(header: str, etag: str, *, for_a_write: bool = False) -> bool:
    """One of the tags of If-Match or If-None-Match is this one; for a write, but for its figures."""
    given = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    if for_a_write:
        etag, given = _own(etag), [_own(tag) for tag in given]
    return "*" in given or etag in given


def _own(tag: str) -> str:
    return tag.partition(".")[0].strip('"') if tag != "*" else tag


class ConditionalMixin:
    """Every object that is read has an ETag; so do answers of `etag_actions`, which are whole objects too."""

    etag_actions: frozenset[str] = frozenset({"retrieve", "update", "partial_update"})
    reads: Mapping[str, str] = {}  # action that writes -> the one that reads the same; else `retrieve`
    figures: Collection[str] = ()  # keys that change by themselves, and stand in no write's way

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        header = request.headers.get("If-Match", "")
        if header and request.method in UNSAFE and (self._reader() or self._is_detail(kwargs)):
            method = request.method.lower()
            setattr(self, method, partial(self._if_match, getattr(self, method), header))

    def _reader(self) -> str | None:
        this: Any = self
        return self.reads.get(getattr(self, "action", None) or this.request.method.lower())

    def _is_detail(self, kwargs: dict[str, Any]) -> bool:
        lookup = getattr(self, "lookup_url_kwarg", None) or getattr(self, "lookup_field", "")
        return lookup in kwargs and getattr(self, "retrieve", None) is not None

    def _if_match(
        self, handler: Callable[..., Any], header: str, request: Request, *args: Any, **kwargs: Any
    ) -> Any:
        with transaction.atomic():
            self.row_lock()
            if not matches(header, self._etag_now(request, *args, **kwargs), for_a_write=True):
                raise Stale(
                    "It was changed since you read it.", hint="Read it again, then repeat the change."
                )
            return handler(request, *args, **kwargs)

    def _etag_now(self, request: Request, *args: Any, **kwargs: Any) -> str:
        this: Any = self
        action, reader = getattr(this, "action", None), self._reader() or "retrieve"
        this.action = reader
        try:
            return etag_of(getattr(this, reader)(request, *args, **kwargs).data, self.figures)
        finally:
            this.action = action

    def row_lock(self) -> None:
        """Nobody else changes the object until the transaction ends. Locks in the order the services do."""
        this: Any = self
        found = this.get_object()
        list(type(found).objects.select_for_update(no_key=True).filter(pk=found.pk).values_list("pk"))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        is_read = request.method in {"GET", "HEAD"}
        if response.status_code != 200 or not (is_read or getattr(self, "action", None) in self.etag_actions):
            return response
        if isinstance(response, Response) and isinstance(response.data, dict):
            response["ETag"] = etag = etag_of(response.data, self.figures)
            asked = request.headers.get("If-None-Match", "")
            if asked and is_read and matches(asked, etag):
                response.status_code, response.data = 304, None
        return response

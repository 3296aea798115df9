"""Pieces of an answer: kept in the database, and told at once to whoever listens in a web process."""

from __future__ import annotations

import time
from typing import Any

from django.db import transaction
from django.db.models import F

from apps.core.commit import after_commit
from apps.core.http import json_bytes
from apps.core.masking import masker, scope_of
from apps.core.pubsub import publish
from apps.engine.lending import lend
from apps.pairing.models import Exchange, Piece
from apps.providers.errors import CallFailed, Usage

FLUSH_SECONDS = 0.1
MAX_CHARS = 4_000  # of one piece


class Stopped(CallFailed):
    """The person stopped the answer; what was generated is paid for."""

    code = "stopped"
    default_hint = "Say something to go on."
    elsewhere = False


def channel_of(exchange_id: int) -> str:
    return f"pair:{exchange_id}"


@transaction.atomic
def piece_add(*, exchange_id: int, kind: str, data: dict[str, Any]) -> bool:
    """Append to what is told; False once the exchange has ended."""
    rows = Exchange.objects.filter(pk=exchange_id, status=Exchange.Status.ANSWERING)
    if not rows.update(pieces_count=F("pieces_count") + 1):
        return False
    _keep(exchange_id, kind, data)
    return True


def _keep(exchange_id: int, kind: str, data: dict[str, Any]) -> None:
    seq = Exchange.objects.values_list("pieces_count", flat=True).get(pk=exchange_id)
    Piece.objects.create(exchange_id=exchange_id, seq=seq, kind=kind, data=data)
    said = json_bytes({"seq": seq, "kind": kind, "data": data})
    after_commit(publish, channel_of(exchange_id), said)


def last_piece(exchange_id: int, kind: str, data: dict[str, Any]) -> None:
    """The same for an exchange that ends in this transaction."""
    Exchange.objects.filter(pk=exchange_id).update(pieces_count=F("pieces_count") + 1)
    _keep(exchange_id, kind, data)


class Teller:
    """Takes the text of a reply as it comes and tells it in pieces; raises Stopped when nobody wants it."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange_id = exchange.pk
        self._scope = scope_of(exchange.project_id)
        self._waiting: list[str] = []
        self._told_at = 0.0
        self._chars = 0
        self.begins_anew = False

    def __call__(self, text: str) -> None:
        self._waiting.append(text)
        self._chars += len(text)
        if time.monotonic() - self._told_at >= FLUSH_SECONDS:
            self.flush()

    def again(self) -> None:
        """Another provider, or another attempt, tells from the beginning."""
        self.begins_anew = self.begins_anew or self._chars > 0
        self._waiting.clear()

    def flush(self, *, whole: bool = False) -> None:
        """Tell what waits; what may be the beginning of a secret waits for its end, unless it is `whole`."""
        if self.begins_anew:
            self.begins_anew = False
            self._tell(Piece.Kind.RESET, {})
        mask, text = masker(self._scope), "".join(self._waiting)
        safe = len(text) if whole else mask.safe(text)
        self._waiting = [text[safe:]] if safe < len(text) else []
        text = mask.text(text[:safe])
        for start in range(0, len(text), MAX_CHARS):
            self._tell(Piece.Kind.CHUNK, {"text": text[start : start + MAX_CHARS]})
        self._told_at = time.monotonic()
        lend()

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        if not piece_add(exchange_id=self.exchange_id, kind=kind, data=data):
            raise self.stopped()

    def stopped(self) -> Stopped:
        usage = Usage(completion=-(-self._chars // 4), estimated=True)
        return Stopped("The answer was stopped.", billable=True, usage=usage)

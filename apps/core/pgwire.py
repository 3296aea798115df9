"""Statements to PostgreSQL: each is planned once per connection, and several travel in one message.

The driver's cursors cost the client twice as much and the server three times: they have every statement
planned anew, and in the driver's pipelines each goes off by itself.
"""

from __future__ import annotations

import re
import select
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import count
from threading import get_ident, main_thread
from typing import Any, NamedTuple

from django.conf import settings
from psycopg import Connection, OperationalError, capabilities
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import DiagnosticField, ExecStatus, TransactionStatus
from psycopg.pq.abc import Buffer, PGconn, PGresult

MOST_PREPARED = 100  # of one connection: the server keeps a plan of each
MOST_CHARS = 4096  # of a statement that is prepared; longer ones hold many rows, and are hardly sent again
_CLOSES = capabilities.has_send_close_prepared()
REFUSED = {ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE}
UNKNOWN_PLAN, STALE_PLAN = "26000", "0A000"  # a pooler or a migration took it from us

_Key = tuple[bytes, tuple[int, ...]]  # text and types of values

_PLACE = re.compile("%([s%])")


class Came(NamedTuple):
    """What came of a statement: how many rows it touched or returned, and those it returned."""

    touched: int
    rows: list[tuple[Any, ...]]


class _Ready(NamedTuple):
    """A statement as it is sent; with the same text and types it is the same plan."""

    text: bytes
    types: tuple[int, ...]
    formats: Sequence[Any]
    values: Sequence[Buffer | None]
    is_kept: bool


def exchange(
    wire: Connection[Any], statements: Sequence[tuple[str, Sequence[Any]]], *, commits: bool = False
) -> list[Came]:
    """Run statements in order, in the transaction that is open or that the first of them begins.

    With `commits` the same message ends it, if none of them was refused.
    """
    transformer: Any = Transformer(wire)
    ready = [_ready(transformer, text, values) for text, values in statements]
    talk = vars(wire).get("loom_talk")
    if talk is None:
        talk = vars(wire)["loom_talk"] = _Talk(wire.pgconn)
    with wire.lock:
        try:
            results = talk.exchange(_beginning(wire), ready, b"COMMIT" if commits else b"")
        except BaseException:  # nobody knows what the next answer would belong to
            with suppress(Exception):
                wire.cancel()
            wire.close()
            raise
    for result in results:
        if result.status in REFUSED:
            raise error_from_result(result, wire.info.encoding)
    return [_came(transformer, result) for result in results]


def _beginning(wire: Connection[Any]) -> bytes:
    """What begins a transaction, if the first statement has to."""
    if wire.autocommit or wire.pgconn.transaction_status != TransactionStatus.IDLE:
        return b""
    level = wire.isolation_level
    return b"BEGIN" if level is None else f"BEGIN ISOLATION LEVEL {level.name.replace('_', ' ')}".encode()


def _ready(transformer: Any, text: str, values: Sequence[Any]) -> _Ready:
    is_short = len(text) <= MOST_CHARS
    numbered = _numbered(text) if is_short else _numbered.__wrapped__(text)
    is_kept = is_short and settings.LOOM_DB_PREPARED
    if not values:
        return _Ready(numbered, (), (), (), is_kept)
    dumped = transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
    return _Ready(numbered, tuple(transformer.types or ()), transformer.formats or (), dumped, is_kept)


@lru_cache(maxsize=500)
def _numbered(text: str) -> bytes:
    """The statement with the server's own places for values: $1, $2 and so on."""
    numbers = count(1)
    return _PLACE.sub(lambda match: f"${next(numbers)}" if match[1] == "s" else "%", text).encode()


def _came(transformer: Any, result: PGresult) -> Came:
    touched = result.command_tuples or 0
    if result.status != ExecStatus.TUPLES_OK:
        return Came(touched, [])
    transformer.set_pgresult(result)
    return Came(touched, transformer.load_rows(0, result.ntuples, tuple))


class _Talk:
    """What is known of one connection: the names of the statements that its server has a plan of."""

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self._names: OrderedDict[_Key, bytes] = OrderedDict()
        self._numbers = count(1)
        self._poll = select.poll()
        self._poll.register(pgconn.socket, select.POLLIN)

    def exchange(self, beginning: bytes, ready: Sequence[_Ready], end: bytes = b"") -> list[PGresult]:
        """The result of each statement; of those after one that was refused there is none."""
        if len(ready) == 1 and not beginning and not end and (name := self._name(ready[0])):
            return [self._alone(name, ready[0])]
        pgconn = self._pgconn
        pgconn.enter_pipeline_mode()
        is_asked: list[bool] = []  # of each message, whether its result is a statement's
        if beginning:
            pgconn.send_query_params(beginning, None)
            is_asked.append(False)
        new = [prepared for one in ready for prepared in self._send(one, is_asked)]
        if end:
            pgconn.send_query_params(end, None)
            is_asked.append(False)
        pgconn.pipeline_sync()
        self._flush()
        results = list(self._results())
        pgconn.exit_pipeline_mode()
        refused = next((number for number, result in enumerate(results) if result.status in REFUSED), None)
        if refused is None:
            return [result for result, asked in zip(results, is_asked, strict=True) if asked]
        self._forget(results[refused], [key for number, key in new if number >= refused])
        return [results[refused]]

    def _name(self, one: _Ready) -> bytes | None:
        """Of its plan, if the server has one and this thread may wait for it deaf to signals."""
        key = (one.text, one.types)
        if not one.is_kept or key not in self._names or get_ident() == main_thread().ident:
            return None
        self._names.move_to_end(key)
        return self._names[key]

    def _alone(self, name: bytes, one: _Ready) -> PGresult:
        """A statement that nothing goes with needs no pipeline."""
        values: Any = one.values  # psycopg sends None here too, whatever it says of its types
        result = self._pgconn.exec_prepared(name, values, one.formats)
        if result.status in REFUSED:
            if not result.error_field(DiagnosticField.SQLSTATE):  # it is not the server who says so
                raise OperationalError(self._pgconn.get_error_message() or "the connection was lost")
            self._forget(result, [])
        return result

    def _send(self, one: _Ready, is_asked: list[bool]) -> Iterator[tuple[int, _Key]]:
        """Put it into the message; if it has no plan yet, yields where it gets one, and its key."""
        pgconn, key = self._pgconn, (one.text, one.types)
        if not one.is_kept:
            pgconn.send_query_params(one.text, one.values, one.types, one.formats)
        else:
            if key in self._names:
                self._names.move_to_end(key)
            else:
                if len(self._names) >= MOST_PREPARED:
                    oldest = self._names.popitem(last=False)[1]
                    if _CLOSES:  # poolers that know of plans know this, not DEALLOCATE
                        pgconn.send_close_prepared(oldest)
                    else:
                        pgconn.send_query_params(b"DEALLOCATE " + oldest, None)
                    is_asked.append(False)
                self._names[key] = f"loom_{next(self._numbers)}".encode()
                pgconn.send_prepare(self._names[key], one.text, one.types)
                yield len(is_asked), key
                is_asked.append(False)
            pgconn.send_query_prepared(self._names[key], one.values, one.formats)
        is_asked.append(True)

    def _forget(self, refused: PGresult, unprepared: Sequence[_Key]) -> None:
        for key in unprepared:
            self._names.pop(key, None)
        state = (refused.error_field(DiagnosticField.SQLSTATE) or b"").decode()
        if state in {UNKNOWN_PLAN, STALE_PLAN}:
            self._names.clear()

    def _flush(self) -> None:
        pgconn, fd = self._pgconn, self._pgconn.socket
        while pgconn.flush():  # the server takes no more until we have read
            self._poll.modify(fd, select.POLLIN | select.POLLOUT)
            self._poll.poll()
            self._poll.modify(fd, select.POLLIN)
            pgconn.consume_input()

    def _results(self) -> Iterator[PGresult]:
        """One of each message, up to the end of all."""
        was_none = False
        while True:
            while self._pgconn.is_busy():
                self._poll.poll()
                self._pgconn.consume_input()
            result = self._pgconn.get_result()
            if result is None:
                if was_none:
                    raise OperationalError(self._pgconn.get_error_message() or "the connection was lost")
                was_none = True
                continue
            was_none = False
            if result.status == ExecStatus.PIPELINE_SYNC:
                return
            yield result

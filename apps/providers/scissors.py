"""Ends calls of models from another thread, also while their server is silent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")
_local = threading.local()


class Scissors:
    """Ends the call that a thread is in."""

    def __init__(self, reason: Callable[[], Exception]) -> None:
        self._reason = reason
        self._lock = threading.Lock()
        self._end: Callable[[], None] | None = None
        self._closed = False

    def cut(self) -> None:
        with self._lock:
            self._closed = True
            if self._end is not None:
                self._end()

    def hold(self, end: Callable[[], None] | None) -> None:
        """`end` ends what the thread waits for now."""
        with self._lock:
            self._end = end
            if self._closed and end is not None:
                end()

    def check(self) -> None:
        """Raise the reason once the call was cut: whatever it gave then is no answer."""
        if self._closed:
            raise self._reason()


@contextmanager
def cuttable(scissors: Scissors) -> Iterator[None]:
    """The calls of this thread within the block can be cut."""
    _local.scissors = scissors
    try:
        yield
    finally:
        _local.scissors = None
        scissors.hold(None)


def hold(end: Callable[[], None]) -> None:
    if (scissors := getattr(_local, "scissors", None)) is not None:
        scissors.hold(end)


def check_cut() -> None:
    if (scissors := getattr(_local, "scissors", None)) is not None:
        scissors.check()


def shut(wire: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(wire, socket.SHUT_RDWR)  # of TLS, the wire below


def waited(call: Callable[[], T]) -> T:
    """What `call` gives: foreign code that waits for a server at a wire of its own.

    A cut ends the waiting at once. The call is left to the thread it is in, whose end closes the wire: at the
    server's next word, or when the call's time is over.
    """
    scissors: Scissors | None = getattr(_local, "scissors", None)
    if scissors is None:
        return call()
    over = threading.Event()
    came: list[tuple[Any, BaseException | None]] = []

    def run() -> None:
        try:
            came.append((call(), None))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            came.append((None, error))
        finally:
            over.set()

    threading.Thread(target=run, name="cuttable-call", daemon=True).start()
    scissors.hold(over.set)
    over.wait()
    scissors.check()
    value, error = came[0]
    if error is not None:
        raise error
    given: T = value
    return given

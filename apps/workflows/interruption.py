"""How a weave is ended from outside: by Ctrl-C, by a shutdown, by a terminal that is closed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDINGS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """A closed terminal and a shutdown mean what Ctrl-C means; who called us with nohup hears neither.

    Whatever happened, `stop` is called at the end, and nothing interrupts it: that would leave orphans.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDINGS)}
    try:
        for number in ENDINGS:
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, interrupt)
        yield
    finally:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        stop()
        for number, handler in before.items():
            signal.signal(number, handler)


class Terminals:
    """The terminals that this process writes to.

    Every write to one that was closed fails, and the process hears of it by that before any signal: the
    signal goes to the shell first.
    """

    def __init__(self) -> None:
        self._numbers = [stream.fileno() for stream in (sys.stdout, sys.stderr) if stream.isatty()]
        self._any_lost = False

    def let_go(self) -> bool:
        """Whether one of them was closed; what is written to it then goes nowhere, without failing."""
        lost = [number for number in self._numbers if not os.isatty(number)]
        if lost:
            self._numbers = [number for number in self._numbers if number not in lost]
            self._any_lost = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for number in lost:
                os.dup2(nowhere, number)
            os.close(nowhere)
        return self._any_lost

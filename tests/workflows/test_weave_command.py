"""The weave's command, where a process of its own would show too little."""

from __future__ import annotations

import os
import pty
import signal
import sys
from collections.abc import Callable, Iterator

import pytest
from django.core.management import call_command
from django.db import connection
from rich.console import Console

from apps.core.supervisor import Supervisor
from apps.projects.models import Project
from apps.workflows.interruption import Terminals
from apps.workflows.management.commands.weave import INTERRUPTED, Command

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """One entry for each time that the background was ended; signals are afterwards what they were."""
    calls: list[bool] = []
    monkeypatch.setattr(Supervisor, "stop", lambda _: calls.append(True))
    before = [signal.getsignal(number) for number in NUMBERS]
    yield calls
    assert [signal.getsignal(number) for number in NUMBERS] == before


def work(follow: Callable[..., None], begin: Callable[[], Project] = lambda: Project(name="Links")) -> int:
    command = Command()
    command.console, command.terminals, command.seen = Console(stderr=True), Terminals(), 0
    command._follow = follow  # type: ignore[method-assign]
    return command._work(begin, Supervisor([], quiet=True))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", NUMBERS)
def test_a_shutdown_or_a_closed_terminal_ends_a_weave_as_gently_as_ctrl_c(
    stopped: list[bool], number: signal.Signals
) -> None:
    assert work(lambda *_: signal.raise_signal(number)) == INTERRUPTED
    assert stopped == [True]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", NUMBERS)
def test_a_weave_that_only_begins_is_ended_as_gently(stopped: list[bool], number: signal.Signals) -> None:
    def begin() -> Project:
        signal.raise_signal(number)
        raise AssertionError("goes on")

    assert work(lambda *_: None, begin) == INTERRUPTED
    assert stopped == [True]


@pytest.mark.django_db(transaction=True)
def test_the_background_is_ended_when_a_weave_cannot_begin(stopped: list[bool]) -> None:
    def begin() -> Project:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        work(lambda *_: None, begin)
    assert stopped == [True]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("signaled", [False, True], ids=["before its signal", "after its signal"])
def test_what_is_said_to_a_closed_terminal_fails_no_more(
    monkeypatch: pytest.MonkeyPatch, stopped: list[bool], signaled: bool
) -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)

        def follow(*_: object) -> None:
            os.close(master)
            if signaled:
                signal.raise_signal(signal.SIGHUP)
            print("a line", flush=True)

        assert work(follow) == INTERRUPTED
        print("the summary", flush=True)
    assert stopped == [True]


def test_ctrl_c_before_the_work_began_shows_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Command, "_weave", cut_off)
    with pytest.raises(SystemExit) as ended:
        call_command("weave")
    assert ended.value.code == INTERRUPTED


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("stopped")
def test_what_comes_after_an_interruption_asks_over_a_new_connection() -> None:
    def cut_off(*_: object) -> None:
        connection.ensure_connection()
        raise KeyboardInterrupt

    assert work(cut_off) == INTERRUPTED
    assert connection.connection is None

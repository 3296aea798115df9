"""The weave's command, where a process of its own would show too little."""

from __future__ import annotations

import signal

import pytest
from django.db import connection
from rich.console import Console

from apps.core.supervisor import Supervisor
from apps.projects.models import Project
from apps.workflows.management.commands.weave import INTERRUPTED, Command


@pytest.mark.django_db(transaction=True)
def test_what_comes_after_an_interruption_asks_over_a_new_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(*_: object) -> None:
        connection.ensure_connection()
        raise KeyboardInterrupt

    command = Command()
    command.console = Console(stderr=True)
    monkeypatch.setattr(command, "_follow", cut_off)
    monkeypatch.setattr(Supervisor, "stop", lambda _: None)
    before = signal.getsignal(signal.SIGINT)
    command.seen = 0
    try:
        assert command._watch(Project(name="Links"), Supervisor([], quiet=True)) == INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, before)
    assert connection.connection is None

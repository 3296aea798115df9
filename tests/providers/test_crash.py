"""A worker killed in the middle of a call: what the ledger says, and what is paid twice."""

from __future__ import annotations

import os
import signal

import pytest
from django.db import connections

from apps.providers import link
from apps.providers.gateway import Request, complete
from apps.providers.models import Budget, Call, Provider
from tests.providers.conftest import HELLO, MakeRequest
from tests.providers.script_server import ScriptServer

pytestmark = [pytest.mark.crash, pytest.mark.django_db(transaction=True)]


def killed_at(point: str, request: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the call in a child process that dies by SIGKILL at the crash point."""
    connections.close_all()
    link.forget_connections()
    child = os.fork()
    if child == 0:
        monkeypatch.setenv("LOOM_CRASH_AT", point)
        try:
            complete(request)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize(("point", "calls_before"), [("after_reserve", 0), ("before_settle", 1)])
def test_a_killed_attempt_is_booked_as_lost_and_the_next_one_answers(
    provider: Provider,
    server: ScriptServer,
    make_request: MakeRequest,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    calls_before: int,
) -> None:
    killed_at(point, make_request(key="turn-7#1"), monkeypatch)
    assert len(server.requests) == calls_before
    dead = Call.objects.get()
    assert dead.status == Call.Status.RESERVED
    assert Budget.objects.get().reserved_microusd == dead.reserved_microusd > 0

    reply = complete(make_request(key="turn-7#2"))
    assert reply.text == HELLO
    assert len(server.requests) == calls_before + 1
    dead.refresh_from_db()
    assert (dead.status, dead.cost_microusd) == (Call.Status.LOST, dead.reserved_microusd)
    budget = Budget.objects.get()
    assert (budget.spent_microusd, budget.reserved_microusd) == (dead.cost_microusd + reply.cost_microusd, 0)

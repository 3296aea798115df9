"""The plan waits for a person when one was asked for, and the answer comes from any terminal."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.e2e.weaves import GREETER, Installation, finish, has_answered, until
from tests.providers.script_server import ScriptServer

pytestmark = pytest.mark.slow

PRD = str(GREETER / "prd.md")
OPEN = """
import time
from apps.decisions.models import Decision
found, until = [], time.monotonic() + 60
while not found and time.monotonic() < until:
    time.sleep(0.1)
    found = Decision.objects.filter(status='open', kind='plan').values_list('pk', flat=True)
answer = str(found[0])
"""
TRIED = """
from io import StringIO
from django.core.management import CommandError, call_command
def tried(*words):
    out = StringIO()
    try:
        call_command('decide', answer, *words, stdout=out)
    except CommandError as error:
        return str(error)
    return out.getvalue()
answer = [answer, tried(), tried('perhaps'), tried('approve', '--org', 'other')]
"""


def test_a_person_approves_the_plan_before_work_is_paid(
    loom: Installation, server: ScriptServer, tmp_path: Path
) -> None:
    loom.connect(server.url)
    weave = loom.start("weave", "--json", PRD, "--approve", "ask", "--out", str(tmp_path / "out"))
    until(partial(has_answered, server, 2))  # the PRD is expanded and planned
    decision, shown, wrong, elsewhere = loom.ask(OPEN + TRIED)
    assert server.counters.calls == 2, "nothing is spent before the plan is approved"
    answered = finish(loom.start("decide", decision, "approve", "--because", "Good."))

    assert "Greet by name" in shown
    assert "Choose one of: approve, change, reject." in wrong
    assert elsewhere == f"There is no decision {decision} in the organization other."
    assert answered.code == 0, answered.err
    done = finish(weave)
    assert done.code == 0, done.err
    assert f"decide {decision} approve/change/reject" in done.err
    assert "No decision waits" in finish(loom.start("decide")).out


def test_a_rejected_plan_builds_nothing(loom: Installation, server: ScriptServer, tmp_path: Path) -> None:
    loom.connect(server.url)
    out = tmp_path / "out"
    weave = loom.start("weave", "--json", PRD, "--approve", "ask", "--out", str(out))
    until(partial(has_answered, server, 2))

    finish(loom.start("decide", loom.ask(OPEN), "reject", "--because", "Not now."))

    done = finish(weave)
    assert done.code == 1
    assert done.summary["merged"] == 0
    assert "Not now." in done.summary["error"]
    assert not out.exists()

"""The plan waits for a person when one was asked for, and the answer comes from any terminal."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.e2e.weaves import GREETER, Installation, finish, has_answered, until
from tests.providers.script_server import ScriptServer

PRD = str(GREETER / "prd.md")
OPEN = (
    "from apps.decisions.models import Decision\n"
    "answer = list(Decision.objects.filter(status='open', kind='plan').values_list('pk', flat=True))"
)


def plan_waits(loom: Installation) -> bool:
    return bool(loom.ask(OPEN))


def test_a_person_approves_the_plan_before_work_is_paid(
    loom: Installation, server: ScriptServer, tmp_path: Path
) -> None:
    loom.connect(server.url)
    weave = loom.start("weave", "--json", PRD, "--approve", "ask", "--out", str(tmp_path / "out"))
    until(partial(has_answered, server, 2))  # the PRD is expanded and planned
    until(partial(plan_waits, loom), every=0.5)
    calls = server.counters.calls
    decision = str(loom.ask(OPEN)[0])

    shown = finish(loom.start("decide", decision))
    wrong = finish(loom.start("decide", decision, "perhaps"))
    elsewhere = finish(loom.start("decide", decision, "approve", "--org", "other"))
    assert server.counters.calls == calls, "nothing is spent before the plan is approved"
    answered = finish(loom.start("decide", decision, "approve", "--because", "Good."))

    assert "Greet by name" in shown.out
    assert wrong.code == 1
    assert "Choose one of: approve, change, reject." in wrong.err
    assert elsewhere.code == 1
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
    until(partial(plan_waits, loom), every=0.5)

    finish(loom.start("decide", str(loom.ask(OPEN)[0]), "reject", "--because", "Not now."))

    done = finish(weave)
    assert done.code == 1
    assert done.summary["merged"] == 0
    assert "Not now." in done.summary["error"]
    assert not out.exists()

"""Money has a hard stop: a weave ends at or under its budget and goes on with more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.weaves import GREETER, Installation, suite_passes
from tests.providers.script_server import ScriptServer

pytestmark = pytest.mark.slow

PRD = str(GREETER / "prd.md")


def test_half_the_money_stops_the_weave_and_more_money_finishes_it(
    loom: Installation, server: ScriptServer, tmp_path: Path
) -> None:
    loom.connect(server.url, LOOM_MAX_TOKENS="1024")
    needed = loom.weave(PRD, "--out", str(tmp_path / "first")).summary["cost_usd"]
    out = tmp_path / "second"
    half = needed / 2

    stopped = loom.weave(PRD, "--out", str(out), "--budget", f"{half:.6f}")

    assert stopped.code == 1, stopped.err
    summary = stopped.summary
    assert summary["status"] == "waiting"
    assert 0 < summary["cost_usd"] <= half
    assert any("budget" in waiting["question"] for waiting in summary["waiting"])
    assert "--budget" in stopped.err
    assert not out.exists()

    done = loom.weave("--resume", "--out", str(out), "--budget", f"{needed * 3:.6f}")

    assert done.code == 0, done.err
    assert done.summary["cost_usd"] <= needed * 3
    assert suite_passes(out)

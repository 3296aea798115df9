"""Where there is no sandbox, or the operator switched it off."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from apps.agents.sandbox import Limits, Sandbox, sandbox_status
from apps.agents.sandbox.plan import MIB
from apps.agents.sandbox.status import probe
from apps.core.errors import Unavailable
from tests.agents.sandbox_room import gone, root

__all__ = ["root"]


def test_without_a_sandbox_nothing_runs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = root / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    status = probe([broken], Sandbox().uid)
    assert (status.available, status.kind) == (False, "none")
    assert "No permissions to create new namespace" in status.reason
    assert "user namespaces" in status.fix
    assert "LOOM_SANDBOX=off" in status.fix
    nothing = probe([], None)
    assert nothing.reason == "bubblewrap is not installed."

    monkeypatch.setattr("apps.agents.sandbox.box.sandbox_status", lambda: status)
    with pytest.raises(Unavailable, match="Commands cannot run: bubblewrap does not start") as caught:
        Sandbox().run("touch ran", root=root)
    assert caught.value.hint == status.fix
    assert not (root / "ran").exists()


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_SANDBOX", "off")
    monkeypatch.setenv("SOME_API_KEY", "canary-4717")


@pytest.mark.usefixtures("off")
def test_the_operator_can_switch_it_off_and_every_result_says_so(root: Path) -> None:
    assert sandbox_status().kind == "off"
    result = Sandbox().run(["sh", "-c", "env; touch made; exit 4"], root=root)
    assert (result.exit_code, result.sandbox) == (4, "off")
    assert "canary-4717" not in result.output
    assert (root / "made").exists()
    if os.geteuid() == 0:
        assert (root / "made").stat().st_uid == Sandbox().uid


@pytest.mark.usefixtures("off")
def test_switched_off_limits_still_hold_and_orphans_still_end(root: Path) -> None:
    result = Sandbox().run("(setsid sleep 4718 &); (sleep 4718 &); sleep 4718", root=root, timeout=1)
    assert result.timed_out
    assert gone("4718", 0)
    small = Sandbox(limits=Limits(file_size=MIB))
    assert not small.run("head -c 2M /dev/zero > big", root=root).ok

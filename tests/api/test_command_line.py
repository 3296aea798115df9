"""The command line and a generated client, over HTTP against a running site."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from apps.accounts.key_services import key_create
from apps.accounts.models import Role, User
from apps.core.client import login_file
from tests.api.clients import person
from tests.world import World, world_build

PASSWORD = "a rather long passphrase"


@pytest.fixture
def world(transactional_db: None, nobody_reacts: None) -> World:
    return world_build("ours", rows=2)


def loom(*arguments: str) -> tuple[int, str, str]:
    """Exit code, what was printed, what was complained of."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("loom", *arguments, stdout=out, stderr=err)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def test_people_work_from_a_terminal(
    live_server: Any, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user: User = person("ann", world.organization)
    user.set_password(PASSWORD)
    user.save()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("LOOM_URL", live_server.url)
    monkeypatch.setenv("LOOM_PASSWORD", "wrong")
    assert loom("login", "ann")[0] == 1
    code, _, said = loom("projects")
    assert (code, "loom login" in said) == (1, True)
    monkeypatch.setenv("LOOM_PASSWORD", PASSWORD)
    assert loom("login", "ann") == (0, f"Logged in at {live_server.url}.\n", "")
    assert stat.S_IMODE(login_file().stat().st_mode) == 0o600
    project, (first, second) = str(world.project.pk), world.beads
    assert world.project.name in loom("projects")[1]
    assert json.loads(loom("beads", "--json", "--project", project)[1])[0]["id"] == first.key
    assert second.key not in loom("beads", "ready")[1]
    assert loom("beads", "why", second.key)[1] == f"{second.key}: It waits for {first.key} (open).\n"
    assert "title: Store links, part 1" in loom("beads", "show", first.key)[1]
    made = json.loads(loom("beads", "create", "Import", "links", "--project", project, "--json")[1])
    assert (made["title"], made["status"]) == ("Import links", "open")
    decision = world.decisions[0]
    assert "Keep addresses" in loom("decisions")[1]
    answered = json.loads(loom("decisions", "answer", str(decision.pk), "hash", "--json")[1])
    assert answered["decision"] == "hash"
    assert loom("decisions", "answer", str(decision.pk), "drop")[0] == 1
    assert loom("beads", "show", "zz-9")[0] == 1
    assert loom("beads", "create", "No project")[0] == 2
    assert "world" in loom("runs")[1]


def test_who_cannot_be_reached_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    code, _, said = loom("projects", "--url", "http://127.0.0.1:9")
    assert (code, "does not answer" in said) == (1, True)
    assert loom("projects", "--url", "ftp://x")[0] == 2


def test_a_key_serves_programs(
    live_server: Any, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = person("robot", world.organization, Role.SERVICE)
    _, key = key_create(
        user=robot, organization=world.organization, name="ci", scopes={"beads:read"}, maker=world.staff
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("LOOM_URL", live_server.url)
    monkeypatch.setenv("LOOM_CLIENT_KEY", key)
    assert loom("beads")[0] == 0
    assert loom("projects")[0] == 1

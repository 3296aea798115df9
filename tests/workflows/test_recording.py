"""Sessions as files: recorded with their repository, without secrets, and played again without a model."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.models import Role
from apps.agents.models import Session
from apps.agents.recording import FORMAT, recording_of, recording_read
from apps.agents.replay import replay, steady
from apps.beads.models import Bead
from apps.core.errors import BadInput
from apps.providers.models import Call
from apps.providers.services import provider_disable
from tests.workflows.studio import APPROVE, Answer, Studio, done, replies, write
from tests.world import World, client_of, staff_build, world_build

Open = Callable[..., Studio]
Messages = list[dict[str, Any]]
SECRET = "sk-canary-7f3a9b2c4d5e6f708192a3b4c5d6e7f8"
BROKEN = (
    'No\0: {"actions": [{"type": "read_file", "path": "calc/__init__.py"}, '
    '{"type": "run_command", "command": "e'
)


def model(kind: str, title: str, messages: Messages) -> Answer:
    if kind == "review":
        if "Round: 1" in messages[1]["content"]:
            return [("submit_review", {"verdict": "reject", "comments": "Subtract, too."})]
        return APPROVE
    turns: list[Answer] = [
        BROKEN,
        [
            ("read_file", {"path": "calc/__init__.py"}),
            ("fly", {"to": "x"}),
            ("search_text", {"query": "def"}),
        ],
        [write("calc/more.py", "def sub(a, b):\n    return a + b\n"), ("run_tests", {})],
        [("run_command", {"command": "cat .env; rm tests/test_calc.py; echo $RANDOM > /dev/null"})],
        [done("Added.")],
        [
            ("edit_file", {"path": "calc/more.py", "old_text": "a + b", "new_text": "a - b"}),
            write("tests/test_calc.py", "from calc import add\n"),
            done("Subtracts."),
        ],
    ]
    return turns[replies(messages)]


@pytest.fixture
def recorded(open_studio: Open) -> tuple[Studio, dict[str, Any]]:
    studio = open_studio(model)
    files = {".env": f"API_KEY={SECRET}\n".encode(), "logo.png": b"\x89PNG\xff\x00"}
    studio.hub.commit_files("main", files, "More", "Loom <loom@loom.invalid>")
    studio.bead(description="Use the key of .env.")
    studio.run()
    provider_disable(provider_id=studio.provider.pk)  # a replay plays alone
    session = studio.sessions("work")[0]
    return studio, recording_of(Session.objects.select_related("project", "agent", "bead").get(pk=session.pk))


def test_a_session_without_its_secrets_is_played_again_without_a_model(
    recorded: tuple[Studio, dict[str, Any]],
) -> None:
    studio, recording = recorded
    asked = len(studio.server.requests)
    report = replay(json.loads(json.dumps(recording)))
    assert report.body()["divergences"] == []
    assert report.is_same
    assert report.played == len(recording["turns"]) >= 6
    assert len(studio.server.requests) == asked, "nobody was asked"
    calls = Call.objects.filter(session_id=report.session_id)
    assert {call.nominal for call in calls} == {True}
    assert calls.count() == report.played, "it went through the gateway and the ledger"
    again = Session.objects.get(pk=report.session_id)
    assert again.bead is not None
    assert again.bead.status == Bead.Status.DEFERRED, "nothing else is started by it"
    first = recording["turns"][0]
    assert first["reply"] == {"text": BROKEN.replace("\0", ""), "tool_calls": []}
    assert "does not end" in first["error"]
    assert [action["name"] for action in first["actions"]] == ["read_file"]
    text = json.dumps(recording)
    assert ".env" in text
    assert SECRET not in text
    assert SECRET[5:20] not in text


def test_people_get_recordings_and_see_where_a_replay_goes_another_way(
    recorded: tuple[Studio, dict[str, Any]], tmp_path: Path
) -> None:
    studio, recording = recorded
    other = copy.deepcopy(recording)
    other["base"]["files"]["calc/__init__.py"] = {"text": "def add(a, b):\n    return b + a\n"}
    found = {(one.turn, one.action, one.what) for one in replay(other).divergences}
    assert (1, 1, "result") in found
    assert (2, 1, "result") in found

    other = copy.deepcopy(recording)
    other["turns"][2]["reply"]["tool_calls"][0]["function"]["arguments"] = '{"path": "b.py", "content": ""}'
    report = replay(other)
    assert not report.is_same
    assert report.divergences[0].what == "actions read"
    assert report.divergences[0].turn == 3

    other = copy.deepcopy(recording)
    other["turns"] = [*other["turns"], {**other["turns"][-1], "number": 99}]
    other["turns"][-2] = {**other["turns"][-2], "changed": {"x": "0" * 40}}
    assert {one.what for one in replay(other).divergences} >= {"files changed"}

    session = studio.sessions("work")[0]
    path = tmp_path / "session.json"
    out = io.StringIO()
    call_command("sessions", "record", str(session.pk), "-o", str(path), stdout=out)
    call_command("sessions", "list", "--project", studio.project.slug, stdout=out)
    call_command("sessions", "replay", str(path), "--inside", stdout=out)
    assert f"Recorded {session.turn_count} turns" in out.getvalue()
    assert f"{session.pk}  " in out.getvalue()
    assert '"same": true' in out.getvalue()
    broken = json.loads(path.read_text())
    broken["base"]["files"] = {}
    path.write_text(json.dumps(broken))
    with pytest.raises(CommandError, match="another way"):
        call_command("sessions", "replay", str(path), "--inside", stdout=io.StringIO())

    ours = World(
        studio.organization, staff_build(studio.organization, "staff"), studio.project, session.agent
    )
    answer = client_of(ours, Role.VIEWER).get(f"/api/v1/sessions/{session.pk}/recording")
    assert answer.status_code == 200
    assert f'filename="session-{session.pk}.json"' in answer["Content-Disposition"]
    got = answer.json()
    assert got["turns"] == recording["turns"]
    stranger = client_of(world_build("other"), name="eve")
    assert stranger.get(f"/api/v1/sessions/{session.pk}/recording").status_code == 404


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{", "not JSON"),
        (b"[]", "no recording"),
        (b'{"format": "other"}', "no recording"),
        (json.dumps({"format": FORMAT, "session": {}}).encode(), "lacks project, base, turns"),
        (
            json.dumps({"format": FORMAT, "session": {}, "project": {}, "base": {}, "turns": []}).encode(),
            "turns",
        ),
    ],
)
def test_files_that_are_no_recordings_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        recording_read(data)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "arguments", [("record", "999"), ("record", "x"), ("replay", "/none.json"), ("record",)]
)
def test_the_command_says_what_is_missing(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        call_command("sessions", *arguments)


def test_what_differs_from_run_to_run_does_not_count() -> None:
    one = "Exit code 0 after 0.1 s\n/tmp/a/b/c.py:3 at 1a2b3c4d in CALC-7, 2026-01-01T10:00:00Z, 3 passed"
    other = "Exit code 0 after 12 s\n/var/x/c.py:3 at 99aabbcc in REP-12, 2027-02-03T11:11:11Z, 3 passed"
    assert steady(one) == steady(other)
    assert steady("3 passed") != steady("2 passed")

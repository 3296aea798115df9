"""A PRD becomes merged software, whatever the model at the other end of the socket speaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.weaves import GREETER, Installation, finish, git, suite_passes
from tests.providers.script_server import ScriptServer

pytestmark = pytest.mark.slow

STORIES = ("Greet by name", "Greet from the command line", "Explain the greeter")


@pytest.mark.parametrize(
    ("stream", "tools"),
    [
        pytest.param(True, True, id="stream-tools"),
        pytest.param(True, False, id="stream-json", marks=pytest.mark.once),
        pytest.param(False, True, id="whole-tools", marks=pytest.mark.once),
        pytest.param(False, False, id="whole-json", marks=pytest.mark.once),
    ],
)
def test_a_prd_is_woven_over_a_socket(
    loom: Installation, server: ScriptServer, tmp_path: Path, stream: bool, tools: bool
) -> None:
    server.switches.tools, server.switches.stream = tools, stream
    loom.connect(server.url)
    out = tmp_path / "product"

    done = loom.weave(str(GREETER / "prd.md"), "--out", str(out))

    assert done.code == 0, done.err
    summary = done.summary
    assert summary["status"] == "done"
    assert [story["title"] for story in summary["stories"]] == list(STORIES)
    for story in summary["stories"]:
        assert story["proven"]
        assert story["evidence"][-1]["exit_code"] == 0
        assert story["reviews"] == ["approve"]
        message = git(out, "log", "--format=%B", "-1", story["commit"])
        assert f"Bead: {story['key']}" in message
        assert "Agent: " in message
    assert suite_passes(out)
    assert git(out, "status", "--porcelain") == ""
    assert git(out, "remote") == ""
    assert "R-001" in (out / "plans/PRD.md").read_text()
    assert summary["requirements"] == {"count": 3, "merged": 3}
    assert summary["calls"] - summary["failed_calls"] == server.counters.calls
    assert summary["tokens"] == server.counters.prompt_tokens + server.counters.completion_tokens
    assert summary["cost_usd"] > 0


@pytest.mark.once
def test_the_sample_shows_the_machine_at_work_and_passes_its_own_tests(
    loom: Installation, tmp_path: Path
) -> None:
    out = tmp_path / "sample"

    done = loom.weave("--out", str(out))

    assert done.code == 0, done.err
    summary = done.summary
    assert len(summary["stories"]) >= 8
    assert summary["demo"]
    assert all(story["proven"] for story in summary["stories"])
    incidents = summary["incidents"]
    assert incidents["failed_verifications"] >= 1
    assert incidents["rejected_reviews"] >= 1
    assert incidents["merge_conflicts"] >= 1
    assert incidents["decisions"] >= 2
    assert incidents["invalid_replies"] >= 1
    assert overlapping_sessions(loom) >= 2
    assert suite_passes(out)


def overlapping_sessions(loom: Installation) -> int:
    """How many work sessions were open at the same moment, at most."""
    spans: list[list[str]] = loom.ask(
        "from apps.agents.models import Session\n"
        "rows = Session.objects.filter(kind='work')\n"
        "answer = [[row.created_at.isoformat(), row.ended_at.isoformat()] for row in rows]"
    )
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


def test_two_organizations_weave_at_once_and_do_not_see_each_other(
    loom: Installation, server: ScriptServer, tmp_path: Path
) -> None:
    loom.connect(server.url)
    prd = str(GREETER / "prd.md")

    first = loom.start("weave", "--json", prd, "--org", "Acme", "--out", str(tmp_path / "acme"))
    second = loom.start("weave", "--json", prd, "--org", "Bolt", "--out", str(tmp_path / "bolt"))

    both = [finish(first), finish(second)]

    assert [done.code for done in both] == [0, 0], both[0].err + both[1].err
    keys = [{story["key"] for story in done.summary["stories"]} for done in both]
    assert not keys[0] & keys[1]
    for done, own, other in ((both[0], keys[0], keys[1]), (both[1], keys[1], keys[0])):
        assert all(key in done.err for key in own)
        assert not any(f"{key} " in done.err for key in other)
    assert foreign_rows(loom) == 0


def foreign_rows(loom: Installation) -> int:
    """Rows a member of one organization can reach of the other, through every scoped queryset."""
    return int(
        loom.ask(
            "from django.apps import apps\n"
            "from apps.accounts.models import Organization, User\n"
            "from apps.accounts.services import membership_set\n"
            "acme, bolt = Organization.objects.get(slug='acme'), Organization.objects.get(slug='bolt')\n"
            "user = User.objects.create_user('ada')\n"
            "membership_set(user=user, organization=acme, role='viewer')\n"
            "answer = 0\n"
            "for model in apps.get_models():\n"
            "    rows = getattr(model.objects, 'for_user', None)\n"
            "    if rows is None: continue\n"
            "    for row in rows(user):\n"
            "        project = row if model.__name__ == 'Project' else getattr(row, 'project', None)\n"
            "        owner = getattr(row, 'organization_id', None)\n"
            "        owner = owner or getattr(project, 'organization_id', None)\n"
            "        answer += owner == bolt.pk\n"
        )
    )

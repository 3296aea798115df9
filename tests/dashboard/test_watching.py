"""The pages one watches: logs, conversations, activity."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.activity.models import LogEntry
from apps.agents.models import Session
from apps.beads.services import bead_claim
from tests.dashboard.test_home import read, words
from tests.world import World


def line(world: World, message: str, level: str = "info", source: str = "agents.loop") -> LogEntry:
    return LogEntry.objects.create(
        timestamp=timezone.now(),
        level=level,
        source=source,
        message=message,
        metadata={"turn": 7},
        organization_id=world.organization.pk,
        project_id=world.project.pk,
        agent_id=world.agent.pk,
        bead_id=world.beads[0].pk,
    )


def test_logs_are_filtered_by_their_address(reader: Client, stranger: Client, world: World) -> None:
    first = line(world, "Session opened")
    line(world, "Replies are late", "warn", "providers.gateway")
    last = line(world, "x" * 5000 + "the end", "error")
    page = read(reader, "/logs/")
    assert world.beads[0].key in page
    assert "the end" not in page
    for query, seen in {
        "level=warn": (False, True, True),
        "level=error": (False, False, True),
        "source=agents": (True, False, True),
        "text=REPLIES": (False, True, False),
        f"agent={world.agent.pk}": (True, True, True),
        f"agent={world.agent.pk + 1}": (False, False, False),
        f"project={world.project.pk}": (True, True, True),
        f"upto={first.pk}": (True, False, False),
        f"before={last.pk}": (True, True, False),
    }.items():
        html = read(reader, f"/logs/?{query}")
        assert ("Session opened" in html, "Replies are late" in html, "xxxx" in html) == seen, query
    alone = read(reader, f"/logs/?line={last.pk}")
    assert "the end" in alone
    assert "&quot;turn&quot;: 7" in alone
    assert "Session opened" in alone
    assert stranger.get(f"/logs/?line={last.pk}").status_code == 404
    assert "No lines yet" in read(stranger, "/logs/")


def test_a_live_log_changes_with_its_lines_and_a_paused_one_does_not(reader: Client, world: World) -> None:
    first = line(world, "One")
    live, paused = "/logs/", f"/logs/?upto={first.pk}"
    seen = {address: reader.get(address).context["seen"] for address in (live, paused)}
    assert "data-polls" in read(reader, live)
    assert "data-polls" not in read(reader, paused)
    for address, newest in seen.items():
        assert reader.get(address, headers={"X-Loom-Seen": newest}).status_code == 204
    line(world, "Two")
    assert reader.get(live, headers={"X-Loom-Seen": seen[live]}).status_code == 200
    assert reader.get(paused, headers={"X-Loom-Seen": seen[paused]}).status_code == 204


def test_conversations_and_activity_are_filtered(reader: Client, world: World) -> None:
    review = world.sessions[1]
    Session.objects.filter(pk=review.pk).update(kind="review", status="ended", reason="approved")
    page = words(read(reader, "/conversations/?kind=review&status=ended"))
    assert "Store links, part 2" in page
    assert "part 1" not in page
    assert "No conversation fits" in read(reader, "/conversations/?kind=pair")
    bead_claim(bead=world.beads[0], agent="Engineer")
    activity = reverse("activity")
    assert "Keep addresses of part 1" in read(reader, f"{activity}?about=decisions")
    assert "Keep addresses" not in read(reader, f"{activity}?about=beads")
    assert f"/beads/{world.beads[0].key}/" in read(reader, f"{activity}?about=beads")
    assert "Nothing of this kind" in read(reader, f"{activity}?about=merges&project={world.project.pk}")

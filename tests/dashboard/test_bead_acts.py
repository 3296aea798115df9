"""What people do with beads on the pages: move, close, stop, pause, edit, add, escalate, many at once."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from apps.beads.models import Bead
from apps.engine.models import Run
from tests.dashboard.test_every_page import send
from tests.world import World, work_on


def test_a_bead_is_moved_and_what_leads_nowhere_is_refused(reader: Client, world: World) -> None:
    bead = world.beads[0]
    assert "waits for a person" in send(reader, "bead-move", bead.key, to="hold")
    assert "is ready again" in send(reader, "bead-move", bead.key, to="ready")
    assert "is closed" in send(reader, "bead-move", bead.key, to="close")
    assert "is closed already" in send(reader, "bead-move", bead.key, to="close")
    assert "Only work leads there" in send(reader, "bead-move", bead.key, to="proving")
    bead.refresh_from_db()
    assert bead.close_reason == "Closed by ann."


def test_closing_or_stopping_work_stops_its_run(reader: Client, world: World) -> None:
    first, second = world.beads
    work_on(world, first)
    assert "Say why it is closed" in send(reader, "bead-close", first.key)
    assert "waits for a person" in send(reader, "bead-stop", first.key, reason="Enough.")
    assert Run.objects.get(bead_id=first.pk).cancel_requested
    assert Bead.objects.get(pk=first.pk).blocked_reason == "Enough."
    assert "is closed" in send(reader, "bead-close", second.key, reason="Not wanted.")
    assert Run.objects.get(bead_id=second.pk).cancel_requested
    assert Bead.objects.get(pk=second.pk).close_reason == "Not wanted."


def offered(reader: Client, bead: Bead) -> list[str]:
    """Of pausing and going on, what the page of the bead offers."""
    page = reader.get(reverse("bead", args=[bead.key])).content.decode()
    return [word for word in ("Pause", "Resume") if f">{word}</button>" in page]


def test_work_is_paused_goes_on_and_is_given_out_again(reader: Client, world: World) -> None:
    bead = world.beads[0]
    assert "open already" in send(reader, "bead-again", bead.key)
    assert offered(reader, bead) == []
    work_on(world, bead)
    assert offered(reader, bead) == ["Pause"]
    assert "pauses" in send(reader, "bead-pause", bead.key)
    assert Run.objects.get(bead_id=bead.pk).status == Run.Status.PAUSED
    assert offered(reader, bead) == ["Resume"]
    assert "goes on" in send(reader, "bead-resume", bead.key)
    Run.objects.filter(bead_id=bead.pk).update(status=Run.Status.RUNNING, pause_requested=True)
    assert offered(reader, bead) == ["Resume"]
    Run.objects.filter(bead_id=bead.pk).update(status=Run.Status.READY, pause_requested=False)
    assert "will be given out again" in send(reader, "bead-again", bead.key)
    Run.objects.filter(bead_id=bead.pk).update(status=Run.Status.FAILED)
    Bead.objects.filter(pk=bead.pk).update(status=Bead.Status.BLOCKED)
    assert "goes on where it failed" in send(reader, "bead-again", bead.key)
    assert Bead.objects.get(pk=bead.pk).status == Bead.Status.IN_PROGRESS


def test_a_bead_is_edited_added_escalated_and_many_are_moved_at_once(reader: Client, world: World) -> None:
    bead, other = world.beads
    given = {"title": "New title", "acceptance": "One\n\nTwo", "priority": "1", "role": "qa-engineer"}
    assert "is changed" in send(reader, "bead-change", bead.key, **given)
    bead.refresh_from_db()
    assert (bead.title, bead.acceptance, bead.priority) == ("New title", ["One", "Two"], 1)
    assert "is added" in send(
        reader, "bead-add", world.project.pk, title="More", priority="2", acceptance="A"
    )
    assert "Title: This field" in send(reader, "bead-add", world.project.pk, title="", priority="2")
    assert "put before the CEO" in send(reader, "bead-escalation", bead.key, reason="Too hard.")
    picked = {"bead": [bead.key, other.key], "to": "close"}
    assert "2 beads done" in send(reader, "beads-bulk", world.project.pk, **picked)
    assert "0 done, 2 not" in send(reader, "beads-bulk", world.project.pk, **picked)

"""What people do with beads on the pages: move, close, stop, pause, edit, add, escalate, many at once."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.engine.models import Run
from tests.dashboard.test_every_page import send
from tests.dashboard.test_home import read
from tests.world import World, work_on


def test_a_bead_is_moved_and_what_leads_nowhere_is_refused(reader: Client, world: World) -> None:
    bead = world.beads[0]
    assert "waits for a person" in send(reader, "bead-move", bead.key, to="hold")
    assert "still being ended" in send(reader, "bead-move", bead.key, to="ready")
    Run.objects.filter(bead_id=bead.pk).update(status=Run.Status.CANCELED)
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


def test_paused_work_does_not_look_as_if_it_went_on(reader: Client, world: World) -> None:
    bead = bead_create(project=world.project, title="Links")
    work_on(world, bead)
    run = Run.objects.create(flow="bead.work", key="aside", bead_id=bead.pk)
    pages = reverse("bead", args=[bead.key]), reverse("board", args=[world.project.pk])
    assert all("run_tests" in read(reader, page) for page in pages)
    runs = Run.objects.filter(pk=run.pk)
    runs.update(status=Run.Status.RUNNING, pause_requested=True)
    assert all("auses at its next step" in read(reader, page) for page in pages)
    runs.update(status=Run.Status.PAUSED, pause_requested=False)
    for page in pages:
        assert "aused" in read(reader, page)
        assert "run_tests" not in read(reader, page)


def test_work_that_is_before_the_ceo_goes_on_only_by_the_answer(reader: Client, world: World) -> None:
    bead = world.beads[0]
    work_on(world, bead)
    assert "put before the CEO" in send(reader, "bead-escalation", bead.key, reason="Too hard.")
    assert offered(reader, bead) == []
    asked = bead.decisions.latest("pk")
    assert reverse("decision", args=[asked.pk]) in read(reader, f"/beads/{bead.key}/")
    (run,) = Run.objects.filter(bead_id=bead.pk)
    assert "is before the CEO" in send(reader, "bead-resume", bead.key)
    assert "is before the CEO" in send(reader, "run-resume", run.pk)
    run.refresh_from_db()
    assert run.status == Run.Status.PAUSED
    assert "is before the CEO already" in send(reader, "bead-escalation", bead.key, reason="Still.")


def test_the_sessions_of_a_bead_are_counted_as_they_are_listed(reader: Client, world: World) -> None:
    bead = world.beads[0]
    assert bead.sessions.count() == 1
    assert "<dd>1 begun, 1 turn, $" in read(reader, f"/beads/{bead.key}/")


def test_a_reason_is_asked_for_only_where_one_is_read(reader: Client, world: World) -> None:
    bead, asks = world.beads[0], 'name="reason"'
    assert asks in reader.get(f"/beads/{bead.key}/").content.decode()
    send(reader, "bead-move", bead.key, to="close")
    page = reader.get(f"/beads/{bead.key}/").content.decode()
    assert "Give out again" in page
    assert asks not in page


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

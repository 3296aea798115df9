"""What people do on a bead's page."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from apps.agents.models import Agent
from apps.beads.models import Bead, Comment
from apps.beads.services import bead_create
from apps.engine.models import Run
from tests.dashboard.test_home import words
from tests.world import World, client_of


def sent(client: Client, bead: Bead, does: str, **given: str) -> str:
    at = f"/beads/{bead.key}/"
    return words(client.post(f"{at}{does}/", {"next": at, **given}, follow=True).content.decode())


def test_a_person_takes_an_open_bead_and_gives_it_back(world: World) -> None:
    client = client_of(world)
    bead = bead_create(project=world.project, title="Mine", role="qa-engineer")
    assert f"{bead.key} is yours." in sent(client, bead, "assign", to="me")
    bead.refresh_from_db()
    assert (bead.status, bead.assigned_to) == (Bead.Status.IN_PROGRESS, "ann")
    assert "is given back" in sent(client, bead, "again")
    bead.refresh_from_db()
    assert bead.assigned_to != "ann"


def test_a_bead_is_given_only_to_agents_of_its_project(world: World) -> None:
    client, bead = client_of(world), bead_create(project=world.project, title="Theirs", role="qa-engineer")
    assert "Say who is to have it." in sent(client, bead, "assign", to="nobody")
    stranger = Agent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    assert client.post(f"/beads/{bead.key}/assign/", {"to": str(stranger + 1)}).status_code == 404


def test_a_comment_on_a_line_is_kept_with_its_place_and_goes_to_the_agent(world: World) -> None:
    client, bead = client_of(world), world.beads[0]
    place = {"path": "a.py", "line": "3", "side": "new", "content": "Why?"}
    assert "Your comment is there." in sent(client, bead, "comment", **place)
    comment = Comment.objects.get()
    assert (comment.path, comment.line, comment.side) == ("a.py", 3, "new")
    assert "Say which line you mean" in sent(client, bead, "comment", **{**place, "line": "x"})


def test_undo_is_offered_only_where_it_takes_everything_back(world: World) -> None:
    client, project = client_of(world), world.project
    lone = bead_create(project=project, title="Alone")
    awaited = bead_create(project=project, title="Awaited")
    bead_create(project=project, title="Waits", blocked_by=[awaited])
    named = bead_create(project=project, title="Named", assigned_to="Engineer")
    for bead, undo in ((lone, True), (awaited, False), (named, False)):
        said = sent(client, bead, "close", reason="Not wanted.")
        assert f"{bead.key} is closed." in said
        assert ("Undo" in said) is undo, bead.title
    client.post(f"/beads/{lone.key}/move/?to=ready")
    lone.refresh_from_db()
    assert (lone.status, lone.close_reason) == (Bead.Status.OPEN, "")
    assert "Undo" in sent(client, lone, "stop")


def test_work_begins_anew_where_a_later_run_has_taken_the_place_of_the_failed_one(
    reader: Client, world: World
) -> None:
    bead = world.beads[0]
    Run.objects.filter(bead_id=bead.pk).update(status=Run.Status.FAILED)
    later = Run.objects.get(bead_id=bead.pk)
    later.pk, later.key, later.status = None, f"bead:{bead.pk}:later", Run.Status.CANCELED
    later.save()
    Bead.objects.filter(pk=bead.pk).update(status=Bead.Status.BLOCKED)
    said = reader.post(reverse("bead-again", args=[bead.key]), follow=True).content.decode()
    assert "is given out again" in said
    assert Bead.objects.get(pk=bead.pk).status == Bead.Status.OPEN

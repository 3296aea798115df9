"""The plan that waits for approval, on the page of its decision."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from apps.accounts.models import Role
from apps.agents.models import Session
from apps.agents.services import session_end
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.decisions.models import Decision
from apps.decisions.services import answer_give, decision_request
from apps.engine.models import Run
from tests.dashboard.test_every_page import send
from tests.dashboard.test_home import read, words
from tests.world import World, client_of, world_build

APPROVAL = [{"key": "approve", "label": "Approve"}, {"key": "change", "label": "Send back"}]


def plan_of(world: World) -> Decision:
    return decision_request(
        project=world.project, kind=Decision.Kind.PLAN, question="Approve the plan?", options=APPROVAL,
        needs_person=True,
    )  # fmt: skip


def test_a_plan_is_read_cut_and_added_to_before_it_is_approved(reader: Client, world: World) -> None:
    address = reverse("decision", args=[plan_of(world).pk])
    gap = world.project.requirements.get(key="R-002")
    assert "no story serves it" in words(read(reader, address))
    given = {"title": "Export", "priority": "2", "requirements": [gap.pk]}
    assert "is added to the plan" in send(reader, "bead-add", world.project.pk, **given)
    page = read(reader, address)
    assert "3 stories serve 2 of 2 requirements" in words(page)
    assert "no story serves it" not in words(page)
    story = Bead.objects.get(title="Export")
    assert story.status == Bead.Status.DEFERRED
    assert [row.key for row in story.requirements.all()] == ["R-002"]
    assert f'formaction="{reverse("bead-close", args=[story.key])}"' in page
    send(reader, "bead-close", story.key, reason="Dropped from the plan.")
    assert "Export" not in words(read(reader, address)).split("The plan")[1].split("Matrix")[0]


def test_a_story_added_while_the_plan_is_mended_waits_with_it(reader: Client, world: World) -> None:
    planning = Session.objects.create(project=world.project, agent=world.agent, kind="plan", origin="plan")
    given = {"title": "Export", "priority": "2"}
    assert "is added to the plan" in send(reader, "bead-add", world.project.pk, **given)
    assert Bead.objects.get(title="Export").status == Bead.Status.DEFERRED
    session_end(session=planning, reason="approved")
    assert "is added." in send(reader, "bead-add", world.project.pk, **{**given, "title": "Import"})
    assert Bead.objects.get(title="Import").status == Bead.Status.OPEN


def test_the_matrix_the_graph_and_a_form_stand_beside_the_question(reader: Client, world: World) -> None:
    """All on one page: what serves what, what waits for what, a story to edit, and the answer."""
    address = reverse("decision", args=[plan_of(world).pk])
    story = bead_create(project=world.project, title="Planned", status="deferred", acceptance=["One", "Two"])
    page = read(reader, address)
    matrix, graph = page.split('class="matrix"')[1], page.split('id="plan-graph"')[1]
    assert world.beads[0].key in matrix.split("</table>")[0]
    assert f'<a href="/beads/{story.key}/"' in graph
    assert 'name="rationale"' in page
    assert 'name="title" value="Planned"' not in page
    edit = read(reader, f"{address}?edit={story.key}")
    assert 'name="title" value="Planned"' in edit
    assert f'name="next" value="{address}"' in edit
    for other in ("nothing", world.beads[0].key, "%00"):  # what is no story of the plan that waits
        assert 'id="edit"' not in read(reader, f"{address}?edit={other}")


def test_a_plan_that_was_answered_or_is_only_shown_cannot_be_changed(reader: Client, world: World) -> None:
    plan = plan_of(world)
    story = bead_create(project=world.project, title="Planned", status="deferred")
    address = f"{reverse('decision', args=[plan.pk])}?edit={story.key}"
    for who in (client_of(world, Role.VIEWER, "vic"), reader):
        page = read(who, address)
        assert ('id="edit"' in page) is (who is reader)
        assert ("Drop" in words(page)) is (who is reader)
    answer_give(decision=plan, person="ann", choice="approve", rationale="")
    page = read(reader, address)
    assert 'id="edit"' not in page
    assert "Drop" not in words(page)
    assert "Planned" in words(page)


def test_a_requirement_of_another_project_is_no_choice(reader: Client, world: World) -> None:
    other = world_build("beside", rows=0)
    theirs = other.project.requirements.earliest("pk").pk
    told = send(reader, "bead-add", world.project.pk, title="Odd", priority="2", requirements=[theirs])
    assert "Serves" in told
    told = send(reader, "bead-add", world.project.pk, title="Odd", priority="2", requirements=["9" * 23])
    assert "There is no such requirement" in told
    assert not Bead.objects.filter(title="Odd").exists()


def test_numbers_that_are_none_are_no_fault(reader: Client, world: World) -> None:
    """Such as ², which is a digit, but no number."""
    bead = world.beads[0]
    for address in (
        reverse("beads", args=[world.project.pk]) + "?priority=",
        reverse("board", args=[world.project.pk]) + "?priority=",
        reverse("bead-changes", args=[bead.key]) + "?claim=",
        reverse("session", args=[world.sessions[0].pk]) + "?page=",
        reverse("run", args=[Run.objects.filter(bead_id=bead.pk).latest("pk").pk]) + "?before=",
    ):
        for nonsense in ("²", "9" * 30, "-1", "x"):
            read(reader, address + nonsense)
    for nonsense in ("²", "9", ""):
        assert "A priority goes from 0" in send(reader, "bead-change", bead.key, priority=nonsense)


def test_a_plan_is_shown_once_and_an_answer_has_the_words_of_its_option(reader: Client, world: World) -> None:
    asked = plan_of(world)
    Decision.objects.filter(pk=asked.pk).update(context="- epic: told to agents")
    address = reverse("decision", args=[asked.pk])
    assert "told to agents" in read(reader, reverse("decisions")), "there it stands alone"
    assert "told to agents" not in read(reader, address), "the plan itself is below"
    asked.refresh_from_db()
    answer_give(decision=asked, person="ann", choice="change", rationale="Smaller.")
    assert "told to agents" not in read(reader, address)
    for page in (address, reverse("decisions")):
        assert "Send back" in read(reader, page)

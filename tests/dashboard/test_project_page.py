"""The page of a project: its beads and what proves them."""

from __future__ import annotations

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Role, User
from apps.agents.models import Evidence, Review
from apps.beads.models import Bead
from apps.beads.services import bead_close, bead_create
from apps.dashboard.queries_board import PER_COLUMN, PER_PAGE
from tests.dashboard.test_home import read, words
from tests.world import World, bead_add, client_of


def address(world: World) -> str:
    return f"/projects/{world.project.pk}/"


def test_beads_stand_under_their_epic(reader: Client, world: World) -> None:
    epic = bead_create(project=world.project, title="Export", type="epic")
    bead_create(project=world.project, title="Write CSV", parent=epic, role="qa-engineer")
    page = words(read(reader, address(world) + "board/?lanes=epic"))
    assert page.index("Export") < page.index("Write CSV") < page.index("Store links, part 1")


def test_evidence_and_reviews_stand_beside_the_bead(reader: Client, world: World) -> None:
    Evidence.objects.filter(bead=world.beads[0]).update(counts={"passed_count": 12, "failed_count": 0})
    proof = words(read(reader, address(world)).split('id="proofs"')[1])
    assert "unit tests: 12 passed claim 1, exit 0" in proof
    assert "approved by Engineer Good." in proof
    assert "It stores." in proof


def test_a_failed_check_shows_the_first_error_and_weakened_tests(reader: Client, world: World) -> None:
    Evidence.objects.filter(bead=world.beads[0]).update(
        passed=False,
        exit_code=1,
        counts={"passed_count": 10, "failed_count": 2, "first_error": "AssertionError: 7.2 not less than 5"},
        flags=[{"path": "tests/test_links.py", "what": "test file was deleted"}],
    )
    proof = words(read(reader, address(world)).split('id="proofs"')[1])
    assert "10 passed, 2 failed" in proof
    assert "AssertionError: 7.2 not less than 5" in proof
    assert "tests/test_links.py: test file was deleted" in proof


def test_a_rejected_review_shows_why(reader: Client, world: World) -> None:
    Review.objects.update(verdict=Review.Verdict.REJECT, comments="Empty input crashes.")
    assert "sent back by Engineer Empty input crashes." in words(read(reader, address(world)))


def test_a_requirement_is_merged_when_all_its_beads_are(reader: Client, world: World) -> None:
    bead_close(bead=world.beads[0], reason="Merged.", commit="a" * 40)
    assert "0 of 2 requirements wholly merged" in words(read(reader, address(world)))
    bead_close(bead=world.beads[1], reason="Merged.", commit="b" * 40)
    assert "1 of 2 requirements wholly merged" in words(read(reader, address(world)))


def test_only_staff_get_links_into_the_admin(reader: Client, client: Client, world: World) -> None:
    assert "/admin/" not in read(reader, address(world))
    client.force_login(world.staff)
    evidence = Evidence.objects.filter(bead=world.beads[0]).get()
    assert f"/admin/agents/evidence/{evidence.pk}/change/" in read(client, address(world))


def test_a_long_plan_is_shown_page_by_page(reader: Client, world: World) -> None:
    for number in range(PER_PAGE):
        bead_create(project=world.project, title=f"Story {number:03}")
    lists = address(world) + "beads/?sort=title"
    first, second = read(reader, lists), read(reader, lists + "&page=2")
    assert "Page 1 of 2" in first
    assert "Store links, part 2" in first
    assert "Story 059" in second
    assert "Story 059" not in first


def test_a_project_without_beads_says_what_will_come(reader: Client, world: World) -> None:
    world.project.beads.all().delete()
    html = read(reader, address(world))
    assert "The plan appears here as soon as it is made" in html
    assert "Nothing is claimed yet." in html


def test_the_wrong_person_gets_404(stranger: Client, client: Client, world: World) -> None:
    response = stranger.get(address(world))
    assert response.status_code == 404
    assert "There is nothing here" in response.content.decode()
    client.force_login(User.objects.create_user(username="newcomer"))
    assert client.get(address(world)).status_code == 404


def test_a_new_epic_is_offered_at_once_by_the_form_of_a_new_bead(reader: Client, world: World) -> None:
    board = address(world) + "board/"
    assert "Storage and search" not in read(reader, board)
    epic = bead_create(project=world.project, title="Storage and search", type="epic")
    assert f'<option value="{epic.pk}">' in read(reader, board)


def test_who_is_put_out_sees_nothing_with_the_next_page(reader: Client, member: User, world: World) -> None:
    board = address(world) + "board/"
    assert reader.get(board).status_code == 200
    member.memberships.all().delete()
    assert reader.get(board).status_code == 404
    assert world.project.name not in read(reader, "/agents/")


def test_more_beads_cost_no_more_queries(reader: Client, world: World) -> None:
    read(reader, address(world))
    with CaptureQueriesContext(connection) as few:
        read(reader, address(world))
    for _ in range(6):
        bead_add(world)
    with CaptureQueriesContext(connection) as many:
        read(reader, address(world))
    assert len(many) == len(few)


def test_cards_and_rows_follow_what_they_show_and_who_looks(reader: Client, world: World) -> None:
    """They are kept by what they show: another title, or one who may only look, is another card."""
    bead, viewer = world.beads[0], client_of(world, Role.VIEWER, "vic")
    for part in ("board/", "beads/", ""):
        assert bead.title in read(reader, address(world) + part)
        assert "Move to" not in words(read(viewer, address(world) + part))
    assert f'draggable="true" data-bead="{bead.key}"' in read(reader, address(world) + "board/")
    assert f'name="bead" value="{bead.key}"' not in read(viewer, address(world) + "beads/")
    Bead.objects.filter(pk=bead.pk).update(title="Another <b>title</b>")
    for part in ("board/", "beads/", ""):
        page = read(reader, address(world) + part)
        assert "Another &lt;b&gt;title&lt;/b&gt;" in page
        assert f">{bead.title}</a>" not in page


def test_a_board_counts_what_it_does_not_show(reader: Client, world: World) -> None:
    for _ in range(PER_COLUMN + 3):
        bead_create(project=world.project, title="One of many", labels=["many"])
    page = words(read(reader, address(world) + "board/?label=many"))
    assert f"Ready {PER_COLUMN + 3}" in page
    assert "3 more" in page
    assert page.count("One of many") == PER_COLUMN

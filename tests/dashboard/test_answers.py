"""Answering decisions on the pages."""

from __future__ import annotations

from django.test import Client

from apps.accounts.models import Role, User
from apps.accounts.services import membership_set, organization_ensure
from apps.core.tenancy import Access, circle_read
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide, decision_request
from apps.engine.models import Signal
from apps.projects.models import Project
from apps.providers.models import Provider
from tests.dashboard.test_home import read, words
from tests.world import World, run_add


def answer_address(decision: Decision) -> str:
    return f"/decisions/{decision.pk}/answer/"


def state(decision: Decision) -> tuple[str, str]:
    decision.refresh_from_db()
    return decision.status, decision.choice


def test_an_answer_is_recorded_told_to_the_run_and_confirmed(reader: Client, world: World) -> None:
    run = run_add(world)
    decision = decision_request(
        project=world.project, question="Which port?", run_id=run.pk, needs_person=True
    )
    response = reader.post(
        answer_address(decision), {"choice": "8080", "rationale": "It is free.", "next": "/"}, follow=True
    )
    assert "Answered: 8080. The work goes on." in response.content.decode()
    assert state(decision) == ("decided", "8080")
    told = Signal.objects.get(name=f"decision:{decision.pk}")
    assert told.data == {"choice": "8080", "rationale": "It is free.", "decider": "ann"}


def test_options_show_what_they_mean_and_what_is_recommended(reader: Client, world: World) -> None:
    page = words(read(reader))
    assert "Store a salted hash recommended" in page
    assert "asked by Engineer" in page


def test_questions_for_people_come_before_those_of_the_decision_maker(reader: Client, world: World) -> None:
    decision_request(project=world.project, question="Only you know this?", needs_person=True)
    page = words(read(reader))
    assert page.index("Only you know this?") < page.index("Keep addresses of part 1?")


def test_one_comes_back_to_the_page_one_answered_from(reader: Client, world: World) -> None:
    back = f"/projects/{world.project.pk}/"
    response = reader.post(answer_address(world.decisions[0]), {"choice": "hash", "next": back})
    assert response["Location"] == back


def test_one_is_never_sent_to_another_site(reader: Client, world: World) -> None:
    response = reader.post(
        answer_address(world.decisions[0]), {"choice": "hash", "next": "https://evil.example/"}
    )
    assert response["Location"] == "/"


def test_an_answer_that_was_not_offered_is_asked_again_and_keeps_the_reason(
    reader: Client, world: World
) -> None:
    response = reader.post(
        answer_address(world.decisions[0]), {"choice": "sell", "rationale": "Long thought."}
    )
    html = response.content.decode()
    assert response.status_code == 400
    assert "Select a valid choice" in html
    assert "Long thought." in html
    assert state(world.decisions[0]) == ("open", "")


def test_a_service_account_that_signs_in_sees_nothing(client: Client, world: World) -> None:
    robot = User.objects.create_user(username="robot")
    membership_set(user=robot, organization=world.organization, role=Role.SERVICE)
    client.force_login(robot)
    name = world.project.name
    for address in ("/", "/projects/", "/decisions/", "/cost/"):
        assert name not in client.get(address, follow=True).content.decode()
    assert client.get(f"/projects/{world.project.pk}/board/").status_code == 404
    assert not Provider.objects.for_user(robot).exists()
    membership_set(user=robot, organization=organization_ensure(name="Elsewhere"), role=Role.VIEWER)
    assert name not in client.get("/projects/").content.decode()
    circle_read(robot)
    assert not Project.objects.for_user(robot).exists()
    robot = User.objects.get(pk=robot.pk)
    robot.access = Access(organization_id=world.organization.pk, scopes=frozenset({"*:read"}))
    assert list(Project.objects.for_user(robot)) == [world.project]


def test_who_comes_late_is_told(reader: Client, world: World) -> None:
    decision_decide(decision=world.decisions[0], choice="drop", decider="Decision maker")
    response = reader.post(answer_address(world.decisions[0]), {"choice": "hash"}, follow=True)
    assert "This decision was answered already." in response.content.decode()
    assert state(world.decisions[0]) == ("decided", "drop")


def test_a_viewer_may_look_but_not_answer(client: Client, world: World) -> None:
    viewer = User.objects.create_user(username="vic")
    membership_set(user=viewer, organization=world.organization, role=Role.VIEWER)
    client.force_login(viewer)
    page = read(client)
    assert "You may look, but not answer" in page
    assert answer_address(world.decisions[0]) not in page
    assert client.post(answer_address(world.decisions[0]), {"choice": "hash"}).status_code == 404
    assert state(world.decisions[0]) == ("open", "")


def test_another_organization_cannot_answer(stranger: Client, world: World) -> None:
    assert stranger.post(answer_address(world.decisions[0]), {"choice": "hash"}).status_code == 404
    assert state(world.decisions[0]) == ("open", "")


def test_an_answer_needs_the_token_of_the_page(member: User, world: World) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(member)
    assert client.post(answer_address(world.decisions[0]), {"choice": "hash"}).status_code == 403
    assert state(world.decisions[0]) == ("open", "")


def test_an_answer_is_only_posted(reader: Client, world: World) -> None:
    assert reader.get(answer_address(world.decisions[0])).status_code == 405


def test_a_voter_votes_on_the_page_and_others_are_told_that_votes_decide(
    reader: Client, member: User, world: World
) -> None:
    options = [{"key": "a"}, {"key": "b"}]
    asked = decision_request(
        project=world.project, question="Which?", options=options, voters=[member.username, "bob"]
    )
    response = reader.post(answer_address(asked), {"choice": "a"}, follow=True)
    assert "Voted: a. Votes by weight: a 1 (needed: 67%); no vote from bob." in words(
        response.content.decode()
    )
    assert state(asked) == ("open", "")
    others = decision_request(project=world.project, question="Who?", options=options, voters=["bob"])
    response = reader.post(answer_address(others), {"choice": "a"}, follow=True)
    assert "is none of the voters" in response.content.decode()


def test_a_service_account_may_not_answer_without_a_key(client: Client, world: World) -> None:
    robot = User.objects.create_user(username="robot")
    membership_set(user=robot, organization=world.organization, role=Role.SERVICE)
    client.force_login(robot)
    assert client.post(answer_address(world.decisions[0]), {"choice": "hash"}).status_code == 404
    assert state(world.decisions[0]) == ("open", "")

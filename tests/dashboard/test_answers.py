"""Answering decisions on the pages."""

from __future__ import annotations

from django.test import Client

from apps.accounts.models import Role, User
from apps.accounts.services import membership_set, organization_ensure
from apps.core.tenancy import Access, circle_read
from apps.dashboard.queries_questions import DECISIONS, questions_of, waiting_count
from apps.decisions.models import Decision
from apps.decisions.services import decision_decide, decision_request, vote_cast
from apps.engine.models import Signal
from apps.projects.models import Project
from apps.projects.sharing import share_set
from apps.providers.models import Provider
from tests.dashboard.test_home import read, words
from tests.world import World, run_add, world_build

AB = [{"key": "a"}, {"key": "b"}]


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
    assert "Answered: 8080. Who waits for it is told." in response.content.decode()
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


def test_a_voter_votes_on_the_page_and_may_change_the_vote(
    reader: Client, member: User, world: World
) -> None:
    options = [{"key": "a", "label": "The first way"}, {"key": "b"}]
    voters = [member.username, "bob"]
    asked = decision_request(project=world.project, question="Which?", options=options, voters=voters)
    card = f'id="question-{asked.pk}"'
    assert "Needs your vote" in words(read(reader, "/decisions/").split(card)[1].split("</article>")[0])
    assert "1 waits for a person" in words(read(reader, "/decisions/"))
    response = reader.post(answer_address(asked), {"choice": "a", "rationale": "Simple."}, follow=True)
    assert (
        "Voted: The first way. Votes by weight: The first way 1 (needed: 67%); no vote from bob."
    ) in words(response.content.decode())
    assert state(asked) == ("open", "")
    page = read(reader, "/decisions/").split(card)[1].split("</article>")[0]
    assert "You voted: The first way" in page
    assert "Simple.</textarea>" in page, "to be changed it need not be written again"
    assert "Change my vote</button>" in page
    assert "for a person" not in words(read(reader, "/decisions/").split("<main")[0])


def test_ones_own_vote_is_shown_however_many_questions_wait_for_people(
    reader: Client, member: User, world: World
) -> None:
    for number in range(DECISIONS):
        decision_request(project=world.project, question=f"Q{number}?", needs_person=True)
    asked = decision_request(
        project=world.project, question="Which?", options=AB, voters=[member.username, "bob"]
    )
    shown = questions_of(member)
    assert len(shown) == DECISIONS
    assert shown[0].decision == asked
    assert waiting_count(member) == DECISIONS + 1


def test_what_one_may_answer_comes_before_what_one_may_only_look_at(member: User, world: World) -> None:
    other = world_build("other", rows=1)
    membership_set(user=member, organization=other.organization, role=Role.VIEWER)
    for number in range(DECISIONS):
        decision_request(project=other.project, question=f"Q{number}?", needs_person=True)
    asked = decision_request(project=world.project, question="Mine?", needs_person=True)
    assert questions_of(member)[0].decision == asked


def test_a_voter_who_may_not_answer_is_not_asked_to_vote(client: Client, world: World) -> None:
    viewer = User.objects.create_user(username="vic")
    membership_set(user=viewer, organization=world.organization, role=Role.VIEWER)
    asked = decision_request(project=world.project, question="Which?", options=AB, voters=["vic", "bob"])
    client.force_login(viewer)
    for address in ("/decisions/", f"/decisions/{asked.pk}/"):
        page = words(read(client, address))
        assert "With its voters" in page
        assert "Needs your vote" not in page
    assert waiting_count(viewer) == 0
    share_set(project=world.project, to=viewer, role=Role.USER)
    (vote, *_) = questions_of(viewer)
    assert (vote.decision, vote.may_answer, waiting_count(viewer)) == (asked, True, 1)


def test_a_changed_vote_keeps_the_confidence_that_it_was_cast_with(
    reader: Client, member: User, world: World
) -> None:
    voters = [f"user-{member.username}", "bob"]
    asked = decision_request(project=world.project, question="Which?", options=AB, voters=voters)
    vote_cast(decision=asked, voter=member.username, choice="a", confidence=0.3)
    reader.post(answer_address(asked), {"choice": "a", "rationale": "On second thought."})
    vote = asked.votes.get()
    assert (vote.confidence, vote.rationale) == (0.3, "On second thought.")


def test_who_is_no_voter_is_offered_no_answer_that_would_be_refused(reader: Client, world: World) -> None:
    options = [{"key": "a"}, {"key": "b"}]
    asked = decision_request(project=world.project, question="Who?", options=options, voters=["bob"])
    page = read(reader, f"/decisions/{asked.pk}/")
    assert "Its voters decide this: bob." in page
    assert answer_address(asked) not in page
    response = reader.post(answer_address(asked), {"choice": "a"}, follow=True)
    assert "is none of the voters" in response.content.decode()


def test_who_comes_late_hears_the_answer_in_words(reader: Client, world: World) -> None:
    decision_decide(decision=world.decisions[0], choice="hash", decider="bob")
    late = reader.post(answer_address(world.decisions[0]), {"choice": "drop"}, follow=True)
    said = words(late.content.decode())
    assert "bob decided “Store a salted hash”" in said


def test_a_service_account_may_not_answer_without_a_key(client: Client, world: World) -> None:
    robot = User.objects.create_user(username="robot")
    membership_set(user=robot, organization=world.organization, role=Role.SERVICE)
    client.force_login(robot)
    assert client.post(answer_address(world.decisions[0]), {"choice": "hash"}).status_code == 404
    assert state(world.decisions[0]) == ("open", "")

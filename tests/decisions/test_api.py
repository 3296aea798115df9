"""The API of decisions: asked, listed, decided and voted on over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Role, User
from apps.accounts.services import membership_set, organization_ensure
from apps.decisions.models import Decision
from apps.decisions.services import decision_cancel, decision_decide, decision_request
from apps.engine.models import Run, Signal
from tests.silence import nobody_reacts
from tests.world import World, client_of, world_build

__all__ = ["nobody_reacts"]
pytestmark = [pytest.mark.usefixtures("nobody_reacts"), pytest.mark.django_db]
LIST = "/api/v1/decisions"
AB = [{"key": "a"}, {"key": "b"}]


@pytest.fixture
def world() -> World:
    return world_build("acme", rows=1)


@pytest.fixture
def ann(world: World) -> Client:
    return client_of(world, Role.USER, "ann")


def send(client: Client, address: str, method: str = "post", **body: Any) -> Any:
    return getattr(client, method)(address, data=json.dumps(body), content_type="application/json")


def one(decision: Decision, tail: str = "") -> str:
    return f"{LIST}/{decision.pk}{tail}"


# -- reading -----------------------------------------------------------------------------------------


def test_a_decision_looks_like_a_bead_with_a_question(ann: Client, world: World) -> None:
    decision = world.decisions[0]
    (body,) = ann.get(LIST).json()
    assert ann.get(one(decision)).json() == body
    assert (body["id"], body["type"], body["status"], body["state"]) == (
        str(decision.pk),
        "decision",
        "open",
        "open",
    )
    assert body["title"] == f"Decision: {decision.question}"
    assert (body["project_id"], body["parent"]) == (str(world.project.pk), world.beads[0].key)
    assert (body["options"], body["recommendation"]) == (["hash", "drop"], "hash")
    assert body["option_details"][0] == {"key": "hash", "label": "Store a salted hash"}
    assert (body["requester_id"], body["assigned_to"], body["priority"]) == ("Engineer", "decision-maker", 2)
    assert (body["decision"], body["decider_id"], body["decided_at"], body["tally"]) == ("", "", None, None)


def test_decisions_are_filtered(ann: Client, world: World) -> None:
    first = world.decisions[0]
    urgent = decision_request(project=world.project, question="Now?", priority=0)
    gone = decision_request(project=world.project, question="Still?")
    decision_cancel(decision=gone)
    done = decision_request(project=world.project, question="Which?")
    decision_decide(decision=done, choice="this", decider="bob")

    def found(query: str) -> list[int]:
        answer = ann.get(f"{LIST}?{query}")
        assert answer["X-Total-Count"] == str(len(answer.json()))
        return [int(row["id"]) for row in answer.json()]

    assert found("status=open") == [urgent.pk, first.pk]
    assert found("status=closed") == [done.pk, gone.pk]
    assert found("status=decided,open&priority=2") == [done.pk, first.pk]
    assert found("priority=0") == found("priority=P0") == [urgent.pk]
    assert found(f"project_id={world.project.pk}&limit=9") == [done.pk, gone.pk, urgent.pk, first.pk]
    assert found(f"project_id={world.project.pk + 1}") == []
    assert found("mine=true") == [urgent.pk]
    for wrong in ("status=odd", "priority=9", "priority=x", "project_id=x", "mine=maybe"):
        assert ann.get(f"{LIST}?{wrong}").status_code == 400, wrong


def test_what_waits_for_ones_vote_is_mine_until_one_has_voted(ann: Client, world: World) -> None:
    options = [{"key": "a"}, {"key": "b"}]
    decision = decision_request(
        project=world.project, question="Which?", options=options, voters=["ann", "bob"]
    )
    assert [row["id"] for row in ann.get(f"{LIST}?mine=true").json()] == [str(decision.pk)]
    assert send(ann, one(decision, "/votes"), choice="a").status_code == 200
    assert ann.get(f"{LIST}?mine=true").json() == []


def test_more_decisions_cost_no_more_queries(
    ann: Client, world: World, django_assert_max_num_queries: Any
) -> None:
    for number in range(10):
        decision_request(
            project=world.project, question=f"Q{number}?", options=[{"key": "a"}], voters=["ann"]
        )
    with django_assert_max_num_queries(7):
        assert len(ann.get(LIST).json()) == 11


# -- asking ------------------------------------------------------------------------------------------


def test_a_person_asks(ann: Client, world: World) -> None:
    answer = send(
        ann,
        LIST,
        question="Which license?",
        parent=world.beads[0].key.lower(),
        options=["MIT", {"key": "apache", "label": "Apache 2", "detail": "With patents."}],
        recommendation="MIT",
        context={"size": "small"},
        priority=1,
        asked_of="cto",
        deadline_hours=2,
        default_choice="mit",
    )
    assert answer.status_code == 201
    body = answer.json()
    assert (body["project_id"], body["parent"]) == (str(world.project.pk), world.beads[0].key)
    assert (body["options"], body["default_choice"]) == (["MIT", "apache"], "MIT")
    assert (body["requester_id"], body["assigned_to"], body["context"]) == ("ann", "cto", "size: small")
    kept = Decision.objects.get(pk=body["id"])
    assert round((kept.deadline - kept.created_at).total_seconds() / 3600) == 2
    assert Run.objects.filter(key=f"decision:{kept.pk}", flow="decision.deadline").exists()


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"question": ""}, 400),
        ({"question": None}, 400),
        ({"project_id": None}, 400),
        ({"project_id": "x"}, 400),
        ({"project_id": 10**30}, 400),
        ({"options": ["a", "A"]}, 400),
        ({"options": [{"label": "no key"}]}, 400),
        ({"options": [7]}, 400),
        ({"options": "ab"}, 400),
        ({"priority": 5}, 400),
        ({"deadline_hours": -1}, 400),
        ({"deadline_hours": 10**9}, 400),
        ({"context": [1]}, 400),
        ({"default_choice": "c", "options": ["a", "b"]}, 400),
        ({"voters": ["ann"], "options": []}, 400),
        ({"threshold": 2, "options": ["a"], "voters": ["ann"]}, 400),
        ({"project_id": 999_999}, 404),
        ({"parent": "no-such-bead"}, 404),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    ann: Client, world: World, wrong: dict[str, Any], status: int
) -> None:
    before = Decision.objects.count()
    asked: dict[str, Any] = {"question": "Why?", "project_id": world.project.pk}
    answer = send(ann, LIST, **(asked | wrong))
    assert answer.status_code == status
    assert answer.json()["error"]
    assert Decision.objects.count() == before


def test_a_bead_of_another_project_is_not_found(ann: Client, world: World) -> None:
    answer = send(ann, LIST, question="Why?", project_id=world.project.pk + 7, parent=world.beads[0].key)
    assert answer.status_code == 404


# -- deciding ----------------------------------------------------------------------------------------


def test_put_and_decide_answer_and_the_run_that_waits_is_told(ann: Client, world: World) -> None:
    run = Run.objects.create(key="k", flow="f", status=Run.Status.WAITING)
    put, post = (
        decision_request(project=world.project, question=question, options=[{"key": "a"}], run_id=run.pk)
        for question in ("One?", "Two?")
    )
    body = send(ann, one(put), "put", decision="A", rationale="Best.").json()
    assert (body["status"], body["state"], body["decision"], body["decider_id"]) == (
        "closed",
        "decided",
        "a",
        "ann",
    )
    said = send(ann, one(post, "/decide"), decision="a", rationale="Best.", decider_id="user-ann")
    assert (said.status_code, said.json()["status"], said.json()["decision"]) == (200, "decided", "a")
    told = Signal.objects.filter(run=run).order_by("id")
    assert [signal.name for signal in told] == [f"decision:{put.pk}", f"decision:{post.pk}"]


def test_who_comes_second_hears_who_decided_what(ann: Client, world: World) -> None:
    decision = world.decisions[0]
    assert send(ann, one(decision, "/decide"), choice="hash").status_code == 200
    late = send(client_of(world, Role.USER, "bob"), one(decision, "/decide"), choice="drop")
    assert late.status_code == 409
    body = late.json()
    assert (body["error"], body["code"]) == ("This decision was answered already.", "conflict")
    assert (body["details"]["decision"], body["details"]["decider_id"]) == ("hash", "ann")
    assert "ann decided “Store a salted hash”" in body["details"]["hint"]
    again = send(ann, one(decision), "put", choice="hash")
    assert again.status_code == 409


def test_answers_that_make_no_sense_are_refused(ann: Client, world: World) -> None:
    decision = world.decisions[0]
    for wrong in ({}, {"decision": ""}, {"decision": "sell"}, {"decision": ["hash"]}, {"decision": {"a": 1}}):
        assert send(ann, one(decision, "/decide"), **wrong).status_code == 400, wrong
    assert send(ann, one(decision, "/decide"), decision="hash", decider_id="user-bob").status_code == 403
    assert send(ann, one(decision, "/decide"), decision="hash", decider_id="nobody").status_code == 400
    assert Decision.objects.get(pk=decision.pk).status == "open"


def test_an_administrator_speaks_for_an_agent_with_its_authority_only(ann: Client, world: World) -> None:
    name = world.agent.name
    boss = client_of(world, Role.ADMIN, "boss")
    plan = decision_request(project=world.project, question="Plan?", kind=Decision.Kind.PLAN)
    routine = decision_request(project=world.project, question="Name?")
    assert send(ann, one(routine, "/decide"), decision="x", decider_id=name).status_code == 403
    refused = send(boss, one(plan, "/decide"), decision="x", decider_id=name)
    assert (refused.status_code, refused.json()["details"]["autonomy"]) == (403, "semi")
    said = send(boss, one(routine, "/decide"), decision="x", decider_id=str(world.agent.pk))
    assert (said.status_code, said.json()["decider_id"]) == (200, name)
    assert Decision.objects.get(pk=routine.pk).decided_by == "agent"
    own = decision_request(project=world.project, question="Else?", requester=name)
    assert send(boss, one(own, "/decide"), decision="x", decider_id=name.upper()).status_code == 403


def test_viewers_look_on_and_strangers_see_nothing(world: World) -> None:
    decision = world.decisions[0]
    viewer = client_of(world, Role.VIEWER, "vic")
    assert viewer.get(one(decision)).status_code == 200
    for address in (one(decision, "/decide"), one(decision, "/votes"), LIST):
        refused = send(viewer, address, decision="hash")
        assert (refused.status_code, refused.json()["details"]["permission"]) == (403, "decisions:write")
    stranger = Client()
    stranger.force_login(User.objects.create_user("eve"))
    elsewhere = organization_ensure(name="elsewhere")
    membership_set(user=User.objects.get(username="eve"), organization=elsewhere, role=Role.ADMIN)
    assert stranger.get(LIST).json() == []
    for address in (one(decision, "/decide"), one(decision, "/votes")):
        assert send(stranger, address, decision="hash").status_code == 404
    assert send(stranger, LIST, question="Why?", project_id=world.project.pk).status_code == 404
    assert Decision.objects.get(pk=decision.pk).status == "open"


# -- votes -------------------------------------------------------------------------------------------


def test_voters_are_people_who_may_decide_agents_and_roles(ann: Client, world: World) -> None:
    client_of(world, Role.USER, "bob")
    voters = ["ANN", "user-bob", " engineer ", "Engineering Manager"]
    place: dict[str, Any] = {"project_id": world.project.pk}
    body = send(ann, LIST, question="Which?", options=["a", "b"], voters=voters, **place).json()
    # A role is counted under its own name: the vote of its agent would not be found under another.
    assert body["voters"] == ["ANN", "user-bob", "engineer", "engineering-manager"]
    votes = one(Decision.objects.get(pk=body["id"]), "/votes")
    assert send(ann, votes, choice="a").json()["vote"]["voter"] == "ANN"


@pytest.mark.parametrize("name", ["nobody", "vic", "user-vic", "gone", "eve", "agent-1", "engineering"])
def test_who_cannot_vote_is_not_asked(ann: Client, world: World, name: str) -> None:
    client_of(world, Role.VIEWER, "vic")
    client_of(world, Role.USER, "gone")
    User.objects.filter(username="gone").update(is_active=False)
    client_of(world_build("globex", rows=0), Role.ADMIN, "eve")
    before = Decision.objects.count()
    place: dict[str, Any] = {"project_id": world.project.pk}
    answer = send(ann, LIST, question="Which?", options=["a"], voters=["ann", name], **place)
    assert answer.status_code == 400
    assert answer.json()["error"] == f"Nobody who could vote is called {name!r}."
    assert answer.json()["details"]["unknown"] == [name]
    assert Decision.objects.count() == before


def test_votes_are_cast_changed_and_counted(ann: Client, world: World) -> None:
    decision = decision_request(
        project=world.project,
        question="Which?",
        options=[{"key": "a"}, {"key": "b"}],
        voters=["ann", "user-bob"],
    )
    cast = send(ann, one(decision, "/votes"), choice="b", confidence=0.2)
    assert (cast.status_code, cast.json()["vote"]["voter"]) == (200, "ann")
    tally = send(ann, one(decision, "/votes"), choice="a", confidence=0.5).json()["decision"]["tally"]
    assert tally["weights"] == {"a": 0.5}
    assert (tally["missing"], tally["leader"]) == (["user-bob"], "a")
    for wrong in ({"choice": "c"}, {"choice": "a", "confidence": 2}, {"choice": "a", "confidence": "x"}, {}):
        assert send(ann, one(decision, "/votes"), **wrong).status_code == 400, wrong
    assert send(client_of(world, Role.USER, "eve"), one(decision, "/votes"), choice="a").status_code == 403
    assert send(ann, one(decision, "/decide"), decision="a").status_code == 409
    ending = send(client_of(world, Role.USER, "bob"), one(decision, "/votes"), choice="a").json()["decision"]
    assert (ending["state"], ending["decision"], ending["decided_by"]) == ("decided", "a", "votes")
    assert [row["choice"] for row in ann.get(one(decision, "/votes")).json()] == ["a", "a"]
    assert send(ann, one(decision, "/votes"), choice="b").status_code == 409

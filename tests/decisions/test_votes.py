"""Votes: weighed by confidence, changed until closed, and with one effect."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from apps.accounts.services import organization_ensure
from apps.core.errors import BadInput, Conflict, Forbidden
from apps.decisions.authority import AgentVoice
from apps.decisions.deadlines import deadlines_pass
from apps.decisions.models import Decision, Vote
from apps.decisions.services import decision_decide, decision_request, vote_cast
from apps.decisions.tally import tally_of
from apps.engine.models import Run, Signal
from apps.events.models import Event
from apps.projects.models import Project
from apps.projects.services import project_create
from tests.engine.flows import at_once
from tests.silence import nobody_reacts

__all__ = ["nobody_reacts"]
pytestmark = pytest.mark.usefixtures("nobody_reacts")


@pytest.fixture
def project(db: None) -> Project:
    return project_create(organization=organization_ensure(name="acme"), name="Links")


def ask(project: Project, voters: str | list[str] = "ann bob cid", **details: Any) -> Decision:
    options = [{"key": "hash"}, {"key": "drop"}, {"key": "wait"}]
    known = {
        "question": "Keep it?",
        "options": options,
        "voters": voters.split() if isinstance(voters, str) else voters,
    }
    return decision_request(project=project, **(known | details))


def vote(decision: Decision, voter: str, choice: str, confidence: float = 1.0) -> Vote:
    return vote_cast(decision=decision, voter=voter, choice=choice, confidence=confidence)


def state(decision: Decision) -> tuple[str, str]:
    row = Decision.objects.get(pk=decision.pk)
    return row.status, row.choice


@pytest.mark.parametrize(
    ("votes", "ending"),
    [
        ([("ann", "hash", 1.0), ("bob", "hash", 1.0)], ("decided", "hash")),  # two of three are enough
        ([("ann", "hash", 1.0), ("bob", "drop", 1.0)], ("open", "")),
        ([("ann", "hash", 1.0), ("bob", "hash", 0.5)], ("open", "")),  # the third could still prevent it
        ([("ann", "hash", 1.0), ("bob", "hash", 0.5), ("cid", "drop", 0.5)], ("decided", "hash")),
        (
            [("ann", "hash", 0.9), ("bob", "drop", 0.1), ("cid", "drop", 0.2)],
            ("decided", "hash"),
        ),
        ([("ann", "hash", 1.0), ("bob", "drop", 1.0), ("cid", "wait", 1.0)], ("open", "")),
        ([("ann", "hash", 0.0), ("bob", "hash", 0.0), ("cid", "hash", 0.0)], ("open", "")),  # not sure
    ],
)
def test_an_option_wins_with_its_part_of_the_weight(
    project: Project, votes: list[tuple[str, str, float]], ending: tuple[str, str]
) -> None:
    decision = ask(project)
    for voter, choice, confidence in votes:
        vote(decision, voter, choice, confidence)
    assert state(decision) == ending


def test_the_result_says_how_it_came_about(project: Project) -> None:
    waiting = Run.objects.create(key="k", flow="f", status=Run.Status.WAITING)
    decision = ask(project, run_id=waiting.pk)
    vote(decision, "ann", "hash")
    vote(decision, "BOB", "HASH", 0.9)  # 1.9 of 2.9 is less than two thirds
    assert state(decision) == ("open", "")
    vote(decision, "cid", "drop", 0.1)
    kept = Decision.objects.get()
    assert (kept.decider, kept.decided_by) == ("3 votes", "votes")
    assert kept.rationale == "Votes by weight: hash 1.9, drop 0.1 (needed: 67%)."
    told = Signal.objects.get(run=waiting)
    assert told.data == {"choice": "hash", "rationale": kept.rationale, "decider": "3 votes"}
    kinds = list(
        Event.objects.filter(kind__startswith="decision").order_by("id").values_list("kind", flat=True)
    )
    assert kinds == ["decision.created", *["decision.voted"] * 3, "decision.resolved"]


def test_a_vote_is_changed_until_the_matter_is_closed(project: Project) -> None:
    decision = ask(project)
    vote(decision, "ann", "drop")
    changed = vote(decision, "ann", "hash", 0.8)
    assert (Vote.objects.count(), changed.choice, changed.confidence) == (1, "hash", 0.8)
    vote(decision, "bob", "hash")
    vote(decision, "cid", "hash")
    with pytest.raises(Conflict, match="answered already") as late:
        vote(decision, "ann", "drop")
    assert late.value.details["decision"] == "hash"
    assert Vote.objects.get(voter="ann").choice == "hash"


def test_only_voters_vote_and_only_for_what_is_offered(project: Project) -> None:
    decision = ask(project, voters="ann qa-engineer")
    with pytest.raises(Forbidden, match="eve is none of the voters"):
        vote(decision, "eve", "hash")
    with pytest.raises(BadInput, match="none of the options"):
        vote(decision, "ann", "sell")
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(BadInput, match="from 0 to 1"):
            vote(decision, "ann", "hash", wrong)
    tester = AgentVoice("Tester 2", "qa-engineer", "supervised")
    cast = vote_cast(decision=decision, voter=tester.name, choice="drop", agent=tester)
    assert cast.voter == "qa-engineer"  # its role was asked
    assert tally_of(decision).missing == ["ann"]
    with pytest.raises(Conflict, match="not put to the vote"):
        vote(decision_request(project=project, question="Why?"), "ann", "hash")


def test_nobody_decides_alone_what_is_put_to_the_vote(project: Project) -> None:
    decision = ask(project)
    with pytest.raises(Conflict, match="decided by votes"):
        decision_decide(decision=decision, choice="hash", decider="ann")


def test_voters_who_do_not_agree_leave_it_to_the_ceo(project: Project) -> None:
    decision = ask(project, voters="ann bob")
    vote(decision, "ann", "hash")
    vote(decision, "bob", "drop")
    kept = Decision.objects.get()
    assert (kept.status, kept.escalated_to, kept.needs_person, kept.priority) == ("open", "ceo", True, 0)
    told = Event.objects.get(kind="decision.escalated")
    assert told.data["reason"] == "The voters do not agree. Votes by weight: drop 1, hash 1 (needed: 67%)."
    assert decision_decide(decision=kept, choice="wait", decider="ceo").choice == "wait"


@pytest.mark.parametrize(
    ("votes", "ending"),
    [
        ([("ann", "hash", 1.0), ("bob", "hash", 0.1)], ("decided", "hash")),  # two of three have voted
        ([("ann", "hash", 1.0)], ("open", "")),  # too few
        ([("ann", "hash", 1.0), ("bob", "drop", 0.9)], ("open", "")),  # no majority
    ],
)
def test_at_the_deadline_a_quorum_of_voters_is_enough(
    project: Project, votes: list[tuple[str, str, float]], ending: tuple[str, str]
) -> None:
    decision = ask(project)
    for each in votes:
        vote(decision, *each)
    Decision.objects.update(deadline=decision.deadline - timedelta(days=3))
    deadlines_pass()
    assert state(decision) == ending
    assert Decision.objects.get().escalated_to == ("" if ending[0] == "decided" else "ceo")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"voters": ["ann", "ANN"]}, "named once"),
        ({"voters": ["ann", " "]}, "named once"),
        ({"options": []}, "options to vote for"),
        ({"threshold": 0}, "threshold"),
        ({"threshold": 1.01}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"voters": ["x" * 121]}, "at most"),
    ],
)
def test_votes_that_cannot_be_held_are_refused(project: Project, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        ask(project, **wrong)


@pytest.mark.django_db(transaction=True)
def test_of_votes_at_the_same_moment_none_is_lost_and_one_closes(project: Project) -> None:
    waiting = Run.objects.create(key="k", flow="f", status=Run.Status.WAITING)
    voters = ["ann", "bob", "cid", "dan"]
    decision = ask(project, voters=" ".join(voters), run_id=waiting.pk, threshold=1.0)
    given = at_once(*[partial(vote, decision, voter, "hash") for voter in voters])
    assert all(isinstance(cast, Vote) for cast in given), given
    assert state(decision) == ("decided", "hash")
    assert Signal.objects.filter(run=waiting).count() == 1
    assert Event.objects.filter(kind="decision.resolved").count() == 1

"""`manage.py decide`: questions are listed, shown, answered and voted on from the terminal."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.services import organization_ensure
from apps.decisions.models import Decision
from apps.decisions.services import decision_request
from apps.projects.models import Project
from apps.projects.services import project_create
from tests.silence import nobody_reacts

__all__ = ["nobody_reacts"]
pytestmark = pytest.mark.usefixtures("nobody_reacts")
OPTIONS = [{"key": "hash", "label": "Hash it", "detail": "Safe."}, {"key": "drop", "label": "Drop it"}]


@pytest.fixture
def project(db: None) -> Project:
    return project_create(organization=organization_ensure(name="local"), name="Links")


def decide(*words: str) -> str:
    out = StringIO()
    call_command("decide", *words, stdout=out)
    return out.getvalue()


def test_questions_are_listed_shown_and_answered(project: Project) -> None:
    assert decide() == "No decision waits for anybody.\n"
    asked = decision_request(
        project=project,
        question="Keep it?",
        options=OPTIONS,
        recommendation="hash",
        context="It is personal.",
    )
    assert decide() == f"{asked.pk}  Links: Keep it?  [hash, drop]\n"
    shown = decide(str(asked.pk))
    assert "It is personal." in shown
    assert " * hash: Hash it Safe.\n   drop: Drop it" in shown
    assert "UTC, then it is passed on." in shown
    assert decide(str(asked.pk), "DROP", "--because", "Why not.", "--as", "ann") == "Decided: Drop it\n"
    assert decide() == "No decision waits for anybody.\n"
    assert decide("--all") == f"{asked.pk}  Links: Keep it?  [decided drop]\n"
    assert "decided: drop (ann) Why not." in decide(str(asked.pk))
    with pytest.raises(CommandError, match=r"answered already\. ann decided “Drop it”"):
        decide(str(asked.pk), "hash")


def test_votes_are_cast_until_they_decide(project: Project) -> None:
    asked = decision_request(
        project=project, question="Keep it?", options=OPTIONS, voters=["ann", "bob"], default_choice="drop"
    )
    number = str(asked.pk)
    assert "no vote from ann, bob.\nUntil" in decide(number)
    assert "then 'drop' is taken." in decide(number)
    with pytest.raises(CommandError, match=r"decided by votes\. Vote instead"):
        decide(number, "hash", "--as", "ann")
    with pytest.raises(CommandError, match="none of the voters"):
        decide(number, "hash", "--vote")
    said = decide(number, "hash", "--vote", "--as", "ann", "--confidence", "0.9")
    assert said == "Voted: Hash it. Votes by weight: Hash it 0.9 (needed: 67%); no vote from bob.\n"
    said = decide(number, "drop", "--vote", "--as", "bob", "--confidence", "0.1")
    assert said.startswith("Voted: Drop it. Decided: Hash it. Votes by weight: Hash it 0.9, Drop it 0.1")
    assert Decision.objects.get().decided_by == "votes"


def test_other_organizations_questions_are_not_there(project: Project) -> None:
    other = project_create(organization=organization_ensure(name="other"), name="Secret")
    asked = decision_request(project=other, question="Keep it?")
    assert decide() == "No decision waits for anybody.\n"
    with pytest.raises(CommandError, match="There is no decision"):
        decide(str(asked.pk), "yes")
    assert decide("--org", "other", str(asked.pk), "yes") == "Decided: yes\n"


def test_a_question_steers_no_terminal(project: Project) -> None:
    options = [{"key": "yes", "label": "Yes\x1b[2J"}, {"key": "no", "label": "No"}]
    asked = decision_request(
        project=project, question="Keep\x1b[2J it?", context="\x1b]0;root\x07Why?", options=options
    )
    said = decide() + decide(str(asked.pk)) + decide(str(asked.pk), "yes")
    assert "Decided: Yes" in said
    with pytest.raises(CommandError, match="answered already") as late:
        decide(str(asked.pk), "no")
    assert "\x1b" not in said + str(late.value)

"""Proof in the real flow: reviews judge every criterion, and what fakes success is stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.agents.merge_policies import merge_policy_set
from apps.agents.proof_queries import bead_proof
from apps.beads.models import Bead
from apps.decisions.services import decision_decide
from tests.workflows.studio import APPROVE, Answer, Studio, done, last, replies, write

Open = Callable[..., Studio]
Messages = list[dict[str, Any]]
SKIPPED = (
    "import unittest\n\nfrom calc import add\n\n\nclass AddTest(unittest.TestCase):\n"
    "    @unittest.skip('later')\n    def test_it_adds(self):\n        self.assertEqual(add(1, 2), 3)\n"
)


def test_a_review_that_leaves_a_criterion_out_is_asked_again(open_studio: Open) -> None:
    heard: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind != "review":
            return [write("NOTES.md", "x\n"), done()]
        if replies(messages) == 0:
            met = [{"criterion": "It works.", "met": True}]
            return [("submit_review", {"verdict": "approve", "criteria": met})]
        heard.append(last(messages))
        return APPROVE

    studio = open_studio(model)
    bead = studio.bead(acceptance=["It works.", "It is documented."])
    studio.run()
    assert "says nothing of: It is documented." in heard[0]
    proof = bead_proof(studio.refreshed(bead))
    assert [row["met"] for row in proof["criteria"]] == [True, True]


def skipping(heard: list[str]) -> Callable[[str, str, Messages], Answer]:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            heard.append(str(messages[1]["content"]))
            return APPROVE
        if replies(messages) == 0:
            return [("read_file", {"path": "tests/test_calc.py"})]
        heard.append(last(messages))
        return [write("tests/test_calc.py", SKIPPED), done("The test is flaky here.")]

    return model


def test_findings_are_shown_to_the_reviewer_with_their_diff(open_studio: Open) -> None:
    heard: list[str] = []
    studio = open_studio(skipping(heard))
    studio.bead()
    studio.run()
    warnings = heard[-1].partition("## Warnings about tests and checks")[2].partition("## Earlier")[0]
    assert "tests/test_calc.py: test_it_adds is skipped now" in warnings
    assert "+    @unittest.skip('later')" in warnings


@pytest.mark.parametrize("choice", ["accept", "undo", "reject"])
def test_where_it_is_blocked_the_author_is_sent_back_once_and_then_a_person_decides(
    open_studio: Open, choice: str
) -> None:
    heard: list[str] = []
    studio = open_studio(skipping(heard))
    merge_policy_set(project=studio.project, tampering="block")
    bead = studio.bead()
    studio.run()

    assert "not let pass here" in heard[1]
    question = studio.open_question()
    assert question.needs_person
    assert "test_it_adds is skipped now" in question.context
    assert "+    @unittest.skip('later')" in question.context
    assert studio.refreshed(bead).stage == Bead.Stage.ASKING
    if choice == "undo":
        studio.model = lambda kind, title, messages: (
            APPROVE
            if kind == "review"
            else [write("tests/test_calc.py", SKIPPED.replace("    @unittest.skip('later')\n", "")), done()]
        )
    decision_decide(decision=question, choice=choice, decider="Ada", rationale="It needs a network.")
    studio.run()

    bead = studio.refreshed(bead)
    assert bead.status == Bead.Status.CLOSED
    assert bool(bead.merged_commit) == (choice != "reject")
    if choice == "accept":
        assert "Ada accepted the changes to its tests: It needs a network." in bead_proof(bead)["answer"]
        assert "skip" in studio.main_file("tests/test_calc.py")
    elif choice == "undo":
        assert "skip" not in studio.main_file("tests/test_calc.py")

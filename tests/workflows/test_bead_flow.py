"""The way of a bead to main, and every way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.agents.models import Agent, Evidence, MergeRequest
from apps.beads.models import Bead
from apps.decisions.services import decision_decide
from apps.engine.models import Run
from apps.engine.services import run_cancel
from apps.providers.models import Budget, Call
from apps.providers.services import budget_set
from tests.workflows.studio import APPROVE, CALC, TEST, Answer, Studio, done, last, replies, write

Open = Callable[..., Studio]
Messages = list[dict[str, Any]]

SUBTRACT = CALC + "\n\ndef sub(a, b):\n    return a - b\n"
SUBTRACT_TEST = "import unittest\n\nfrom calc import sub\n\n\nclass SubTest(unittest.TestCase):\n"
SUBTRACT_TEST += "    def test_it_subtracts(self):\n        self.assertEqual(sub(3, 2), 1)\n"


def subtracting(kind: str, title: str, messages: Messages) -> Answer:
    """A good engineer and a friendly reviewer."""
    if kind == "review":
        return APPROVE
    steps: list[Answer] = [
        [("read_file", {"path": "calc/__init__.py"})],
        [write("calc/__init__.py", SUBTRACT), write("tests/test_sub.py", SUBTRACT_TEST)],
        [done("sub() is there.")],
    ]
    return steps[replies(messages)]


@pytest.mark.parametrize("tools", [True, False], ids=["tools", "json"])
def test_a_bead_is_worked_proven_reviewed_merged_and_closed(open_studio: Open, tools: bool) -> None:
    studio = open_studio(subtracting, tools=tools)
    bead = studio.bead()

    studio.run()

    bead = studio.refreshed(bead)
    assert bead.status == Bead.Status.CLOSED
    assert bead.merged_commit == studio.hub.head("main")
    assert "def sub" in studio.main_file("calc/__init__.py")
    kinds = {(row.kind, row.passed) for row in bead.evidence.all()}
    assert kinds == {(Evidence.Kind.CLAIM, True), (Evidence.Kind.MERGE, True)}
    assert all(row.sandbox == "bwrap" for row in bead.evidence.all())
    assert [session.reason for session in studio.sessions("work")] == ["merged"]
    assert not Agent.objects.exclude(status=Agent.Status.IDLE).exists()
    assert Call.objects.filter(bead_id=bead.pk, status=Call.Status.SETTLED).count() == 4


def test_a_claim_that_fails_is_sent_back_with_the_failing_test(open_studio: Open) -> None:
    heard: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if "Verification failed" in last(messages):
            heard.append(last(messages))
            return [write("calc/__init__.py", CALC)]
        if heard:
            return [done("Mended.")]
        return [write("calc/__init__.py", CALC.replace("+", "*")), done("No need to test.")]

    studio = open_studio(model)
    bead = studio.bead()

    studio.run()

    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert "test_it_adds" in heard[0]
    assert list(bead.claims.order_by("number").values_list("number", flat=True)) == [1, 2]
    assert bead.evidence.filter(passed=False).exists()


def test_a_rejected_review_goes_back_to_the_author_and_is_reviewed_again(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            if "Round: 1" in messages[1]["content"]:
                criteria = [{"criterion": "It works.", "met": False, "note": "no docs"}]
                return [
                    ("submit_review", {"verdict": "reject", "comments": "Say why.", "criteria": criteria})
                ]
            assert "Say why." in messages[1]["content"], "the second reviewer knows of the first"
            return APPROVE
        if "Review: changes requested by" in last(messages):
            assert "Say why." in last(messages)
            assert "not met: It works. no docs" in last(messages)
            return [write("WHY.md", "Because.\n"), done()]
        return [write("NOTES.md", "x\n"), done()]

    studio = open_studio(model)
    bead = studio.bead()

    studio.run()

    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert list(bead.reviews.values_list("verdict", flat=True)) == ["reject", "approve"]
    assert studio.main_file("WHY.md") == "Because.\n"


def test_a_conflict_is_resolved_by_its_author_on_top_of_main(open_studio: Open) -> None:
    lines = {"One": "one = 1\n", "Two": "two = 2\n"}

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if "Merge conflict in calc/numbers.py" in last(messages):
            return [("read_file", {"path": "calc/numbers.py"})]
        if "<<<<<<<" in last(messages):
            return [write("calc/numbers.py", "".join(lines.values())), done("Both are kept.")]
        return [write("calc/numbers.py", lines[title]), done()]

    studio = open_studio(model)
    beads = [studio.bead(title) for title in lines]

    studio.run()

    assert all(studio.refreshed(bead).status == Bead.Status.CLOSED for bead in beads)
    assert studio.main_file("calc/numbers.py") == "one = 1\ntwo = 2\n"
    assert MergeRequest.objects.filter(status=MergeRequest.Status.CONFLICT).count() == 1
    assert studio.hub.refs("refs/loom/kept"), "what the author had before is kept"


def test_markers_of_a_conflict_are_no_claim(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if replies(messages) == 0:
            marked = "<<<<<<< main\na = 1\n=======\na = 2\n>>>>>>> yours\n"
            return [write("notes.txt", marked), done()]
        assert "Conflict markers are left in notes.txt" in last(messages)
        return [write("notes.txt", "a = 2\n"), done()]

    studio = open_studio(model)
    bead = studio.bead()
    studio.run()
    assert studio.refreshed(bead).claims.count() == 1


def test_what_passes_alone_but_not_on_main_is_not_merged(open_studio: Open) -> None:
    """One bead renames a function, the other calls it by its old name: no text conflicts, the tests do."""

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if title == "Rename":
            renamed = CALC.replace("add", "plus")
            return [
                ("read_file", {"path": "calc/__init__.py"}),
                write("calc/__init__.py", renamed),
                (
                    "edit_file",
                    {"path": "tests/test_calc.py", "old_text": "import add", "new_text": "import plus"},
                ),
                ("edit_file", {"path": "tests/test_calc.py", "old_text": "add(1", "new_text": "plus(1"}),
                done(),
            ]
        if "failed on top of main" in last(messages):
            assert "cannot import name 'add'" in last(messages)
            return [
                write("calc/use.py", "from calc import plus\n\nthree = plus(1, 2)\n"),
                write_use_test(),
                done(),
            ]
        return [write("calc/use.py", "from calc import add\n\nthree = add(1, 2)\n"), write_use_test(), done()]

    studio = open_studio(model)
    first, second = studio.bead("Rename", priority=0), studio.bead("Use", priority=1)

    studio.run()

    assert studio.refreshed(first).status == Bead.Status.CLOSED
    assert studio.refreshed(second).status == Bead.Status.CLOSED
    assert MergeRequest.objects.filter(status=MergeRequest.Status.RED).count() == 1
    assert "plus" in studio.main_file("calc/use.py")


def write_use_test() -> tuple[str, dict[str, Any]]:
    body = "import unittest\n\nfrom calc.use import three\n\n\nclass UseTest(unittest.TestCase):\n"
    return write("tests/test_use.py", body + "    def test_it(self):\n        self.assertEqual(three, 3)\n")


def test_deleting_a_test_is_told_to_the_reviewer_and_kept_with_the_evidence(open_studio: Open) -> None:
    told: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            told.append(str(messages[1]["content"]))
            return APPROVE
        other = TEST.replace("1, 2), 3", "2, 2), 4").replace("test_it_adds", "test_more")
        return [
            ("delete_file", {"path": "tests/test_calc.py"}),
            write("tests/test_other.py", other),
            done(),
        ]

    studio = open_studio(model)
    bead = studio.bead()
    studio.run()

    assert "tests/test_calc.py: test file was deleted" in told[0]
    flags = [flag for row in bead.evidence.all() for flag in row.flags]
    assert ("tests/test_calc.py", "test-deleted", "warning") in {
        (flag["path"], flag["rule"], flag["level"]) for flag in flags
    }


def test_a_question_is_answered_by_the_decision_maker_and_work_goes_on(open_studio: Open) -> None:
    options = [{"key": "iso", "label": "ISO dates"}, {"key": "us", "label": "US dates"}]

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if kind == "decide":
            assert title == "Which dates?"
            assert "iso: ISO dates" in messages[1]["content"]
            return [("decide", {"choice": "ISO", "rationale": "Clear to all."})]
        if replies(messages) == 0:
            return [
                ("request_decision", {"question": "Which dates?", "options": options, "recommendation": "us"})
            ]
        assert "Decision answered: iso - Clear to all. (by Decision maker)" in last(messages)
        return [write("dates.txt", "iso\n"), done()]

    studio = open_studio(model)
    bead = studio.bead()
    studio.run()

    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert studio.main_file("dates.txt") == "iso\n"


def test_replies_without_action_are_nudged_and_end_the_session_for_a_fresh_one(open_studio: Open) -> None:
    studio = open_studio(lambda kind, title, messages: "I would rather talk.")
    bead = studio.bead()

    studio.run()

    bead = studio.refreshed(bead)
    assert bead.status == Bead.Status.BLOCKED
    assert "no valid action" in bead.blocked_reason or "4 replies in a row" in bead.blocked_reason
    assert [session.reason for session in studio.sessions("work")] == ["no_action", "no_action"]
    assert all(session.turn_count == 4 for session in studio.sessions("work"))
    assert "Reply not understood" in str(studio.turns(studio.sessions("work")[0])[0].results)
    assert studio.open_question().needs_person


def test_the_same_action_again_and_again_ends_the_session(open_studio: Open) -> None:
    studio = open_studio(lambda kind, title, messages: [("read_file", {"path": "calc/__init__.py"})])
    bead = studio.bead()

    studio.run()

    assert studio.refreshed(bead).status == Bead.Status.BLOCKED
    first = studio.sessions("work")[0]
    assert first.reason == "repetition"
    assert first.turn_count == 4
    assert "Try another way" in str(studio.turns(first)[1].results)


def test_a_person_lets_a_blocked_bead_go_on_or_drops_it(open_studio: Open) -> None:
    behaviour = {"Stubborn": "talk", "Hopeless": "talk"}

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        return "Hm." if behaviour[title] == "talk" else [write("a.txt", "a\n"), done()]

    studio = open_studio(model)
    stubborn, hopeless = studio.bead("Stubborn"), studio.bead("Hopeless")
    studio.run()
    questions = {question.bead_id: question for question in studio.project.decisions.all()}
    behaviour["Stubborn"] = "work"

    decision_decide(decision=questions[stubborn.pk], choice="retry", decider="Ada")
    decision_decide(decision=questions[hopeless.pk], choice="drop", decider="Ada")
    studio.run()

    assert studio.refreshed(stubborn).merged_commit
    dropped = studio.refreshed(hopeless)
    assert dropped.status == Bead.Status.CLOSED
    assert not dropped.merged_commit
    assert "Dropped" in dropped.close_reason


def test_money_that_is_gone_stops_the_session_where_it_is_and_more_continues_it(open_studio: Open) -> None:
    studio = open_studio(subtracting)
    budget_set(
        organization_id=studio.organization.pk,
        scope="project",
        scope_id=studio.project.pk,
        limit_usd="0.000001",
    )
    bead = studio.bead()
    studio.run()
    assert studio.refreshed(bead).status == Bead.Status.BLOCKED
    assert "budget" in studio.refreshed(bead).blocked_reason
    assert studio.server.counters.calls == 0

    budget_set(
        organization_id=studio.organization.pk, scope="project", scope_id=studio.project.pk, limit_usd="5"
    )
    decision_decide(decision=studio.open_question(), choice="retry", decider="Ada")
    studio.run()

    assert studio.refreshed(bead).status == Bead.Status.CLOSED
    assert len(studio.sessions("work")) == 1, "the same session went on"
    budget = Budget.objects.get(scope="project", scope_id=studio.project.pk)
    assert 0 < budget.spent_microusd <= 5_000_000
    assert budget.reserved_microusd == 0


def test_canceling_a_run_frees_its_agent_and_its_bead(open_studio: Open) -> None:
    studio = open_studio(lambda kind, title, messages: "Hm.")
    bead = studio.bead()
    studio.run()
    run = Run.objects.get(bead_id=bead.pk)

    run_cancel(run_id=run.pk, actor="Ada")
    studio.project.max_sessions = 1
    studio.model = lambda kind, title, messages: (
        APPROVE if kind == "review" else [write("a.txt", "a\n"), done()]
    )
    studio.run()

    run.refresh_from_db()
    assert run.status == Run.Status.CANCELED
    assert not Agent.objects.exclude(status=Agent.Status.IDLE).exists()

"""A repository's secret in changes that the platform itself shows: it stands in nothing that is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.agents.merge_policies import merge_policy_set
from apps.decisions.services import decision_decide
from tests.campaigns._secret_places import Finder, kept
from tests.workflows.studio import APPROVE, Answer, Studio, done, replies, write

Open = Callable[..., Studio]
Messages = list[dict[str, Any]]
KEY = "k3y-of-the-shop-4711"
LINE = "    def test_it_adds(self):"
SKIP = f"    @unittest.skip('later')\n{LINE}"
TEST = (
    "import unittest\n\nfrom calc import add\n\n\nclass AddTest(unittest.TestCase):\n"
    "    def test_it_adds(self):\n"
    f"        self.assertEqual(add('{KEY}', ''), '{KEY}')\n"
)


def planted(studio: Studio) -> Studio:
    files = {".env": f"SHOP_API_KEY={KEY}\n", "tests/test_calc.py": TEST, "NOTES.md": "Notes\n"}
    studio.hub.commit_files("main", {path: text.encode() for path, text in files.items()}, "Secrets")
    return studio


def shown(studio: Studio) -> list[str]:
    finder = Finder({"key": KEY})
    texts = [*kept(), *(("prompts", str(request.body)) for request in studio.server.requests)]
    return [f"{place}: {text[:200]}" for place, text in texts if finder.found(text)]


def test_what_is_asked_about_changes_to_tests_holds_no_secret(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if replies(messages):
            return [done(f"It is {KEY}.")]  # put together of pieces that were not masked
        edit = {"path": "tests/test_calc.py", "old_text": LINE, "new_text": SKIP}
        return [("edit_file", edit), ("delete_file", {"path": ".env"}), done()]

    studio = planted(open_studio(model))
    merge_policy_set(project=studio.project, tampering="block")
    studio.bead()
    studio.run()
    question = studio.open_question()
    assert "@unittest.skip" in question.context
    assert "[secret]" in question.context
    decision_decide(decision=question, choice="accept", decider="Ada", rationale="It needs a network.")
    studio.run()
    assert studio.sessions("review")
    assert shown(studio) == []


def test_a_conflict_is_told_without_the_secrets_on_either_side(open_studio: Open) -> None:
    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if replies(messages) == 0:
            studio.hub.commit_files("main", {"NOTES.md": f"Theirs: {KEY}\n".encode()}, "Noted")
            return [write("NOTES.md", "Ours\n"), done()]
        return [write("NOTES.md", "Both\n"), done()]

    studio = planted(open_studio(model))
    bead = studio.bead()
    studio.run()
    assert studio.refreshed(bead).merged_commit
    assert any("Theirs: [secret]" in str(request.body) for request in studio.server.requests)
    assert shown(studio) == []

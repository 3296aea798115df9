"""Merges that wait are verified together; what makes a batch red is found, and the others land."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.agents import landing, verify
from apps.agents.merge_models import MergePolicy
from apps.agents.models import MergeRequest
from apps.beads.comments import comment_add
from apps.beads.models import Bead
from apps.engine.models import Run
from apps.engine.services import run_cancel
from apps.workflows.progress import evidence_of
from tests.workflows.queue_held import queue_held, queue_release
from tests.workflows.studio import APPROVE, Answer, Studio, done, last, replies, write

Open = Callable[..., Studio]
Messages = list[dict[str, Any]]
NAMES = ["One", "Two", "Three", "Four"]


def each_its_file(kind: str, title: str, messages: Messages) -> Answer:
    if kind == "review":
        return APPROVE
    return [write(f"{title}.txt", f"{title}\n"), done(f"{title} is there.")]


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commits that the queue had checked."""
    commits: list[str] = []
    check = verify.commit_check

    def counting(hub: Any, claim: Any, commit: str, handle: Any) -> Any:
        commits.append(commit)
        return check(hub, claim, commit, handle)

    monkeypatch.setattr(landing, "commit_check", counting)
    return commits


def waiting_together(studio: Studio, names: list[str]) -> list[Bead]:
    held = queue_held(studio)
    beads = [studio.bead(name) for name in names]
    studio.run()
    assert MergeRequest.objects.filter(status=MergeRequest.Status.QUEUED).count() == len(names)
    queue_release(held)
    return beads


def test_merges_that_wait_are_verified_together_and_land_with_evidence(
    open_studio: Open, checked: list[str]
) -> None:
    studio = open_studio(each_its_file, max_sessions=5)
    beads = waiting_together(studio, NAMES)
    studio.run()

    assert checked == [studio.hub.head("main")], "one check for all"
    log = studio.hub.log()
    assert [commit.subject for commit in log] == [*reversed(NAMES), "Start"]
    for bead in map(studio.refreshed, beads):
        assert bead.status == Bead.Status.CLOSED
        assert bead.merged_commit in {commit.sha for commit in log if f"Bead: {bead.key}" in commit.message}
        rows = evidence_of(bead)
        assert {(row.passed, row.commit) for row in rows} == {(True, log[0].sha)}
    assert {row.tip for row in MergeRequest.objects.filter(status="merged")} == {log[0].sha}


def test_the_one_that_makes_a_batch_red_goes_back_and_the_others_land(
    open_studio: Open, checked: list[str]
) -> None:
    """Each passes alone; the third one's test allows no files but its own."""

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if "failed on top of main" in last(messages):
            return [write("tests/test_alone.py", ALONE.replace("others, []", "others, others")), done()]
        if title == NAMES[2] and replies(messages) == 0:
            return [write("tests/test_alone.py", ALONE), write("Culprit.txt", "x\n"), done()]
        return [write(f"{title}.txt", f"{title}\n"), done()]

    studio = open_studio(model, max_sessions=5)
    MergePolicy.objects.create(project=studio.project, batch_size=3)
    beads = waiting_together(studio, NAMES)
    studio.run()

    assert all(studio.refreshed(bead).status == Bead.Status.CLOSED for bead in beads)
    (red,) = MergeRequest.objects.filter(status=MergeRequest.Status.RED)
    assert red.bead.title == NAMES[2]
    assert red.claim.evidence.filter(kind="merge", passed=False).exists()
    tips = MergeRequest.objects.filter(status="merged").order_by("id").values_list("tip", flat=True)
    assert tips[0] == tips[1] != tips[2], "the first two together, without the third"
    assert len(checked) <= 5


ALONE = """import os
import unittest


class AloneTest(unittest.TestCase):
    def test_alone(self):
        others = [name for name in os.listdir() if name.endswith(".txt") and name != 'Culprit.txt']
        self.assertEqual(others, [])
"""


def test_who_conflicts_with_the_batch_takes_a_turn_of_its_own(open_studio: Open) -> None:
    heard: list[str] = []

    def model(kind: str, title: str, messages: Messages) -> Answer:
        if kind == "review":
            return APPROVE
        if "Merge conflict in same.txt" in last(messages):
            heard.append(last(messages))
            return [("read_file", {"path": "same.txt"})]
        if "<<<<<<<" in last(messages):
            return [write("same.txt", "One\nTwo\n"), done()]
        return [write("same.txt" if title in {"One", "Two"} else f"{title}.txt", f"{title}\n"), done()]

    studio = open_studio(model, max_sessions=5)
    beads = waiting_together(studio, ["One", "Two", "Three"])
    studio.run()
    assert all(studio.refreshed(bead).status == Bead.Status.CLOSED for bead in beads)
    assert studio.main_file("same.txt") == "One\nTwo\n"
    one = beads[0]
    assert f"On main since: {one.key} One" in heard[0], "whose work it is"
    assert "+One" in heard[0], "the other's change"
    assert ">>>>>>> " in heard[0], "the place"


def test_who_left_the_queue_does_not_land(open_studio: Open) -> None:
    studio = open_studio(each_its_file, max_sessions=5)
    beads = waiting_together(studio, ["One", "Two", "Three"])
    run_cancel(run_id=Run.objects.get(bead_id=beads[1].pk).pk, actor="Ada")
    studio.run()
    left = MergeRequest.objects.get(claim=beads[1].claims.order_by("id")[0])
    assert (left.status, left.tip, left.commit) == (MergeRequest.Status.CANCELED, "", "")
    assert {"One.txt", "Three.txt"} <= set(studio.hub.files("main"))


def after_hearing(kind: str, title: str, messages: Messages) -> Answer:
    """As above, until somebody says what else to write."""
    if kind == "review" or "Also say hello" not in last(messages):
        return each_its_file(kind, title, messages)
    assert "Nothing is merged yet" in last(messages)
    return [write("hello.txt", "hello\n"), done("Hello is there.")]


def test_a_comment_on_a_merge_that_is_queued_takes_it_back_to_its_author(open_studio: Open) -> None:
    """Of those that wait and of the one whose turn it is."""
    studio = open_studio(after_hearing, max_sessions=5)
    ada = User.objects.create_superuser(username="ada", password="a long password")
    held = queue_held(studio)
    beads = [studio.bead(name) for name in NAMES[:2]]
    studio.run()
    comment_add(bead=beads[1], author=ada, content="@agent Also say hello.")
    studio.run()
    taken_back, again = MergeRequest.objects.filter(bead=beads[1]).order_by("id")
    assert (taken_back.status, taken_back.tip) == (MergeRequest.Status.CANCELED, "")
    assert again.status == MergeRequest.Status.QUEUED, "its author heard it while the queue was held up"
    queue_release(held)
    studio.run()
    assert {"One.txt", "Two.txt", "hello.txt"} <= set(studio.hub.files("main"))
    assert all(studio.refreshed(bead).status == Bead.Status.CLOSED for bead in beads)


@pytest.mark.parametrize("how", ["a comment", "a stop"])
def test_what_people_say_while_a_merge_is_checked_still_keeps_it_from_main(
    open_studio: Open, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    check = verify.commit_check
    said: list[str] = []

    def slow(hub: Any, claim: Any, commit: str, handle: Any) -> Any:
        report = check(hub, claim, commit, handle)
        if not said:
            said.append(commit)
            if how == "a stop":
                run_cancel(run_id=Run.objects.get(bead_id=one.pk).pk, actor="Ada")
            else:
                comment_add(bead=one, author=ada, content="@agent Also say hello.")
        return report

    monkeypatch.setattr(landing, "commit_check", slow)
    studio = open_studio(after_hearing, max_sessions=5)
    ada = User.objects.create_superuser(username="ada", password="a long password")
    one, two = waiting_together(studio, NAMES[:2])
    studio.run()
    files = set(studio.hub.files("main"))
    left = MergeRequest.objects.filter(bead=one).order_by("id")[0]
    assert (left.status, left.tip) == (MergeRequest.Status.CANCELED, "")
    assert studio.refreshed(two).status == Bead.Status.CLOSED
    run = Run.objects.filter(bead_id=one.pk).order_by("id")[0]
    assert run.status == (Run.Status.CANCELED if how == "a stop" else Run.Status.DONE)
    assert "Two.txt" in files
    assert ("hello.txt" in files) == (how == "a comment")
    assert not MergeRequest.objects.filter(status__in=["queued", "merging"]).exists()

"""A canceled weave costs nothing more: nobody goes on with its beads unless its project is reopened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.beads.models import Bead
from apps.engine import runner
from apps.engine.models import Run
from apps.engine.services import run_cancel
from apps.projects.models import Project
from apps.projects.services import project_reopen
from apps.workflows.dispatch import dispatch
from apps.workflows.prd_flow import weave_start
from tests.workflows.studio import Answer, Studio, done, replies, write

Messages = list[dict[str, Any]]
STORIES = ("Add numbers", "Take away", "Divide")


class Team:
    """Plans three stories, one after the other; the weave is canceled while the first is worked on."""

    def __init__(self) -> None:
        self.worked: list[str] = []
        self.is_canceled = False

    def answer(self, kind: str, title: str, messages: Messages) -> Answer:
        if kind == "expand":
            return [write("plans/PRD.md", "# Calculator\n"), done()]
        if kind == "plan":
            return [*(story(number) for number in range(3)), done()]
        if kind == "decide":
            return [("decide", {"choice": "approve", "rationale": "It is sound."})]
        if kind == "review":
            return [("submit_review", {"verdict": "approve", "comments": "Good."})]
        self.worked.append(title)
        if not self.is_canceled:
            self.is_canceled = True
            weave = Run.objects.get(flow="prd.weave")
            run_cancel(run_id=weave.pk, actor="ann")
            runner.advance(weave.pk)  # as another worker does, while this one waits for us
        return [write(f"calc/part_{STORIES.index(title)}_{replies(messages)}.py", "ONE = 1\n"), done()]


def story(number: int) -> tuple[str, dict[str, Any]]:
    fields: dict[str, Any] = {
        "title": STORIES[number],
        "type": "story",
        "role": "engineering-manager",
        "acceptance": ["It works."],
        "requirements": ["R-001"],
    }
    return ("create_bead", fields | ({"blocked_by": [STORIES[number - 1]]} if number else {}))


@pytest.fixture
def canceled(open_studio: Callable[..., Studio]) -> tuple[Studio, Team]:
    team = Team()
    studio = open_studio(team.answer)
    weave_start(project=studio.project)
    studio.run()
    return studio, team


def statuses(studio: Studio) -> set[str]:
    return set(Bead.objects.filter(project=studio.project).values_list("status", flat=True))


def test_nobody_goes_on_with_the_beads_of_a_canceled_weave(canceled: tuple[Studio, Team]) -> None:
    studio, team = canceled
    assert team.worked == ["Add numbers"]
    assert not Run.objects.unfinished().filter(project_id=studio.project.pk).exists()
    assert Run.objects.get(flow="bead.work").status == Run.Status.CANCELED
    assert studio.project_row().status == Project.Status.CLOSED
    assert statuses(studio) == {Bead.Status.OPEN}
    assert dispatch(studio.project.pk) == 0


def test_who_reopens_its_project_has_them_go_on(canceled: tuple[Studio, Team]) -> None:
    studio, team = canceled
    project_reopen(project=studio.project_row(), actor="ann")
    dispatch(studio.project.pk)
    studio.run()
    assert statuses(studio) == {Bead.Status.CLOSED}
    assert set(team.worked) == set(STORIES)


def test_a_project_that_stands_for_more_than_its_weave_stays_open(
    open_studio: Callable[..., Studio],
) -> None:
    team = Team()
    studio = open_studio(team.answer)
    Project.objects.filter(pk=studio.project.pk).update(is_sticky=True)
    weave_start(project=studio.project)
    studio.run()
    assert Run.objects.get(flow="prd.weave").status == Run.Status.CANCELED
    assert studio.project_row().status == Project.Status.OPEN
    assert statuses(studio) == {Bead.Status.CLOSED}

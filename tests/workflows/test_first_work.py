"""Work on a project that was made with nothing but a name, and where a repository is missing for a reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from apps.agents.hub import Hub
from apps.agents.lifecycle import agent_spawn
from apps.agents.merge_models import MergePolicy
from apps.agents.places import hub_path
from apps.beads.models import Bead
from apps.beads.services import bead_create
from apps.pairing.services import conversation_ensure
from apps.projects.models import Project
from apps.projects.services import project_create
from tests.workflows.studio import APPROVE, CALC, TEST, Answer, Studio, done, replies, write

Open = Callable[..., Studio]


def adding(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
    if kind == "review":
        return APPROVE
    steps: list[Answer] = [
        [write("calc/__init__.py", CALC), write("tests/__init__.py", ""), write("tests/test_calc.py", TEST)],
        [done("add() is there.")],
    ]
    return steps[min(replies(messages), 1)]


def bead_of(project: Project) -> Bead:
    return bead_create(
        project=project, title="Add", role="engineering-manager", acceptance=["1 and 1 are added."]
    )


def test_the_first_bead_of_a_project_without_anything_is_merged(open_studio: Open) -> None:
    studio = open_studio(adding)
    project = project_create(organization=studio.organization, name="From nothing")
    bead = bead_of(project)

    studio.run()

    bead = studio.refreshed(bead)
    assert (bead.status, bead.blocked_reason) == (Bead.Status.CLOSED, "")
    hub = Hub(hub_path(project.pk))
    assert bead.merged_commit == hub.head("main")
    assert ".gitignore" in hub.files("main")


def test_no_empty_repository_takes_the_place_of_one_that_must_be_copied_first(open_studio: Open) -> None:
    studio = open_studio(adding)
    project = project_create(organization=studio.organization, name="Elsewhere")
    MergePolicy.objects.create(project=project, remote="https://example.com/links.git")
    bead = bead_of(project)

    studio.run()

    bead = studio.refreshed(bead)
    assert bead.status == Bead.Status.BLOCKED
    assert "https://example.com/links.git was not copied to Elsewhere yet." in bead.blocked_reason
    assert not hub_path(project.pk).exists()


def test_no_empty_repository_takes_the_place_of_one_that_was_lost(open_studio: Open) -> None:
    studio = open_studio(adding)
    project = project_create(organization=studio.organization, name="From nothing")
    first = bead_of(project)
    studio.run()
    assert studio.refreshed(first).status == Bead.Status.CLOSED
    shutil.rmtree(hub_path(project.pk))
    second = bead_of(project)

    studio.run()

    second = studio.refreshed(second)
    assert second.status == Bead.Status.BLOCKED
    assert "The repository of From nothing is not where it was." in second.blocked_reason
    assert str(hub_path(project.pk)) not in second.blocked_reason
    assert not hub_path(project.pk).exists()


def test_a_conversation_about_a_bead_does_not_keep_the_first_work_from_beginning(open_studio: Open) -> None:
    studio = open_studio(adding)
    project = project_create(organization=studio.organization, name="From nothing")
    agent = agent_spawn(project=project, role="engineering-manager")
    asked_about = bead_create(project=project, title="Divide", status="deferred")
    conversation_ensure(agent=agent, bead=asked_about, actor="ann")  # nothing was said in it yet
    bead = bead_of(project)

    studio.run()

    assert studio.refreshed(bead).merged_commit

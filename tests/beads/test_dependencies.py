"""Dependencies: within a project, once, and never in a circle, whoever adds them at the same moment."""

from __future__ import annotations

from functools import partial

import pytest

from apps.accounts.services import organization_ensure
from apps.beads.graph import find_cycle
from apps.beads.models import Bead, Dependency
from apps.beads.services import bead_create, dependency_add
from apps.core.errors import BadInput, Conflict
from apps.events.models import Event
from apps.projects.models import Project
from apps.projects.services import project_create
from tests.engine.flows import at_once

pytestmark = pytest.mark.usefixtures("nobody_reacts")


def beads(project: Project, count: int) -> list[Bead]:
    return [bead_create(project=project, title=f"Bead {n}") for n in range(count)]


def test_a_dependency_is_kept_once_and_told(project: Project) -> None:
    first, second = beads(project, 2)
    assert dependency_add(bead=second, blocker=first) == dependency_add(bead=second, blocker=first)
    event = Event.objects.get(kind="bead.blocked_by")
    assert (event.bead_id, event.data["blocker"]) == (second.pk, first.key)


def test_nothing_waits_for_itself(project: Project) -> None:
    [bead] = beads(project, 1)
    with pytest.raises(Conflict, match="circle"):
        dependency_add(bead=bead, blocker=bead)


def test_a_circle_is_refused_with_the_way_around_it(project: Project) -> None:
    first, second, third = beads(project, 3)
    dependency_add(bead=second, blocker=first)
    dependency_add(bead=third, blocker=second)
    with pytest.raises(Conflict) as refused:
        dependency_add(bead=first, blocker=third)
    assert refused.value.message.count("→") == 3
    assert {first.key, second.key, third.key} <= set(refused.value.message.replace(")", " ").split())
    assert Dependency.objects.count() == 2


def test_a_story_cannot_wait_for_the_epic_that_waits_for_it(project: Project) -> None:
    epic = bead_create(project=project, title="Epic", type="epic")
    story = bead_create(project=project, title="Story", parent=epic)
    with pytest.raises(Conflict, match="circle"):
        dependency_add(bead=story, blocker=epic)
    with pytest.raises(Conflict, match="circle"):
        bead_create(project=project, title="Another", parent=epic, blocked_by=[epic])
    assert Bead.objects.count() == 2


def test_an_epic_can_wait_for_the_stories_of_another(project: Project) -> None:
    first = bead_create(project=project, title="First", type="epic")
    second = bead_create(project=project, title="Second", type="epic")
    story = bead_create(project=project, title="Story", parent=first)
    dependency_add(bead=second, blocker=story)
    with pytest.raises(Conflict, match="circle"):
        dependency_add(bead=story, blocker=second)


def test_projects_do_not_wait_for_each_other(project: Project) -> None:
    other = project_create(organization=organization_ensure(name="acme"), name="Other")
    with pytest.raises(BadInput, match="two projects"):
        dependency_add(bead=beads(project, 1)[0], blocker=beads(other, 1)[0])


@pytest.mark.django_db(transaction=True)
def test_two_edges_that_only_together_close_a_circle_are_not_both_taken(project: Project) -> None:
    for _ in range(5):
        first, second = beads(project, 2)
        given = at_once(
            partial(dependency_add, bead=first, blocker=second),
            partial(dependency_add, bead=second, blocker=first),
        )
        assert sorted(type(outcome).__name__ for outcome in given) == ["Conflict", "Dependency"]


@pytest.mark.django_db(transaction=True)
def test_many_edges_at_once_never_make_a_circle(project: Project) -> None:
    ring = beads(project, 6)
    at_once(
        *[
            partial(dependency_add, bead=bead, blocker=ring[(number + 1) % len(ring)])
            for number, bead in enumerate(ring)
        ]
    )
    edges: dict[int, list[int]] = {}
    for bead_id, blocker_id in Dependency.objects.values_list("bead_id", "blocker_id"):
        edges.setdefault(bead_id, []).append(blocker_id)
    assert Dependency.objects.count() == len(ring) - 1
    assert find_cycle(edges) == []

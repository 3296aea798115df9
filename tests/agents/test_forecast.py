"""Beads that are likely to touch the same files wait for each other, and say so."""

from __future__ import annotations

import pytest
from django.utils import timezone

from apps.agents.forecast import apart, declared_paths, held_beads, overlap
from apps.agents.merge_policies import merge_policy_set
from apps.agents.models import Session, Turn
from apps.beads.models import Bead
from apps.beads.services import bead_close, bead_create
from apps.dashboard.queries import bead_lines
from apps.engine import doorbell
from apps.engine.models import Run
from apps.workflows.dispatch import dispatch
from tests.world import World, work_on, world_build


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        (
            "Change apps/links/store.py and ./tests/test_store.py.",
            {"apps/links/store.py", "tests/test_store.py"},
        ),
        ("The module `store.py` (see e.g. https://example.com/a/b.html) has v1.2.3.", {"store.py"}),
        ("README.md and CHANGELOG.md are written by all", set()),
        ("Ask ada@example.org, i.e. the owner; 3.5 is enough.", set()),
        ("store.add(link) raises ValueError", set()),
        ("", set()),
    ],
)
def test_texts_declare_the_files_they_name(text: str, paths: set[str]) -> None:
    assert declared_paths(Bead(title="x", description=text)) == paths


def test_the_field_says_it_instead_of_the_text() -> None:
    bead = Bead(title="x", description="a.py", paths=["./src/b.py", "docs/"])
    assert declared_paths(bead) == {"src/b.py", "docs"}


@pytest.mark.parametrize(
    ("mine", "theirs", "shared"),
    [
        (["a.py"], ["a.py"], "a.py"),
        (["src/a.py"], ["src"], "src/a.py"),
        (["src"], ["src/deep/a.py"], "src"),
        (["src/*.py"], ["src/a.py"], "src/*.py"),
        (["src/a.py"], ["src/ab.py", "srca"], ""),
        ([], ["a.py"], ""),
    ],
)
def test_paths_overlap_by_name_folder_or_pattern(mine: list[str], theirs: list[str], shared: str) -> None:
    assert overlap(mine, theirs) == shared


def bead(world: World, title: str, *paths: str, priority: int = 2) -> Bead:
    return bead_create(
        project=world.project, title=title, paths=list(paths), priority=priority, role="engineering-manager"
    )


@pytest.mark.django_db
def test_the_first_of_two_runs_and_the_other_waits_with_the_reason() -> None:
    world = world_build(rows=0)
    first, second, third = (
        bead(world, "One", "a.py"),
        bead(world, "Two", "a.py", "b.py"),
        bead(world, "Three", "c.py"),
    )
    held = apart(world.project.pk, [first, second, third])
    assert held == {second.pk: f"waits for {first.key} “One”: both touch a.py"}
    assert held_beads([second]) == held
    merge_policy_set(project=world.project, overlap="parallel")
    assert apart(world.project.pk, [first, second, third]) == {}


@pytest.mark.django_db
def test_what_sessions_touch_counts_as_much_as_what_was_declared() -> None:
    world = world_build(rows=0)
    running, waiting = bead(world, "Running"), bead(world, "Waiting", "src/found.py")
    work_on(world, running)
    session = Session.objects.create(
        project=world.project, bead=running, agent=world.agent, kind="work", origin="x"
    )
    outcome = [{"name": "edit_file", "ok": True, "data": {"path": "src/found.py"}, "ms": 1}]
    Turn.objects.create(
        session=session, number=1, reply="{}", outcome=outcome, commit="a", created_at=timezone.now()
    )
    assert "both touch src/found.py" in apart(world.project.pk, [waiting])[waiting.pk]
    Session.objects.update(status=Session.Status.ENDED)
    assert apart(world.project.pk, [waiting]) == {}


@pytest.mark.django_db(transaction=True)
def test_dispatch_starts_what_is_apart_and_the_rest_when_its_turn_comes() -> None:
    doorbell.use(lambda _: None)
    world = world_build(rows=0)
    first, second, third = (
        bead(world, "One", "a.py"),
        bead(world, "Two", "a.py"),
        bead(world, "Three", "c.py"),
    )
    dispatch(world.project.pk)
    assert set(Run.objects.filter(flow="bead.work").values_list("bead_id", flat=True)) == {first.pk, third.pk}
    (line,) = bead_lines([second])
    assert (line.state, line.words) == ("waiting", f"waits for {first.key} “One”: both touch a.py")
    bead_close(bead=first, reason="Done.")
    dispatch(world.project.pk)
    assert Run.objects.filter(flow="bead.work", bead_id=second.pk).exists()
    doorbell.use(None)


@pytest.mark.django_db
def test_what_starts_earlier_holds_a_bead_and_what_starts_later_does_not() -> None:
    world = world_build(rows=0)
    low, high, other = (
        bead(world, "Low", "a.py", priority=3),
        bead(world, "High", "a.py", priority=1),
        bead(world, "Other", "b.py"),
    )
    assert set(held_beads([low])) == {low.pk}
    assert held_beads([high, other]) == {}
    work_on(world, other)
    assert "both touch b.py" in held_beads([bead(world, "First", "b.py", priority=0)]).popitem()[1]

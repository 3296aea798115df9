"""The life of a bead: made once, ready when nothing blocks it, closed once, with an event for each change."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from apps.accounts.services import organization_ensure
from apps.beads.models import Bead
from apps.beads.services import (
    bead_block,
    bead_claim,
    bead_close,
    bead_create,
    bead_reopen,
    bead_resume,
    bead_stage,
    bead_update,
    beads_activate,
    project_is_finished,
)
from apps.core.errors import BadInput, Conflict
from apps.engine.models import Run
from apps.events.models import Event
from apps.projects.models import Project
from apps.projects.services import project_create
from tests.engine.flows import at_once

pytestmark = pytest.mark.usefixtures("nobody_reacts")


MIRRORED = ["bead.status_change", "bead.completed"]  # told beside what happened, for clients


def kinds(bead: Bead) -> list[str]:
    events = Event.objects.filter(bead_id=bead.pk).exclude(kind__in=MIRRORED)
    return list(events.order_by("id").values_list("kind", flat=True))


def told(bead: Bead, kind: str) -> dict[str, Any]:
    event = Event.objects.filter(bead_id=bead.pk, kind=kind).latest("id")
    data: dict[str, Any] = event.data
    return data


def fresh(bead: Bead) -> Bead:
    return Bead.objects.select_related("project").get(pk=bead.pk)


# -- creating --------------------------------------------------------------------------------------


def test_beads_are_numbered_and_announced(project: Project) -> None:
    first = bead_create(project=project, title=" Add links ", priority=0, role="web-designer", actor="ann")
    second = bead_create(project=project, title="List links", status=Bead.Status.DEFERRED)
    assert (first.key, second.key) == ("link-1", "link-2")
    assert (first.title, first.status) == ("Add links", "open")
    assert kinds(first) == ["bead.created", "bead.ready"]
    ready = {"bead_id": "link-1", "title": "Add links", "priority": 0, "role": "web-designer"}
    assert told(first, "bead.ready") == ready
    assert kinds(second) == ["bead.created"]
    event = Event.objects.get(bead_id=first.pk, kind="bead.created")
    assert (event.project_id, event.organization_id) == (project.pk, project.organization_id)
    assert (event.subject, event.actor) == ("bead:link-1", "ann")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"title": " "}, "needs a title"),
        ({"type": "wish"}, "'wish' is no type"),
        ({"priority": 5}, "from 0 .* to 4"),
        ({"priority": -1}, "from 0 .* to 4"),
        ({"status": "closed"}, "open or deferred"),
    ],
)
def test_what_makes_no_bead_is_refused(project: Project, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        bead_create(project=project, **({"title": "Add links"} | wrong))
    assert not Bead.objects.exists()


def test_a_bead_is_made_of_things_of_its_own_project(project: Project) -> None:
    other = project_create(
        organization=organization_ensure(name="other"), name="Other", prd="## Features\n- Add.\n"
    )
    foreign = bead_create(project=other, title="Epic", type="epic")
    wrongs: list[dict[str, Any]] = [
        {"parent": foreign},
        {"requirements": other.requirements.all()},
        {"blocked_by": [foreign]},
    ]
    for wrong in wrongs:
        with pytest.raises(BadInput, match="project"):
            bead_create(project=project, title="Add links", **wrong)
    assert not Bead.objects.filter(project=project).exists()


def test_the_same_origin_makes_one_bead(project: Project) -> None:
    first = bead_create(project=project, title="Add links", origin="session:1:2:0")
    again = bead_create(project=project, title="Something else", origin="session:1:2:0")
    other = bead_create(project=project, title="List links", origin="session:1:2:1")
    assert again == first
    assert (first.key, other.key) == ("link-1", "link-2")
    assert kinds(first).count("bead.created") == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_origin_makes_one_bead_even_at_the_same_moment(project: Project) -> None:
    make = partial(bead_create, project=project, title="Add links", origin="session:1:2:0")
    given = at_once(*[make] * 5)
    assert len({bead.pk for bead in given}) == 1
    assert Project.objects.get().bead_counter == 1


@pytest.mark.django_db(transaction=True)
def test_beads_made_at_the_same_moment_have_keys_of_their_own(project: Project) -> None:
    given = at_once(*[partial(bead_create, project=project, title=f"Bead {n}") for n in range(6)])
    assert sorted(bead.key for bead in given) == [f"link-{n}" for n in range(1, 7)]


def test_what_a_bead_says_can_be_changed_and_nothing_else(project: Project) -> None:
    bead = bead_create(project=project, title="Add links")
    bead_update(bead=bead, title=f" {'x' * 600}", priority=1, actor="ann")
    assert (len(fresh(bead).title), fresh(bead).priority) == (500, 1)
    assert told(bead, "bead.updated")["fields"] == ["priority", "title"]
    with pytest.raises(BadInput, match="status of a bead cannot be set"):
        bead_update(bead=bead, status="closed")
    with pytest.raises(BadInput, match="from 0"):
        bead_update(bead=bead, priority=9)


# -- ready -----------------------------------------------------------------------------------------


def test_only_open_work_without_open_blockers_is_ready(project: Project) -> None:
    make = partial(bead_create, project=project)
    blocker = make(title="First")
    waiting = make(title="Second", blocked_by=[blocker])
    make(title="An epic", type="epic")
    make(title="A question", type="decision")
    make(title="Planned", status=Bead.Status.DEFERRED)
    assert list(Bead.objects.ready()) == [blocker]
    assert "bead.ready" not in kinds(waiting)
    bead_close(bead=blocker, reason="Done.")
    assert list(Bead.objects.ready()) == [waiting]
    assert kinds(waiting)[-1] == "bead.ready"


def test_a_plan_is_opened_at_once_and_what_waits_for_nothing_is_ready(project: Project) -> None:
    make = partial(bead_create, project=project, status=Bead.Status.DEFERRED)
    first = make(title="First")
    second = make(title="Second", blocked_by=[first])
    assert beads_activate(project=project) == 2
    assert (fresh(first).status, fresh(second).status) == ("open", "open")
    assert ("bead.ready" in kinds(first), "bead.ready" in kinds(second)) == (True, False)
    assert Event.objects.get(kind="plan.activated").data == {"beads": 2}
    assert beads_activate(project=project) == 0


def test_the_last_blocker_makes_a_bead_ready_and_none_before(project: Project) -> None:
    blockers = [bead_create(project=project, title=f"Blocker {n}") for n in range(3)]
    waiting = bead_create(project=project, title="Waits", blocked_by=blockers)
    for blocker in blockers:
        assert "bead.ready" not in kinds(waiting)
        bead_close(bead=blocker, reason="Done.")
    assert kinds(waiting).count("bead.ready") == 1


@pytest.mark.django_db(transaction=True)
def test_of_last_blockers_that_close_at_the_same_moment_one_announces_it(project: Project) -> None:
    for _ in range(4):
        blockers = [bead_create(project=project, title=f"Blocker {n}") for n in range(3)]
        waiting = bead_create(project=project, title="Waits", blocked_by=blockers)
        at_once(*[partial(bead_close, bead=blocker, reason="Done.") for blocker in blockers])
        assert kinds(waiting).count("bead.ready") == 1


# -- work ------------------------------------------------------------------------------------------


def test_a_bead_is_claimed_worked_on_and_closed(project: Project) -> None:
    bead = bead_create(project=project, title="Add links")
    assert bead_claim(bead=bead, agent="Engineer")
    claimed = fresh(bead)
    assert (claimed.status, claimed.stage, claimed.assigned_to) == ("in_progress", "working", "Engineer")
    assert (claimed.attempts, claimed.started_at is not None) == (1, True)
    bead_stage(bead=bead, stage=Bead.Stage.VERIFYING)
    bead_stage(bead=bead, stage=Bead.Stage.VERIFYING)
    assert kinds(bead).count("bead.stage") == 1
    assert bead_close(bead=bead, reason="Merged.", commit="abc")
    closed = fresh(bead)
    assert (closed.status, closed.stage, closed.merged_commit) == ("closed", "merged", "abc")
    assert closed.closed_at is not None
    assert kinds(bead)[-1] == "bead.closed"


def test_a_bead_is_claimed_only_while_it_is_ready(project: Project) -> None:
    blocker = bead_create(project=project, title="First")
    waiting = bead_create(project=project, title="Second", blocked_by=[blocker])
    assert not bead_claim(bead=waiting, agent="Engineer")
    assert bead_claim(bead=blocker, agent="Engineer")
    assert not bead_claim(bead=blocker, agent="Engineer 2")
    assert fresh(blocker).assigned_to == "Engineer"


@pytest.mark.django_db(transaction=True)
def test_of_many_agents_one_gets_the_bead(project: Project) -> None:
    bead = bead_create(project=project, title="Add links")
    given = at_once(*[partial(bead_claim, bead=bead, agent=f"Engineer {n}") for n in range(5)])
    assert sorted(given) == [False] * 4 + [True]
    assert (fresh(bead).attempts, kinds(bead).count("bead.assigned")) == (1, 1)


def test_the_first_start_is_remembered(project: Project) -> None:
    bead = bead_create(project=project, title="Add links")
    bead_claim(bead=bead, agent="Engineer")
    started = fresh(bead).started_at
    bead_block(bead=bead, reason="No money.")
    bead_reopen(bead=bead)
    bead_claim(bead=bead, agent="Engineer 2")
    assert (fresh(bead).started_at, fresh(bead).attempts) == (started, 2)


def test_the_stage_is_only_told_of_work_in_progress(project: Project) -> None:
    bead = bead_create(project=project, title="Add links")
    bead_stage(bead=bead, stage=Bead.Stage.VERIFYING)
    assert fresh(bead).stage == ""
    assert "bead.stage" not in kinds(bead)


def test_blocked_work_resumes_where_it_was(project: Project) -> None:
    bead = bead_create(project=project, title="Add links")
    bead_claim(bead=bead, agent="Engineer")
    bead_block(bead=bead, reason="The budget is used up.")
    bead_block(bead=bead, reason="Again.")
    assert (fresh(bead).status, fresh(bead).blocked_reason) == ("blocked", "The budget is used up.")
    bead_resume(bead=bead)
    bead_resume(bead=bead)
    resumed = fresh(bead)
    assert (resumed.status, resumed.blocked_reason, resumed.assigned_to) == ("in_progress", "", "Engineer")
    assert kinds(bead)[-2:] == ["bead.blocked", "bead.resumed"]


def test_blocked_work_whose_run_still_waits_is_not_begun_anew(project: Project) -> None:
    bead = bead_create(project=project, title="Add links")
    bead_claim(bead=bead, agent="Engineer")
    bead_block(bead=bead, reason="Which color?")
    run = Run.objects.create(key="k", flow="f", status=Run.Status.WAITING, bead_id=bead.pk)
    with pytest.raises(Conflict, match="waits for an answer"):
        bead_reopen(bead=bead)
    Run.objects.filter(pk=run.pk).update(status=Run.Status.CANCELED)
    bead_reopen(bead=bead)
    assert fresh(bead).status == "open"


# -- closing ---------------------------------------------------------------------------------------


def test_a_bead_closes_once(project: Project) -> None:
    bead = bead_create(project=project, title="Add links")
    assert bead_close(bead=bead, reason="Done.")
    assert not bead_close(bead=bead, reason="Done again.")
    assert (fresh(bead).close_reason, kinds(bead).count("bead.closed")) == ("Done.", 1)


def test_a_reopened_bead_is_as_new(project: Project) -> None:
    bead = bead_create(project=project, title="Add links")
    bead_close(bead=bead, reason="Done.", commit="abc")
    bead_reopen(bead=bead, reason="Not done.", actor="ann")
    reopened = fresh(bead)
    assert (reopened.status, reopened.close_reason, reopened.closed_at) == ("open", "", None)
    assert kinds(bead)[-2:] == ["bead.reopened", "bead.ready"]
    with pytest.raises(Conflict, match="cannot be reopened: it is open"):
        bead_reopen(bead=bead)


def test_an_epic_closes_with_its_last_child_and_its_own_epic_with_it(project: Project) -> None:
    top = bead_create(project=project, title="Top", type="epic")
    epic = bead_create(project=project, title="Epic", type="epic", parent=top)
    children = [bead_create(project=project, title=f"Child {n}", parent=epic) for n in range(2)]
    bead_close(bead=children[0], reason="Done.")
    assert fresh(epic).status == "open"
    bead_close(bead=children[1], reason="Done.")
    assert (fresh(epic).status, fresh(top).status) == ("closed", "closed")
    assert kinds(epic)[-1] == "bead.closed"


@pytest.mark.django_db(transaction=True)
def test_an_epic_closes_when_its_last_children_close_at_the_same_moment(project: Project) -> None:
    for _ in range(4):
        epic = bead_create(project=project, title="Epic", type="epic")
        children = [bead_create(project=project, title=f"Child {n}", parent=epic) for n in range(3)]
        at_once(*[partial(bead_close, bead=child, reason="Done.") for child in children])
        assert fresh(epic).status == "closed"
        assert kinds(epic).count("bead.closed") == 1


def test_a_parent_that_is_no_epic_stays_open(project: Project) -> None:
    parent = bead_create(project=project, title="Story")
    bead_close(bead=bead_create(project=project, title="Found on the way", parent=parent), reason="Done.")
    assert fresh(parent).status == "open"


@pytest.mark.parametrize("how", ["reopened", "added"])
def test_an_epic_opens_again_when_work_below_it_does(project: Project, how: str) -> None:
    epic = bead_create(project=project, title="Epic", type="epic")
    child = bead_create(project=project, title="Child", parent=epic)
    bead_close(bead=child, reason="Done.")
    if how == "reopened":
        bead_reopen(bead=child)
    else:
        bead_create(project=project, title="Another", parent=epic)
    assert fresh(epic).status == "open"


def test_a_project_is_finished_when_no_work_is_left_whatever_became_of_epics(project: Project) -> None:
    assert project_is_finished(project.pk)
    bead_create(project=project, title="Epic", type="epic")
    assert project_is_finished(project.pk)
    bead = bead_create(project=project, title="Add links", status=Bead.Status.DEFERRED)
    assert not project_is_finished(project.pk)
    bead_close(bead=bead, reason="Dropped.")
    assert project_is_finished(project.pk)

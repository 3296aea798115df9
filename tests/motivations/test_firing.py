"""When motivations fire, what they make, and that nothing is lost, doubled or piled up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from apps.accounts.services import organization_ensure
from apps.beads.models import Bead
from apps.beads.services import bead_claim, bead_close, bead_create
from apps.core.errors import Conflict
from apps.events.bus import deliver_all, emit
from apps.events.models import Event
from apps.motivations.evaluation import tick
from apps.motivations.firing import motivation_trigger, pending_fire
from apps.motivations.models import Motivation, MotivationTrigger
from apps.motivations.services import external_tell, motivation_switch, motivation_update, trigger_add
from apps.projects.models import Project
from apps.projects.services import project_close, project_create
from tests.engine.flows import at_once

Make = Callable[..., Motivation]
Result = MotivationTrigger.Result
NOW = timezone.now


def made() -> list[Bead]:
    return [bead for bead in Bead.objects.order_by("id") if "motivation" in bead.labels]


def finish(bead: Bead) -> None:
    bead_close(bead=bead, reason="done")


# -- events ---------------------------------------------------------------------------------------------


def test_an_event_makes_one_bead_that_says_why(project: Project, make: Make) -> None:
    motivation = make(
        "bead_completed",
        agent_role="qa-engineer",
        description="Try it.",
        priority=1,
        wake_agent=True,
        bead_template={
            "title": "Look at {bead_id}: {title}",
            "acceptance": ["Tried."],
            "labels": ["qa"],
            "type": "task",
        },
    )
    work = bead_create(project=project, title="Turn", type="feature")
    finish(work)
    (event,) = Event.objects.filter(kind="bead.closed")
    deliver_all([event])  # delivered once more: nothing changes

    assert tick() == 1
    (bead,) = made()
    assert bead.title == f"Look at {work.key}: Turn"
    assert (bead.role, bead.priority, bead.type, bead.acceptance) == ("qa-engineer", 1, "task", ["Tried."])
    assert bead.labels == ["motivation", "qa"]
    assert bead.description.startswith("Try it.\n\n## What moved this\n")
    trigger = motivation.triggers.get()
    assert (trigger.result, trigger.bead, trigger.agent_woken) == (Result.BEAD_CREATED, bead, "qa-engineer")
    fired = Event.objects.get(kind="motivation.fired")
    assert (fired.project_id, fired.data["bead"], fired.data["result"]) == (
        project.pk,
        bead.key,
        "bead_created",
    )
    assert tick() == 0


def test_its_own_beads_move_nothing_so_no_chain_begins(project: Project, make: Make) -> None:
    make("bead_completed")
    make("bead_created")
    make("bead_status_changed")
    bead_create(project=project, title="Turn")
    assert tick() == 1
    for _ in range(3):
        for bead in made():
            finish(bead)
        assert tick() == 0
    assert len(made()) == 1


def test_one_bead_is_open_at_a_time_and_what_comes_meanwhile_is_joined(project: Project, make: Make) -> None:
    motivation = make("bead_completed", cooldown_minutes=10)
    works = [bead_create(project=project, title=f"Turn {number}") for number in range(4)]
    finish(works[0])
    tick()
    for work in works[1:3]:
        finish(work)
    assert tick() == 0, "it rests"
    assert motivation.triggers.filter(result=Result.PENDING).count() == 1

    later = NOW() + timedelta(minutes=10)
    assert tick(later) == 1
    (bead,) = made()
    assert motivation.triggers.first().result == Result.ALREADY_OPEN  # type: ignore[union-attr]
    finish(bead)
    finish(works[3])
    assert tick(later + timedelta(minutes=9)) == 0
    assert tick(later + timedelta(minutes=10)) == 1
    assert len(made()) == 2


def test_joined_events_all_stand_in_the_bead(project: Project, make: Make) -> None:
    make("bead_completed", cooldown_minutes=10)
    works = [bead_create(project=project, title=f"Turn {number}") for number in range(3)]
    for work in works:
        finish(work)
    assert tick() == 1
    (bead,) = made()
    for work in works:
        assert work.title in bead.description


@pytest.mark.parametrize(
    ("parameters", "fields", "fires"),
    [
        ({"bead_types": ["epic"]}, {"type": "bug"}, 0), ({"bead_types": ["bug"]}, {"type": "bug"}, 1),
        ({"labels": ["ui"]}, {"labels": ["api"]}, 0), ({"labels": ["ui"]}, {"labels": ["api", "ui"]}, 1),
    ],
)  # fmt: skip
def test_parameters_narrow_what_is_heard(
    project: Project, make: Make, parameters: dict[str, Any], fields: dict[str, Any], fires: int
) -> None:
    make("bead_completed", parameters=parameters)
    finish(bead_create(project=project, title="Turn", **fields))
    assert tick() == fires


def test_a_change_of_status_is_heard_by_its_name(project: Project, make: Make) -> None:
    make("bead_status_changed", parameters={"status": "in_progress"})
    work = bead_create(project=project, title="Turn")
    assert tick() == 0
    assert bead_claim(bead=work, agent="Ann")
    assert tick() == 1


def test_failures_on_main_count_and_those_of_claims_do_not(project: Project, make: Make) -> None:
    make("test_failure")
    for kind, fires in (("claim", 0), ("merge", 1)):
        with transaction.atomic():
            emit(
                "evidence.failed", organization_id=project.organization_id, project_id=project.pk, of=kind,
            )  # fmt: skip
        assert tick() == fires


def test_only_its_own_project_and_organization_move_it(project: Project, make: Make) -> None:
    make("bead_completed")
    make("bead_completed", name="whole", project=None)
    sister = project_create(organization=project.organization, name="Sister")
    stranger = project_create(organization=organization_ensure(name="Other"), name="Stranger")
    finish(bead_create(project=stranger, title="Theirs"))
    assert tick() == 0
    finish(bead_create(project=sister, title="Hers"))
    assert tick() == 1
    (bead,) = made()
    assert bead.project == sister


@pytest.mark.parametrize(
    ("condition", "kind", "data", "fires"),
    [
        ("release_published", "external.release", {"tag": "v1"}, 1),
        ("github_issue_opened", "external.github_issue", {"number": 7}, 1),
        ("github_comment_added", "external.github_comment", {}, 1),
        ("github_pr_opened", "external.github_pr", {}, 1),
        ("github_pr_opened", "external.github_issue", {}, 0),
        ("webhook_received", "external.webhook", {"webhook_type": "deploy"}, 1),
        ("coverage_dropped", "external.coverage", {"percent": 79.9}, 1),
        ("coverage_dropped", "external.coverage", {"percent": 80}, 0),
        ("coverage_dropped", "external.coverage", {}, 0),
    ],
)
def test_what_happens_outside(
    project: Project, make: Make, condition: str, kind: str, data: dict[str, Any], fires: int
) -> None:
    make(condition)
    external_tell(organization=project.organization, kind=kind, project=project, data=data)
    assert tick() == fires
    assert all(str(value) in made()[0].description for value in data.values() if fires)


def test_decisions_that_are_made_are_heard(project: Project, make: Make) -> None:
    make("decision_resolved")
    with transaction.atomic():
        emit("decision.resolved", organization_id=project.organization_id, project_id=project.pk, choice="a")
    assert tick() == 1


# -- limits and races -------------------------------------------------------------------------------------


def test_at_most_so_many_fire_a_tick_and_none_is_lost(project: Project, make: Make) -> None:
    for number in range(7):
        make("bead_completed", name=f"heard {number}", priority=3)
    make("bead_completed", name="urgent", priority=0)
    make("system_idle", parameters={"minutes": 1}, cooldown_minutes=60)
    Project.objects.update(created_at=NOW() - timedelta(hours=1))
    finish(bead_create(project=project, title="Turn"))

    assert [tick(limit=3) for _ in range(4)] == [3, 3, 3, 0]
    assert MotivationTrigger.objects.filter(result=Result.BEAD_CREATED).count() == 9
    first = MotivationTrigger.objects.order_by("triggered_at", "id").first()
    assert first is not None
    assert Motivation.objects.get(name="urgent").triggers.get().triggered_at == first.triggered_at


def test_the_limit_is_a_setting(project: Project, make: Make, settings: Any) -> None:
    settings.LOOM_MOTIVATION_TRIGGERS = 1
    make("bead_completed", name="a")
    make("bead_completed", name="b")
    finish(bead_create(project=project, title="Turn"))
    assert [tick(), tick(), tick()] == [1, 1, 0]


def test_an_event_with_odd_data_is_heard_by_all_it_concerns(project: Project, make: Make) -> None:
    make("webhook_received", name="a", parameters={"webhook_type": "deploy"})
    make("webhook_received", name="b")
    odd = {"webhook_type": ["deploy"], "type": {"a": 1}}
    external_tell(organization=project.organization, kind="external.webhook", project=project, data=odd)
    assert tick() == 1


def test_a_reason_that_went_meanwhile_is_no_fault(make: Make) -> None:
    motivation = make("bead_completed")
    assert pending_fire(0, NOW()) is None
    assert trigger_add(motivation_id=motivation.pk, cause="clock", key="clock:1")
    assert tick() == 1


def test_two_ticks_at_once_fire_once(project: Project, make: Make) -> None:
    pending = make("bead_completed", cooldown_minutes=60)
    sensed = make("system_idle", cooldown_minutes=60, parameters={"minutes": 1})
    Project.objects.update(created_at=NOW() - timedelta(hours=1))
    finish(bead_create(project=project, title="Turn"))

    assert sum(at_once(tick, tick, tick)) == 2
    for motivation in (pending, sensed):
        motivation.refresh_from_db()
        assert motivation.trigger_count == 1
        assert motivation.triggers.exclude(result=Result.PENDING).count() == 1
    assert len(made()) == 2


def test_the_same_reason_at_once_is_noted_once(project: Project, make: Make) -> None:
    motivation = make("bead_completed")
    add = lambda: trigger_add(motivation_id=motivation.pk, cause="clock", key="clock:1")  # noqa: E731
    assert sorted(at_once(add, add, add)) == [False, False, True]
    assert motivation.triggers.count() == 1


def test_cooldowns_are_exact(project: Project, make: Make) -> None:
    motivation = make("system_idle", cooldown_minutes=30, parameters={"minutes": 1}, create_bead=False)
    Project.objects.update(created_at=NOW() - timedelta(hours=9))
    start = NOW()
    assert tick(start) == 1
    assert tick(start + timedelta(minutes=30) - timedelta(microseconds=1)) == 0
    assert tick(start + timedelta(minutes=30)) == 1
    motivation_update(motivation=motivation, cooldown_minutes=5)
    assert tick(start + timedelta(minutes=35) - timedelta(seconds=1)) == 0
    assert tick(start + timedelta(minutes=35)) == 1


def test_a_fault_in_making_the_bead_is_told_and_stops_nobody_else(project: Project, make: Make) -> None:
    other = project_create(organization=project.organization, name="Sister")
    broken = make("release_published", project=None, name="a")
    make("release_published", project=other, name="b")
    external_tell(organization=project.organization, kind="external.release", project=other, data={})
    project_close(project=other, reason="enough")
    Motivation.objects.filter(name="b").update(project=project)
    assert tick() == 2
    trigger = broken.triggers.get()
    assert (trigger.result, trigger.error) == (Result.FAILED, "There is no open project to do it in.")


# -- people ---------------------------------------------------------------------------------------------


def test_by_hand_the_cooldown_does_not_count_but_the_open_bead_does(project: Project, make: Make) -> None:
    motivation = make("quarter_boundary", cooldown_minutes=1000)
    first = motivation_trigger(motivation=motivation, actor="ann", data={"about": {"why": "now"}})
    second = motivation_trigger(motivation=motivation, actor="ann")
    assert (first.result, second.result) == (Result.BEAD_CREATED, Result.ALREADY_OPEN)
    assert second.bead == first.bead
    assert "- why: now" in made()[0].description
    motivation.refresh_from_db()
    assert motivation.trigger_count == 2
    results = at_once(
        *[
            lambda number=number: motivation_trigger(motivation=motivation, actor=f"p{number}").result
            for number in range(3)
        ]
    )
    assert results == [Result.ALREADY_OPEN] * 3


def test_disabled_it_is_deaf(project: Project, make: Make) -> None:
    motivation = make("bead_completed")
    finish(bead_create(project=project, title="Before"))
    motivation_switch(motivation=motivation, active=False)
    motivation_switch(motivation=motivation, active=False)
    finish(bead_create(project=project, title="Meanwhile"))
    assert tick() == 0
    with pytest.raises(Conflict, match="disabled"):
        motivation_trigger(motivation=motivation, actor="ann")
    motivation_switch(motivation=motivation, active=True)
    assert tick() == 0
    finish(bead_create(project=project, title="After"))
    assert tick() == 1
    assert [
        event.kind for event in Event.objects.filter(kind__in=["motivation.enabled", "motivation.disabled"])
    ] == [
        "motivation.disabled",
        "motivation.enabled",
    ]


def test_a_closed_project_is_left_alone(project: Project, make: Make) -> None:
    make("bead_completed")
    make("project_idle", parameters={"minutes": 1})
    Project.objects.update(created_at=NOW() - timedelta(hours=9))
    finish(bead_create(project=project, title="Turn"))
    project_close(project=project, reason="enough")
    assert tick() == 0

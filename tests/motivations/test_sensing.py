"""What motivations sense by themselves: idleness, deadlines, budgets, velocity; and the default sets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent, Persona
from apps.beads.models import Bead
from apps.beads.services import bead_close, bead_create, bead_update
from apps.decisions.services import decision_request
from apps.events.models import Event
from apps.motivations import evaluation
from apps.motivations.evaluation import tick
from apps.motivations.models import Motivation
from apps.motivations.sensing import SENSES
from apps.motivations.services import motivation_switch
from apps.projects.models import Project
from apps.projects.services import project_update
from apps.providers.models import Budget

Make = Callable[..., Motivation]
NOW = timezone.now


def finish(bead: Bead) -> None:
    bead_close(bead=bead, reason="done")


# -- what is sensed -----------------------------------------------------------------------------------------


def agent_of(project: Project, **fields: Any) -> Agent:
    persona, _ = Persona.objects.get_or_create(name="default/cto", defaults={"role": "cto", "body": "x"})
    return Agent.objects.create(project=project, persona=persona, name="Ann", role="cto", **fields)


def test_idleness(project: Project, make: Make) -> None:
    make("system_idle", parameters={"minutes": 30}, create_bead=False)
    make("project_idle", parameters={"minutes": 30}, create_bead=False)
    make("agent_idle", parameters={"minutes": 30}, create_bead=False, agent_role="cto")
    make("agent_idle", name="other role", parameters={"minutes": 30}, create_bead=False, agent_role="ceo")
    now = NOW()
    agent = agent_of(project, last_active_at=now)
    later = now + timedelta(minutes=31)
    assert tick(now + timedelta(minutes=29)) == 0

    Agent.objects.filter(pk=agent.pk).update(status=Agent.Status.WORKING)
    assert tick(later) == 0, "somebody works"
    Agent.objects.filter(pk=agent.pk).update(status=Agent.Status.IDLE)
    bead = bead_create(project=project, title="Ready")
    assert tick(later) == 2, "there is work to do in the project"
    finish(bead)
    assert tick(later + timedelta(seconds=1)) == 3
    assert Event.objects.filter(kind="system.idle").count() == 2


def test_deadlines_move_once_each(project: Project, make: Make) -> None:
    now = NOW()
    make("deadline_approach", parameters={"days": 7}, create_bead=False)
    make(
        "deadline_approach", name="release", parameters={"days": 3, "labels": ["release"]}, create_bead=False
    )
    make("deadline_passed", create_bead=False)
    day = (now + timedelta(days=5)).date()
    bead_create(project=project, title="Ship", labels=[f"due:{day}", "release"])
    bead_create(project=project, title="Odd", labels=["due:tomorrow", "due:", "x"])
    bead_create(project=project, title="Last", labels=["due:9999-12-31"])  # there is no day after it

    assert [tick(now), tick(now)] == [1, 0]
    assert [tick(now + timedelta(days=3)), tick(now + timedelta(days=4))] == [1, 0]
    assert tick(now + timedelta(days=5)) == 0, "the day itself is not over"
    assert [tick(now + timedelta(days=6)), tick(now + timedelta(days=7))] == [1, 0]
    kinds = list(Event.objects.filter(kind__startswith="deadline.").values_list("kind", flat=True))
    assert kinds == ["deadline.approaching", "deadline.approaching", "deadline.passed"]


def test_many_deadlines_that_have_passed_hide_none(
    project: Project, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "KEPT_MARKS", 2)
    passed = make("deadline_passed", create_bead=False, cooldown_minutes=0)
    beads = [bead_create(project=project, title=f"Late {n}", labels=["due:2020-01-01"]) for n in range(5)]
    assert [tick() for _ in range(6)] == [1, 1, 1, 1, 1, 0]
    finish(beads[0])
    bead_update(bead=beads[1], labels=[])
    bead_create(project=project, title="Late too", labels=["due:2020-01-01"])
    assert tick() == 1
    passed.refresh_from_db()
    assert len(passed.told) == 4, "what is over or was taken back is forgotten"
    bead_update(bead=beads[1], labels=["due:2020-01-01"])
    bead_create(project=project, title="Late as well", labels=["due:2020-01-01"])
    assert [tick(), tick(), tick()] == [0, 1, 0], "one that was told long ago does not stand before others"


def test_a_fault_with_one_stops_no_other(
    project: Project, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(motivation: Motivation, now: Any) -> None:
        raise OverflowError("date value out of range")

    monkeypatch.setitem(SENSES, "agent_idle", broken)
    make("agent_idle", name="a")
    make("system_idle", name="b", parameters={"minutes": 30})
    assert tick(NOW() + timedelta(minutes=31)) == 1


def test_a_deadline_of_its_own(project: Project, make: Make) -> None:
    now = NOW()
    make("deadline_approach", parameters={"days": 1, "deadline": (now + timedelta(days=2)).isoformat()})
    assert [tick(now), tick(now + timedelta(days=1)), tick(now + timedelta(days=1, hours=1))] == [0, 1, 0]


def test_decisions_that_wait_too_long_each_once(project: Project, make: Make) -> None:
    make("decision_pending", parameters={"minutes": 5}, create_bead=False)
    now = NOW()
    for question in ("Which?", "When?"):
        decision_request(project=project, question=question)
    assert tick(now) == 0
    later = now + timedelta(minutes=6)
    assert [tick(later), tick(later), tick(later)] == [1, 1, 0]


def test_budgets(project: Project, make: Make) -> None:
    make("cost_exceeded", parameters={"percent": 90}, create_bead=False)
    budget = Budget.objects.create(
        organization=project.organization, scope="project", scope_id=project.pk,
        limit_microusd=1_000_000, spent_microusd=900_000,
    )  # fmt: skip
    assert tick() == 0
    Budget.objects.filter(pk=budget.pk).update(spent_microusd=900_001)
    assert [tick(), tick()] == [1, 0], "once for a limit"
    Budget.objects.filter(pk=budget.pk).update(limit_microusd=2_000_000, spent_microusd=1_900_000)
    assert tick() == 1


def test_velocity(project: Project, make: Make) -> None:
    make("velocity_drop", parameters={"percent": 20, "days": 7}, create_bead=False)
    now = NOW()
    beads = [bead_create(project=project, title=f"Turn {number}") for number in range(9)]
    for bead in beads:
        finish(bead)
    Bead.objects.filter(pk__in=[bead.pk for bead in beads[:5]]).update(closed_at=now - timedelta(days=8))
    assert tick(now) == 1, "4 after 5 is a drop of 20 %"
    Bead.objects.filter(pk=beads[0].pk).update(closed_at=now - timedelta(days=1))
    assert tick(now) == 0, "5 after 4 is none"


# -- the default sets -----------------------------------------------------------------------------------


def test_a_perpetual_project_gets_its_set_and_keeps_what_people_changed(project: Project) -> None:
    assert not Motivation.objects.exists()
    project_update(project=project, is_perpetual=True)
    assert Motivation.objects.filter(project=project, is_built_in=True).count() == 15
    standup = Motivation.objects.get(name="Daily standup")
    motivation_switch(motivation=standup, active=False)
    project_update(project=project, name="Wheels")
    standup.refresh_from_db()
    assert (Motivation.objects.count(), standup.status) == (15, Motivation.Status.DISABLED)
    assert standup.clock is not None
    assert not standup.clock.enabled

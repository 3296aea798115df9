"""A perpetual project stays alive: its clocks ring, agents do the work, and the next ring finds them free."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from apps.agents.models import Persona
from apps.agents.prompts import system_message
from apps.beads.models import Bead
from apps.motivations.evaluation import tick
from apps.motivations.models import Motivation
from apps.motivations.tasks import ring
from apps.projects.models import Project
from apps.projects.services import project_update
from tests.workflows.studio import APPROVE, Answer, Studio, done, write

Open = Callable[..., Studio]


def test_a_perpetual_project_goes_on_for_ever(open_studio: Open) -> None:
    asked: list[str] = []

    def model(kind: str, title: str, messages: list[dict[str, Any]]) -> Answer:
        if kind == "review":
            return APPROVE
        asked.append(title)
        return [write(f"reports/{len(asked)}.md", "All is well.\n"), done()]

    studio = open_studio(model)
    project_update(project=studio.project, is_perpetual=True)
    daily = Motivation.objects.get(project=studio.project, name="Daily tests")
    clock = PeriodicTask.objects.get(pk=daily.clock_id)

    for day in range(2):
        ring.apply(kwargs=json.loads(clock.kwargs), task_id=f"day-{day}")
        assert tick(timezone.now() + timedelta(days=day)) == 1
        studio.run()
        bead = Bead.objects.latest("id")
        assert (bead.title, bead.role, bead.status) == ("Daily tests", "qa-engineer", Bead.Status.CLOSED)

    assert asked == ["Daily tests", "Daily tests"]
    assert tick() == 0, "its own beads move nothing"
    assert studio.project_row().status == Project.Status.OPEN
    assert "All is well." in studio.main_file("reports/2.md")


def test_only_those_who_may_direct_are_told_how(open_studio: Open) -> None:
    studio = open_studio(lambda kind, title, messages: APPROVE)
    told = {
        persona.role
        for persona in Persona.objects.all()
        if "<loom>" in system_message(persona=persona, agent_name="Ann", project=studio.project)
    }
    assert told == {"cto", "product-manager", "project-manager"}

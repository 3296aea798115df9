"""Schedules that agents make: rows of django-celery-beat, so that operators see and stop them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from apps.agents.models import Agent, Session
from apps.agents.replies.language_values import instructions_of
from apps.core.errors import BadInput, Conflict, NotFound
from apps.engine.models import Run
from apps.events.bus import emit
from apps.projects.models import Project
from apps.workflows.language_catalog import Commission, checked_input, startable
from apps.workflows.language_start import workflow_start

FIRE = "workflows.language_fire"
SHORTEST_S = 60
MOST = 20  # schedules of one project
NAME_CHARS = 80


def schedules_of(project_id: int) -> QuerySet[Any]:
    rows: QuerySet[Any] = PeriodicTask.objects.filter(task=FIRE, name__startswith=_prefix(project_id))
    return rows.select_related("interval").order_by("name")


def _prefix(project_id: int) -> str:
    return f"project {project_id}: "


def shown_name(row: Any) -> str:
    return str(row.name).partition(": ")[2]


@transaction.atomic
def schedule_set(
    *, commission: Commission, name: str, workflow: str, given: dict[str, Any], options: dict[str, Any]
) -> Any:
    """Start `workflow` every so often; the same name again changes the schedule of the same agent."""
    checked_input(startable(workflow).input, given, of=workflow)
    seconds = int(options["interval"])
    if seconds < SHORTEST_S:
        raise BadInput(f"A schedule runs at most every {SHORTEST_S} seconds.", hint="Use a longer INTERVAL.")
    if len(name) > NAME_CHARS:
        raise BadInput(f"The name of a schedule has at most {NAME_CHARS} characters.")
    project = Project.objects.locked(commission.project.pk)  # the limit holds for two that come at once
    full = _prefix(project.pk) + name
    known = PeriodicTask.objects.filter(name=full).first()
    if known is not None and json.loads(known.kwargs)["agent_id"] != commission.agent.pk:
        raise Conflict(f"Another agent has a schedule {name!r}.", hint="Choose another NAME.")
    if known is None and schedules_of(project.pk).count() >= MOST:
        raise Conflict(f"A project has at most {MOST} schedules.", hint="CANCEL one first.")
    kwargs = {
        "name": name,
        "project_id": project.pk,
        "agent_id": commission.agent.pk,
        "session_id": commission.session.pk if commission.session else None,
        "workflow": workflow,
        "given": given,
        "options": {key: options[key] for key in ("timeout", "retry", "priority") if key in options},
    }
    row, created = PeriodicTask.objects.update_or_create(
        name=full,
        defaults={
            "task": FIRE,
            "interval": _interval(seconds),
            "kwargs": json.dumps(kwargs),
            "description": options.get("description", ""),
            "enabled": True,
            "last_run_at": timezone.now(),
        },
    )
    _tell(project, "schedule.created" if created else "schedule.changed", name, commission.agent.name)
    return row


def _interval(seconds: int) -> IntervalSchedule:
    wanted = {"every": seconds, "period": IntervalSchedule.SECONDS}
    return IntervalSchedule.objects.filter(**wanted).first() or IntervalSchedule.objects.create(**wanted)


@transaction.atomic
def schedule_remove(*, project: Project, name: str, actor: Agent, own_only: bool) -> None:
    row = PeriodicTask.objects.filter(name=_prefix(project.pk) + name, task=FIRE).first()
    if row is None:
        raise NotFound(f"There is no schedule {name!r} in this project.")
    if own_only and json.loads(row.kwargs)["agent_id"] != actor.pk:
        raise Conflict(f"The schedule {name!r} is another agent's.")
    row.delete()
    _tell(project, "schedule.removed", name, actor.name)


def schedule_fire(
    *,
    name: str,
    tick: str,
    project_id: int,
    agent_id: int,
    session_id: int | None,
    workflow: str,
    given: dict[str, Any],
    options: dict[str, Any],
) -> Run | None:
    """Start what a schedule is for; a message delivered twice has the same `tick` and starts it once.

    Skipped while the run of an earlier tick goes on, in a closed project, and where the agent may no longer;
    without project or agent the schedule goes too.
    """
    project = Project.objects.filter(pk=project_id).first()
    agent = Agent.objects.select_related("persona").filter(pk=agent_id, project_id=project_id).first()
    if project is None or agent is None:
        schedules_of(project_id).filter(name=_prefix(project_id) + name).delete()
        return None
    may = "SCHEDULE" in instructions_of(agent.persona.metadata)
    if project.status == Project.Status.CLOSED or not may:
        return None
    stem = f"schedule:{project_id}:{name[:NAME_CHARS]}:"
    before = Run.objects.unfinished().filter(key__startswith=stem).exclude(key=stem + tick)
    if before.exists():
        return None
    session = Session.objects.select_related("project", "agent").filter(pk=session_id).first()
    commission = Commission(project, agent, stem + tick, session)
    return workflow_start(commission=commission, workflow=workflow, given=given, options=options)


def next_tick(row: Any) -> str:
    every = timedelta(seconds=row.interval.every) if row.interval else timedelta()
    last: datetime = row.last_run_at or row.date_changed
    return (last + every).isoformat(timespec="seconds")


def _tell(project: Project, kind: str, name: str, actor: str) -> None:
    emit(
        kind,
        organization_id=project.organization_id,
        project_id=project.pk,
        subject=f"schedule:{name}",
        actor=actor,
    )

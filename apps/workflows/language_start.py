"""Starting what the catalog offers, once per key, within the limits of its project."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.core.errors import BadInput, Conflict, Forbidden
from apps.engine.models import Run
from apps.engine.services import run_start
from apps.projects.models import Project
from apps.workflows.language_catalog import WORKFLOWS, Commission, checked_input, startable

MOST_RUNS = 50  # unfinished runs of one project that agents started
MEANINGFUL = ("timeout", "retry", "priority")


def started_flows() -> set[str]:
    """The flows of runs that agents started."""
    return {one.flow for one in WORKFLOWS.values()}


def persona_may(metadata: dict[str, str], needs: str) -> bool:
    return not needs or needs in (metadata or {}).get("actions", "").split()


@transaction.atomic
def workflow_start(
    *,
    commission: Commission,
    workflow: str,
    given: dict[str, Any],
    options: dict[str, Any],
    parent: Run | None = None,
) -> Run:
    """Start it; with a key that was used before, the run that was started then."""
    entry = startable(workflow)
    if not persona_may(commission.agent.persona.metadata, entry.needs):
        raise Forbidden(f"Your role may not start {workflow}: it lacks the action {entry.needs}.")
    for name in MEANINGFUL:
        if name in options and name.upper() not in entry.takes:
            raise BadInput(f"{name.upper()} means nothing to {workflow}.")
    prepared = checked_input(entry.input, given, of=workflow)
    project = Project.objects.locked(commission.project.pk)
    if known := Run.objects.filter(key=commission.key).first():
        return known
    if project.status == Project.Status.CLOSED:
        raise Conflict(f"{project.name} is closed.")
    at_work = Run.objects.unfinished().filter(project_id=project.pk, flow__in=started_flows())
    if at_work.count() >= MOST_RUNS:
        raise Conflict(f"{MOST_RUNS} runs that agents started are unfinished; wait for some of them.")
    return run_start(
        flow=entry.flow,
        key=commission.key,
        input=entry.prepare(commission, prepared, options),
        organization_id=project.organization_id,
        project_id=project.pk,
        parent=parent,
    )

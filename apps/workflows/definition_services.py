"""Writes to the workflow definitions of organizations and projects."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts.models import Organization
from apps.agents.models import Persona
from apps.core.errors import BadInput, Conflict
from apps.events.bus import emit
from apps.projects.models import Project
from apps.workflows.graph import Graph
from apps.workflows.graph_library import built_in, graph_checked
from apps.workflows.models import WorkflowDefinition

Given = str | dict[str, Any]


def definition_create(
    *, organization: Organization, given: Given, project: Project | None = None, actor: str = ""
) -> WorkflowDefinition:
    """A workflow for all of an organization's projects, or for one; GraphRefused if it cannot work."""
    if project is not None and project.organization_id != organization.pk:
        raise BadInput("The project belongs to another organization.")
    graph = graph_checked(given, Persona.objects.for_organization(organization.pk))
    try:
        with transaction.atomic():
            definition = WorkflowDefinition.objects.create(
                organization=organization, project=project, **_columns(graph)
            )
            _tell(definition, "workflow.created", actor)
    except IntegrityError:
        raise Conflict(
            f"There is a workflow {graph.name} of {project or organization} already.",
            hint="Change that one, or choose another name.",
        ) from None
    return definition


def definition_update(
    *, definition: WorkflowDefinition, given: Given, version: int | None = None, actor: str = ""
) -> WorkflowDefinition:
    """Change what a workflow says; runs under way go on with what it said.

    `version` is the one that was read: Conflict if somebody was faster.
    """
    graph = graph_checked(given, Persona.objects.for_organization(definition.organization_id))
    if graph.name != definition.name or graph.subject != "bead":
        _unasked_require(definition)
    expected = definition.version if version is None else version
    rows = WorkflowDefinition.objects.filter(pk=definition.pk, version=expected)
    try:
        with transaction.atomic():
            changed = rows.update(**_columns(graph), version=F("version") + 1, updated_at=timezone.now())
            if not changed:
                raise Conflict(
                    f"The workflow {definition.name} was changed meanwhile.", hint="Read it again first."
                )
            definition.refresh_from_db()
            _tell(definition, "workflow.updated", actor)
    except IntegrityError:
        raise Conflict(f"There is another workflow {graph.name} already.") from None
    return definition


def definition_import(
    *, organization: Organization, given: Given, project: Project | None = None, actor: str = ""
) -> WorkflowDefinition:
    """Create the workflow, or change the one of that name at the same place."""
    graph = graph_checked(given, Persona.objects.for_organization(organization.pk))
    known = WorkflowDefinition.objects.filter(organization=organization, project=project, name=graph.name)
    if (found := known.first()) is None:
        return definition_create(organization=organization, project=project, given=given, actor=actor)
    if found.sha256 == graph.sha256:
        return found
    return definition_update(definition=found, given=given, actor=actor)


@transaction.atomic
def definition_delete(*, definition: WorkflowDefinition, actor: str = "") -> None:
    """Take a workflow away; beads that start later get the one behind it, runs under way keep theirs.

    Conflict while projects send every bead through it and nothing is behind it: they would come to a halt.
    """
    _unasked_require(definition)
    _tell(definition, "workflow.deleted", actor)
    definition.delete()


def _unasked_require(definition: WorkflowDefinition) -> None:
    """Conflict if the workflow goes and a project that asks for it by name has no other of that name."""
    if definition.name in built_in():
        return
    others = WorkflowDefinition.objects.filter(name=definition.name).exclude(pk=definition.pk)
    asking = Project.objects.filter(organization_id=definition.organization_id, workflow=definition.name)
    if definition.project_id is not None:
        asking = asking.filter(pk=definition.project_id)
        if others.filter(organization_id=definition.organization_id, project=None).exists():
            return
    own = others.exclude(project=None).values("project_id")
    if project := asking.exclude(status=Project.Status.CLOSED).exclude(pk__in=own).order_by("pk").first():
        raise Conflict(
            f"Every bead of {project.name} goes through {definition.name}.",
            hint="Choose another workflow for that project first.",
        )


def _columns(graph: Graph) -> dict[str, Any]:
    return {
        "name": graph.name,
        "content": graph.content(),
        "sha256": graph.sha256,
        "is_default": graph.default,
    }


def _tell(definition: WorkflowDefinition, kind: str, actor: str) -> None:
    emit(
        kind,
        organization_id=definition.organization_id,
        project_id=definition.project_id,
        subject=f"workflow:{definition.pk}",
        actor=actor,
        workflow=definition.name,
        workflow_id=f"wf-{definition.pk}",
        version=definition.version,
    )

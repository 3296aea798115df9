"""Self-improvement: a perpetual, sticky project over an existing repository, mostly Loom's own.

Every bead of it goes through the workflow `self-improvement`, which merges nothing before a person said yes.
The repository it was made from is only read: what was merged waits in the project's hub to be fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.db import transaction

from apps.accounts.models import Organization
from apps.agents.hub import Hub
from apps.agents.importing import repository_check, repository_import
from apps.agents.lifecycle import agent_spawn
from apps.agents.places import hub_path
from apps.agents.services import personas_of
from apps.core.errors import BadInput, Conflict
from apps.projects.models import Project
from apps.projects.services import project_create, project_mark, project_update

WORKFLOW = "self-improvement"
ROLE = "loom"


@dataclass(frozen=True)
class Improved:
    """A project that improves itself, and the commit its main branch stands at."""

    project: Project
    commit: str
    hub: Path


def self_improve(
    *, organization: Organization, repo: Path, name: str = "Loom", wanted: str = "HEAD", actor: str = ""
) -> Improved:
    """Make, or bring up to date, the project that improves a repository on this machine."""
    repository_check(repo)
    with transaction.atomic():
        # Two calls at once find one project.
        Organization.objects.select_for_update(no_key=True).values_list("pk").get(pk=organization.pk)
        known = Project.objects.filter(organization=organization, name=name).order_by("id").first()
        if known is not None and known.workflow != WORKFLOW:
            raise Conflict(
                f"There is a project called {name!r} already.",
                hint=f"Choose another name, or mark that one: --project {known.slug}",
            )
        project = known or project_create(
            organization=organization, name=name, approval=Project.Approval.ASK, actor=actor
        )
        self_improvement_mark(project=project, actor=actor)
    hub = Hub(hub_path(project.pk))
    commit = repository_import(hub, repo, branch=project.branch, wanted=wanted)
    return Improved(Project.objects.get(pk=project.pk), commit, hub.path)


@transaction.atomic
def self_improvement_mark(*, project: Project, actor: str = "") -> None:
    """Let a project improve itself from now on: kept alive, kept open, and gated by a person."""
    if project.status == Project.Status.CLOSED:
        raise Conflict(f"{project.name} is closed.", hint="Reopen it first.")
    if ROLE not in personas_of({ROLE}, project):
        raise BadInput(
            f"There is no persona with the role {ROLE!r}.", hint="Add personas/loom/loom/SKILL.md."
        )
    if project.workflow != WORKFLOW:
        project_update(project=project, workflow=WORKFLOW, approval=Project.Approval.ASK, actor=actor)
    if not (project.is_perpetual and project.is_sticky):
        project_mark(project=project, perpetual=True, sticky=True, actor=actor)
    if not project.agents.filter(role=ROLE).exists():
        agent_spawn(project=project, role=ROLE, actor=actor)


@transaction.atomic
def self_improvement_unmark(*, project: Project, actor: str = "") -> None:
    """An ordinary project again; its beads choose their workflows by type and labels."""
    project_update(project=project, workflow="", actor=actor)
    project_mark(project=project, perpetual=False, sticky=False, actor=actor)

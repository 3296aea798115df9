"""A small Loom to be measured in: migrated, with personas, a provider, and projects with a repository."""

from __future__ import annotations

from django.core.management import call_command

from apps.accounts.services import organization_ensure
from apps.agents.hub import Hub
from apps.agents.persona_services import personas_sync
from apps.agents.places import hub_path
from apps.projects.models import Project
from apps.projects.services import project_create
from apps.providers.models import Budget
from apps.providers.services import budget_set, provider_sync_environment
from tests.bench.loom_files import files

ROLE = "engineering-manager"


def house_build() -> None:
    call_command("migrate", verbosity=0, interactive=False)
    personas_sync()
    provider_sync_environment()


def project_build(name: str, *, sessions: int) -> Project:
    """A project whose repository has a few files, with a budget that never runs out."""
    organization = organization_ensure(name="bench")
    project = project_create(organization=organization, name=name, max_sessions=sessions)
    for scope, row in (("organization", organization.pk), ("project", project.pk)):
        assert scope in Budget.Scope.values
        budget_set(scope=scope, scope_id=row, limit_usd=100_000, organization_id=organization.pk)
    hub = Hub(hub_path(project.pk))
    hub.create(project.branch)
    hub.commit_files(project.branch, files(), "Start")
    return project

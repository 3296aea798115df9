"""Taking a configuration over: everything it says, or nothing.

Each part goes through the service that pages and API use, so it is checked as there, and told as there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from apps.accounts.models import Organization
from apps.agents.merge_models import policy_of
from apps.agents.merge_policies import merge_policy_set, remote_checked
from apps.agents.models import Persona
from apps.agents.persona_services import persona_import, persona_text
from apps.commands.models import CommandRule
from apps.commands.services import command_rule_set
from apps.configuration.changes import changes_between
from apps.configuration.document import Document, MotivationPart, ProjectPart, ProviderPart
from apps.configuration.export import MICRO, configuration_export, fields_of
from apps.core.commit import after_commit
from apps.core.errors import BadInput, LoomError
from apps.core.masking import MASK
from apps.events.bus import emit
from apps.motivations.models import Motivation
from apps.motivations.services import motivation_create, motivation_switch, motivation_update
from apps.projects.models import Project
from apps.projects.services import project_create, project_update
from apps.providers.models import Budget, Provider
from apps.providers.pool import forget
from apps.providers.services import budget_set, provider_create, provider_update
from apps.workflows.definition_services import definition_import

NOT_SETTINGS = {"slug", "budget_usd", "merging", "command_rules", "workflows", "motivations"}
FIXED = {"name", "type", "condition", "status", "is_built_in"}  # of a motivation


@dataclass
class Imported:
    """What a document changed, or would have changed."""

    changes: list[dict[str, Any]]
    warnings: list[str] = field(default_factory=list)


class _DryRun(Exception):
    """Takes everything back."""


def configuration_import(
    *, organization: Organization, document: Document, actor: str = "", dry_run: bool = False
) -> Imported:
    """Make the organization's configuration what the document says; `dry_run` only tells what would change.

    What the document does not name stays. A second time nothing changes. Any fault undoes all of it.
    """
    imported = Imported([])
    try:
        with transaction.atomic():
            Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
            before = configuration_export(organization)
            _Import(organization, actor, imported.warnings).run(document)
            imported.changes = changes_between(before, configuration_export(organization))
            if dry_run:
                raise _DryRun
            if imported.changes:
                emit(
                    "config.updated",
                    organization_id=organization.pk,
                    subject=f"organization:{organization.slug}",
                    actor=actor,
                    paths=[change["path"] for change in imported.changes][:100],
                )
            after_commit(forget)  # what others have read meanwhile is old
    except _DryRun:
        forget()
    return imported


class _Import:
    def __init__(self, organization: Organization, actor: str, warnings: list[str]) -> None:
        self.organization, self.actor, self.warnings = organization, actor, warnings

    def run(self, document: Document) -> None:
        if MASK in document.model_dump_json():
            raise BadInput(
                f"The configuration holds {MASK}, which stands for a secret that was not exported.",
                hint="Write what belongs there, or leave the field out.",
            )
        for persona in document.personas:
            self._at(f"personas.{persona.name}", self._persona, persona.name, persona.text)
        for provider in document.providers:
            self._at(f"providers.{provider.name}", self._provider, provider)
        self._workflows(document.workflows, None, "")
        projects = [
            (self._at(f"projects.{part.slug}", self._project, part), part) for part in document.projects
        ]
        for project, part in projects:
            at = f"projects.{part.slug}."
            self._workflows(part.workflows, project, at)
            self._motivations(part.motivations, project, at)
        self._motivations(document.motivations, None, "")
        # Budgets last: their lock is the one that others wait for.
        if "budget_usd" in document.model_fields_set:
            self._budget(Budget.Scope.ORGANIZATION, self.organization.pk, document.budget_usd)
        for project, part in projects:
            if "budget_usd" in part.model_fields_set:
                self._budget(Budget.Scope.PROJECT, project.pk, part.budget_usd)

    def _at(self, where: str, take: Any, *given: Any) -> Any:
        """What is wrong with a part says which part it is."""
        try:
            return take(*given)
        except LoomError as error:
            details = {**error.details, "at": where}
            hint = error.hint or "Nothing was changed."
            raise BadInput(f"{where}: {error.message}", hint=hint, details=details) from error

    def _persona(self, name: str, text: str) -> None:
        known = Persona.objects.filter(organization=self.organization, name=name).first()
        if known is not None and persona_text(known) == text:
            return
        _, mended = persona_import(
            organization=self.organization, name=name, text=text, author=self.actor or "configuration"
        )
        self.warnings += [f"personas.{name}: {warning}" for warning in mended]

    def _provider(self, part: ProviderPart) -> None:
        said = part.said
        said.pop("has_key", None)
        known = Provider.objects.filter(organization=self.organization, name=part.name).first()
        if known is None:
            known = provider_create(organization_id=self.organization.pk, actor=self.actor, **said)
        elif changed := _changed(known, said):
            provider_update(provider_id=known.pk, actor=self.actor, **changed)
        if part.has_key and not known.has_key:
            self.warnings.append(f"providers.{part.name} has no key yet; give it by hand.")

    def _workflows(self, given: Iterable[dict[str, Any]], project: Project | None, at: str) -> None:
        for content in given:
            self._at(f"{at}workflows.{content.get('name', '?')}", self._workflow, content, project)

    def _workflow(self, content: dict[str, Any], project: Project | None) -> None:
        definition_import(organization=self.organization, project=project, given=content, actor=self.actor)

    def _motivations(self, parts: Iterable[MotivationPart], project: Project | None, at: str) -> None:
        for part in parts:
            self._at(f"{at}motivations.{part.name}", self._motivation, part, project)

    def _motivation(self, part: MotivationPart, project: Project | None) -> None:
        said = {name: value for name, value in part.said.items() if name not in FIXED}
        rows = Motivation.objects.filter(organization=self.organization, project=project, name=part.name)
        known = rows.select_related("organization", "project").first()
        if known is None:
            known = motivation_create(
                organization=self.organization, project=project, name=part.name, type=part.type,
                condition=part.condition, is_built_in=part.is_built_in, actor=self.actor, **said,
            )  # fmt: skip
        elif (known.type, known.condition) != (part.type, part.condition):
            raise BadInput(f"There it waits for {known.condition}.", hint="Choose another name.")
        elif changed := _changed(known, said):
            known = motivation_update(motivation=known, actor=self.actor, **changed)
        if "status" in part.model_fields_set and known.status != part.status:
            active = part.status == "active"
            motivation_switch(motivation=known, active=active, actor=self.actor)

    def _project(self, part: ProjectPart) -> Project:
        said = {name: value for name, value in part.said.items() if name not in NOT_SETTINGS}
        if "checks" in said:
            said["checks"] = [check.said for check in part.checks]
        project = Project.objects.filter(organization=self.organization, slug=part.slug).first()
        if said.get("git_repo") and (project is None or said["git_repo"] != project.git_repo):
            said["git_repo"] = remote_checked(said["git_repo"])
        if project is None:
            said.setdefault("name", part.slug)
            project = project_create(organization=self.organization, slug=part.slug, actor=self.actor, **said)
        else:
            self._project_change(project, said)
        self._rules(project, part)
        if part.merging is not None and (changed := _changed(policy_of(project.pk), part.merging.said)):
            merge_policy_set(project=project, actor=self.actor, **changed)
        return project

    def _project_change(self, project: Project, said: dict[str, Any]) -> None:
        changed = _changed(project, said)
        if "branch" in changed:
            raise BadInput(f"Its branch is {project.branch}, and stays.")
        if changed:
            project_update(project=project, actor=self.actor, **changed)

    def _rules(self, project: Project, part: ProjectPart) -> None:
        rules = {row.pattern: row for row in CommandRule.objects.filter(project=project)}
        for rule in part.command_rules:
            known = rules.get(rule.pattern)
            if known is None or _changed(known, rule.said):
                command_rule_set(project=project, actor=self.actor, **rule.said)

    def _budget(self, scope: str, scope_id: int, limit: float | None) -> None:
        row = Budget.objects.filter(scope=scope, scope_id=scope_id).first()
        now = row.limit_microusd if row is not None else None
        if now != (None if limit is None else round(limit * MICRO)):
            budget_set(
                scope=scope, scope_id=scope_id, limit_usd=None if limit is None else f"{limit:.6f}",
                organization_id=self.organization.pk, actor=self.actor,
            )  # fmt: skip


def _changed(row: Any, said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if fields_of(row, [name])[name] != value}

"""An organization's configuration as a document. Keys, tokens and credentials are never read for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import Enum
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from apps.accounts.models import Organization
from apps.agents.merge_models import MergePolicy
from apps.agents.models import Persona
from apps.agents.persona_services import persona_text
from apps.commands.models import CommandRule
from apps.configuration.document import VERSION, MergingPart, MotivationPart, ProjectPart, ProviderPart
from apps.core.masking import masker
from apps.motivations.models import Motivation
from apps.projects.models import Project
from apps.providers.models import Budget, Provider
from apps.workflows.models import WorkflowDefinition

MICRO = 1_000_000
ELSEWHERE = {"budget_usd", "merging", "command_rules", "workflows", "motivations"}  # in tables of their own


def configuration_export(organization: Organization) -> dict[str, Any]:
    """A constant number of queries; what comes before what else is always the same."""
    workflows, motivations = _workflows(organization), _motivations(organization)
    limits = _limits(organization)
    whole = {
        "loom": VERSION,
        "organization": organization.slug,
        "budget_usd": limits.get((Budget.Scope.ORGANIZATION, organization.pk)),
        "personas": [
            {"name": row.name, "text": persona_text(row)}
            for row in Persona.objects.filter(organization=organization).order_by("name")
        ],
        "workflows": workflows[None],
        "providers": [
            _provider(row) for row in Provider.objects.filter(organization=organization).order_by("name")
        ],
        "motivations": motivations[None],
        "projects": _projects(organization, limits, workflows, motivations),
    }
    masked: dict[str, Any] = masker().value(whole)
    return masked


def fields_of(row: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: _plain(getattr(row, name)) for name in names}


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value  # defaults of rows that are not saved


def _provider(row: Provider) -> dict[str, Any]:
    return {**fields_of(row, ProviderPart.model_fields), "endpoint": without_userinfo(row.endpoint)}


def _projects(
    organization: Organization,
    limits: dict[tuple[str, int], float],
    workflows: dict[int | None, list[Any]],
    motivations: dict[int | None, list[Any]],
) -> list[dict[str, Any]]:
    policies = {row.project_id: row for row in MergePolicy.objects.filter(project__organization=organization)}
    rules: defaultdict[int, list[Any]] = defaultdict(list)
    for rule in CommandRule.objects.filter(project__organization=organization).order_by("pattern"):
        rules[rule.project_id].append(fields_of(rule, ("pattern", "verdict", "reason")))
    rows = Project.objects.filter(organization=organization).defer("prd").order_by("slug")
    return [
        {
            **fields_of(row, [name for name in ProjectPart.model_fields if name not in ELSEWHERE]),
            "git_repo": without_userinfo(row.git_repo),
            "budget_usd": limits.get((Budget.Scope.PROJECT, row.pk)),
            "merging": fields_of(policies.get(row.pk, MergePolicy()), MergingPart.model_fields),
            "command_rules": rules[row.pk],
            "workflows": workflows[row.pk],
            "motivations": motivations[row.pk],
        }
        for row in rows
    ]


def _limits(organization: Organization) -> dict[tuple[str, int], float]:
    rows = Budget.objects.filter(organization=organization).exclude(limit_microusd=None)
    found = rows.filter(scope__in=[Budget.Scope.ORGANIZATION, Budget.Scope.PROJECT])
    return {(row.scope, row.scope_id): (row.limit_microusd or 0) / MICRO for row in found}


def _workflows(organization: Organization) -> defaultdict[int | None, list[Any]]:
    found: defaultdict[int | None, list[Any]] = defaultdict(list)
    for row in WorkflowDefinition.objects.filter(organization=organization).order_by("name"):
        found[row.project_id].append(row.content)
    return found


def _motivations(organization: Organization) -> defaultdict[int | None, list[Any]]:
    found: defaultdict[int | None, list[Any]] = defaultdict(list)
    for row in Motivation.objects.filter(organization=organization).order_by("name"):
        found[row.project_id].append(fields_of(row, MotivationPart.model_fields))
    return found


def without_userinfo(address: str) -> str:
    """The address without a name and password that somebody wrote into it."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or "@" not in parts.netloc:
        return address
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

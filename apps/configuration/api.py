"""The API of configuration: an organization's, as JSON and as YAML, out and in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.accounts.models import Organization
from apps.accounts.permissions import permission_require
from apps.agents.models import Agent
from apps.configuration.document import document_read, permissions_needed
from apps.configuration.export import configuration_export
from apps.configuration.installation import BLOCKS, installation
from apps.configuration.reading import yaml_read, yaml_write
from apps.configuration.services import Imported, configuration_import
from apps.core.api_lists import FALSE, TRUE
from apps.core.errors import BadInput, TooLarge

ORGANIZATION = OpenApiParameter("organization", str, description="Id or slug, where one is in several.")
DRY_RUN = OpenApiParameter("dry_run", bool, description="Only tell what would change.")
NOT_TAKEN = (*BLOCKS, "agent_assignments", "model_catalog", "changes", "warnings", "dry_run")
EXAMPLE = """\
loom: 1
budget_usd: 50
projects:
  - slug: shop
    name: Shop
    max_sessions: 4
    checks:
      - {kind: test, name: unit tests, command: python -m pytest}
    command_rules:
      - {pattern: git push *, verdict: deny}
"""


class YAMLParser(BaseParser):
    """The body is the document, whatever Content-Type says."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> dict[str, Any]:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise TooLarge(f"A configuration may have {limit:,} bytes at most.")
        try:
            return yaml_read(raw.decode())
        except UnicodeDecodeError:
            raise BadInput("The configuration is not UTF-8.") from None


class Change(serializers.Serializer[Any]):
    path = serializers.CharField()
    change = serializers.ChoiceField(["added", "changed", "removed"])
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class Snapshot(serializers.Serializer[Any]):
    loom = serializers.IntegerField()
    organization = serializers.CharField()
    budget_usd = serializers.FloatField(allow_null=True)
    personas = serializers.ListField(child=serializers.DictField())
    workflows = serializers.ListField(child=serializers.DictField())
    providers = serializers.ListField(child=serializers.DictField())
    motivations = serializers.ListField(child=serializers.DictField())
    projects = serializers.ListField(child=serializers.DictField())
    agent_assignments = serializers.ListField(child=serializers.DictField())
    model_catalog = serializers.ListField(child=serializers.DictField())
    server = serializers.DictField()
    database = serializers.DictField()
    beads = serializers.DictField()
    agents = serializers.DictField()
    security = serializers.DictField()
    web_ui = serializers.DictField()
    temporal = serializers.DictField()
    dry_run = serializers.BooleanField(required=False, help_text="Of a write.")
    changes = Change(many=True, required=False, help_text="Of a write.")
    warnings = serializers.ListField(child=serializers.CharField(), required=False)


def snapshot(organization: Organization) -> dict[str, Any]:
    """The configuration, and around it what clients of the original look for."""
    agents = Agent.objects.filter(project__organization=organization, retired_at=None).order_by("pk")
    assigned = agents.values_list("name", "role", "project__slug", "persona__name")
    return {
        **configuration_export(organization),
        "agent_assignments": [
            {"agent": name, "role": role, "project": slug, "persona": persona}
            for name, role, slug, persona in assigned
        ],
        "model_catalog": [],
        **installation(),
    }


class Configuration(TenantViewSet):
    resource = "system"
    list_actions: frozenset[str] = frozenset()
    reads = {"replace": "show"}

    def row_lock(self) -> None:
        """Of two who change the same organization's, one after the other."""
        Organization.objects.select_for_update(no_key=True).get(pk=self._organization().pk)

    def get_queryset(self) -> QuerySet[Organization]:
        return Organization.objects.for_user(self.request.user)

    def _organization(self) -> Organization:
        organization = self.organization_get(self.request.query_params.get("organization"))
        self.permission_check(organization.pk)
        return organization

    @extend_schema(parameters=[ORGANIZATION], responses=Snapshot)
    def show(self, request: Request) -> Response:
        """An organization's configuration, without secrets; and what the installation is set to."""
        return Response(snapshot(self._organization()))

    @extend_schema(parameters=[ORGANIZATION, DRY_RUN], request=OpenApiTypes.OBJECT, responses=Snapshot)
    def replace(self, request: Request) -> Response:
        """Change what the body says; what it does not name stays. All of it, or nothing.

        What the installation is set to is told by `GET`, and set by environment variables: other values for
        it are refused."""
        given = self.body
        now = installation()
        if foreign := [name for name in BLOCKS if name in given and given[name] != now[name]]:
            raise BadInput(
                f"{foreign[0]} is set by environment variables of the installation.",
                details={"field": foreign[0]},
            )
        return self._take({name: value for name, value in given.items() if name not in NOT_TAKEN})

    @extend_schema(
        parameters=[ORGANIZATION],
        responses={(200, "application/x-yaml"): OpenApiTypes.STR},
    )
    def export(self, request: Request) -> HttpResponse:
        """The configuration as a file; `POST /config/import.yaml` takes it."""
        organization = self._organization()
        headers = {"Content-Disposition": f'attachment; filename="loom-{organization.slug}.yaml"'}
        text = yaml_write(configuration_export(organization))
        return HttpResponse(text, content_type="application/x-yaml; charset=utf-8", headers=headers)

    @extend_schema(
        parameters=[ORGANIZATION, DRY_RUN],
        request={"application/x-yaml": OpenApiTypes.STR},
        responses=Snapshot,
        examples=[
            OpenApiExample("A project", EXAMPLE, request_only=True, media_type="application/x-yaml"),
        ],
    )
    def take(self, request: Request) -> Response:
        """Take a file over: all of it, or nothing. `changes` tells what was, or would be, different.

        Personas, workflows, motivations, providers, rules and projects are known by their names; what the
        file does not name stays as it is. A second time nothing changes."""
        return self._take(self.body)

    def _take(self, given: dict[str, Any]) -> Response:
        organization = self._organization()
        dry_run, document = self._dry_run(), document_read(given)
        # An administrator holds them all; an API key may have been made for less.
        for permission in permissions_needed(document):
            permission_require(self.request.user, permission, organization.pk)
        done: Imported = configuration_import(
            organization=organization,
            document=document,
            actor=self.request.user.get_username(),
            dry_run=dry_run,
        )
        told = {"dry_run": dry_run, "changes": done.changes, "warnings": done.warnings}
        return Response({**snapshot(organization), **told})

    def _dry_run(self) -> bool:
        text = self.request.query_params.get("dry_run", "").lower()
        if text and text not in TRUE | FALSE:
            raise BadInput("dry_run must be true or false.", details={"field": "dry_run"})
        return text in TRUE


class ConfigurationFile(Configuration):
    parser_classes = (YAMLParser,)


urlpatterns = [
    path("config", Configuration.as_view({"get": "show", "put": "replace"}), name="config"),
    path("config/export.yaml", Configuration.as_view({"get": "export"}), name="config-export"),
    path("config/import.yaml", ConfigurationFile.as_view({"post": "take"}), name="config-import"),
]

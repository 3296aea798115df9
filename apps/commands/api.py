"""The API of rules on commands: list, set, change, remove, and try a command line against them."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api import TenantViewSet
from apps.accounts.permissions import ADMIN, READ
from apps.commands.judging import Judgement
from apps.commands.models import PATTERN_CHARS, CommandRule
from apps.commands.rules import DEFAULTS
from apps.commands.services import (
    command_judge,
    command_rule_change,
    command_rule_remove,
    command_rule_set,
)
from apps.core.api_lists import Listing, numbers, words
from apps.projects.models import Project

LINE_CHARS = 20_000


class CommandRuleBody(serializers.ModelSerializer[CommandRule]):
    class Meta:
        model = CommandRule
        fields = [
            "id", "project_id", "pattern", "verdict", "reason", "created_by", "created_at", "updated_at",
        ]  # fmt: skip


class RuleChanges(serializers.Serializer[Any]):
    pattern = serializers.CharField(max_length=PATTERN_CHARS, required=False)
    verdict = serializers.ChoiceField(choices=CommandRule.Verdict.choices, required=False)
    reason = serializers.CharField(max_length=300, required=False, allow_blank=True)


class RuleInput(RuleChanges):
    project_id = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    pattern = serializers.CharField(max_length=PATTERN_CHARS)
    verdict = serializers.ChoiceField(choices=CommandRule.Verdict.choices)


class LineInput(serializers.Serializer[Any]):
    project_id = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    command = serializers.CharField(max_length=LINE_CHARS, trim_whitespace=False)


class FindingBody(serializers.Serializer[Any]):
    command = serializers.CharField()
    verdict = serializers.CharField()
    pattern = serializers.CharField(allow_null=True)
    reason = serializers.CharField()
    is_default = serializers.BooleanField()


class JudgementBody(serializers.Serializer[Any]):
    verdict = serializers.CharField()
    error = serializers.CharField(help_text="Why the line cannot be read; empty if it can.")
    commands = FindingBody(many=True)


class DefaultRuleBody(serializers.Serializer[Any]):
    pattern = serializers.CharField()
    verdict = serializers.CharField()
    reason = serializers.CharField()


class CommandRuleViewSet(TenantViewSet):
    """Who administers the organization sets what its agents may run."""

    resource = "projects"
    listings = {"defaults": Listing()}
    permission_actions = {
        "create": ADMIN, "update": ADMIN, "partial_update": ADMIN, "destroy": ADMIN, "judge": READ,
    }  # fmt: skip
    serializer_class = CommandRuleBody
    lookup_value_regex = r"\d{1,18}"
    filters = {
        "project_id": numbers("project_id"),
        "verdict": words("verdict", choices=CommandRule.Verdict.values),
    }
    orderings = {"pattern": "pattern", "updated_at": "updated_at"}
    search_fields = ("pattern", "reason")

    def get_queryset(self) -> QuerySet[CommandRule]:
        return CommandRule.objects.for_user(self.request.user).select_related("project")

    def _project(self, key: int) -> Project:
        return self.parent_get(Project.objects.for_user(self.request.user), key)

    @extend_schema(request=RuleInput, responses={201: CommandRuleBody})
    def create(self, request: Request) -> Response:
        given = self._read(RuleInput)
        project = self._project(given.pop("project_id"))
        rule = command_rule_set(project=project, actor=str(request.user), **given)
        return Response(CommandRuleBody(rule).data, status=201)

    def _read(self, form: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        reader = form(data=self.request.data)
        reader.is_valid(raise_exception=True)
        return dict(reader.validated_data)

    @extend_schema(request=RuleChanges, responses=CommandRuleBody)
    def update(self, request: Request, pk: str) -> Response:
        """PUT as PATCH: what is not given stays as it is."""
        changed = command_rule_change(
            rule=self.get_object(), actor=str(request.user), **self._read(RuleChanges)
        )
        return Response(CommandRuleBody(changed).data)

    @extend_schema(request=RuleChanges, responses=CommandRuleBody)
    def partial_update(self, request: Request, pk: str) -> Response:
        return self.update(request, pk)

    def destroy(self, request: Request, pk: str) -> Response:
        command_rule_remove(rule=self.get_object(), actor=str(request.user))
        return Response(status=204)

    @extend_schema(responses=DefaultRuleBody(many=True))
    @action(detail=False, methods=["get"], filter_backends=())
    def defaults(self, request: Request) -> Response:
        """The rules of every project, which a project's own come before."""
        return self.listed(list(DEFAULTS), lambda page: DefaultRuleBody(page, many=True).data)

    @extend_schema(request=LineInput, responses=JudgementBody)
    @action(detail=False, methods=["post"])
    def judge(self, request: Request) -> Response:
        """What would be said of a command line; nothing is run."""
        given = self._read(LineInput)
        project = self._project(given["project_id"])
        return Response(judgement_body(command_judge(project=project, line=given["command"])))


def judgement_body(judgement: Judgement) -> dict[str, Any]:
    return {
        "verdict": judgement.verdict,
        "error": judgement.unreadable,
        "commands": [
            {
                "command": finding.command.shown,
                "verdict": finding.verdict,
                "pattern": finding.rule.pattern if finding.rule else None,
                "reason": finding.rule.reason if finding.rule else "",
                "is_default": bool(finding.rule and finding.rule.is_default),
            }
            for finding in judgement.findings
        ],
    }


router = SimpleRouter(trailing_slash=False)
router.register("command-rules", CommandRuleViewSet, basename="command-rule")
urlpatterns = router.urls

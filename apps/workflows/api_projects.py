"""What is done with projects: begun from a PRD, closed, reopened; their state and their team."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from django.db import transaction
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.agents.lifecycle import agent_resume, agent_stop
from apps.agents.models import Agent
from apps.agents.project_checks import checks_told
from apps.core.api_inputs import IdField, Input
from apps.core.errors import BadInput, NotFound
from apps.decisions.api import DecisionBody
from apps.projects.api import BRANCH, ProjectBody, ProjectInput, ProjectViewSet
from apps.projects.bodies import project_body
from apps.projects.models import CHECK_KINDS, Project
from apps.projects.prd import prd_decode, prd_title
from apps.projects.services import project_comment, project_create, project_reopen
from apps.providers.models import Budget
from apps.providers.services import budget_set
from apps.workflows.bodies import BegunBody, ClosingBody, ProjectStateBody
from apps.workflows.closing import project_close_request, project_state
from apps.workflows.graph_library import workflow_require, workflows_in, workflows_of
from apps.workflows.prd_flow import weave_start
from apps.workflows.taking_over import KEEP, WAYS, project_take_over


class WordInput(Input):
    comment = serializers.CharField(max_length=20_000, allow_blank=True, default="")


class TeamInput(Input):
    agent_id = IdField()
    action = serializers.ChoiceField(["assign", "unassign"], default="assign")


class BootstrapInput(Input):
    """`prd_text`, or `prd_file` in base64; the name is the PRD's title where none is given."""

    name = serializers.CharField(max_length=200, allow_blank=True, default="")
    branch = serializers.RegexField(BRANCH, max_length=120, default="main")
    github_url = serializers.CharField(max_length=500, allow_blank=True, default="")
    prd_text = serializers.CharField(max_length=4_000_000, required=False)
    prd_file = serializers.CharField(max_length=6_000_000, required=False)
    organization = serializers.CharField(required=False, max_length=60, help_text="Id or slug.")
    approval = serializers.ChoiceField(Project.Approval.choices, default=Project.Approval.AUTO)
    max_sessions = serializers.IntegerField(min_value=1, max_value=1000, default=4)
    budget_usd = serializers.DecimalField(12, 6, required=False, min_value=0)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        text, file = attrs.pop("prd_text", None), attrs.pop("prd_file", None)
        if (text is None) == (file is None):
            raise serializers.ValidationError({"prd_text": ["Send prd_text or prd_file."]})
        if file is not None:
            try:
                data = base64.b64decode(file, validate=True)
            except (binascii.Error, ValueError):
                raise serializers.ValidationError({"prd_file": ["This is no base64."]}) from None
        else:
            data = text.encode()
        attrs["prd"] = prd_decode(data, source="The PRD")
        return attrs


class TakeOverInput(Input):
    """A repository that exists; `way`: merged work is kept in Loom, goes to pull requests, or is pushed."""

    address = serializers.CharField(max_length=500)
    name = serializers.CharField(max_length=200, allow_blank=True, default="")
    branch = serializers.CharField(max_length=120, allow_blank=True, default="")
    way = serializers.ChoiceField(WAYS, default=KEEP)
    username = serializers.CharField(max_length=200, allow_blank=True, default="")
    credential = serializers.CharField(max_length=20_000, allow_blank=True, default="", write_only=True)
    organization = serializers.CharField(required=False, max_length=60, help_text="Id or slug.")

    def validate_branch(self, branch: str) -> str:
        if branch:
            ProjectInput.read({"name": "x", "branch": branch})
        return branch


class CheckBody(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(CHECK_KINDS)
    name = serializers.CharField()
    command = serializers.CharField()
    enabled = serializers.BooleanField()


class ChecksBody(serializers.Serializer[Any]):
    source = serializers.ChoiceField(["configured", "detected"])  # type: ignore[assignment]
    commit = serializers.CharField(allow_blank=True)
    checks = CheckBody(many=True)
    tools = serializers.ListField(child=serializers.CharField())


class ProjectWorkViewSet(ProjectViewSet):
    atomic_actions = ProjectViewSet.atomic_actions | {"bootstrap", "take_over", "close", "reopen", "agents"}
    schema_bodies: dict[str, Any] = {
        **ProjectViewSet.schema_bodies,
        "bootstrap": BootstrapInput,
        "take_over": TakeOverInput,
        "close": WordInput,
        "reopen": WordInput,
        "agents": TeamInput,
    }

    schema_answers: dict[str, Any] = {
        **ProjectViewSet.schema_answers,
        "bootstrap": BegunBody,
        "take_over": BegunBody,
        "close": {200: ProjectBody, 202: ClosingBody},
        "reopen": ProjectBody,
        "agents": ProjectBody,
        "checks": ChecksBody,
        "state": ProjectStateBody,
    }

    @action(detail=False, methods=["post"])
    @transaction.atomic
    def bootstrap(self, request: Request) -> Response:
        """A project from a PRD, at work at once: requirements, plan, beads, merged code."""
        given = BootstrapInput.read(self.body)
        organization = self.organization_get(given.pop("organization", None))
        budget, prd = given.pop("budget_usd", None), given["prd"]
        fields = ProjectInput.read(
            {"name": given["name"] or prd_title(prd), "git_repo": given.pop("github_url")}
        )
        project = project_create(
            organization=organization,
            actor=self._actor(),
            **{**given, "name": fields["name"], "git_repo": fields["git_repo"]},
        )
        if budget is not None:
            self._limit(project, budget)
        run = weave_start(project=project)
        told = {"project_id": str(project.pk), "status": "ready", "run_id": str(run.pk)}
        return Response(told, status=201, headers={"Location": f"/api/v1/projects/{project.pk}"})

    @action(detail=False, methods=["post"], url_path="take-over")
    @transaction.atomic
    def take_over(self, request: Request) -> Response:
        """A project from a repository that exists; its run copies the branch with its history."""
        given = TakeOverInput.read(self.body)
        organization = self.organization_get(given.pop("organization", None))
        project, run = project_take_over(organization=organization, actor=self._actor(), **given)
        told = {"project_id": str(project.pk), "status": "fetching", "run_id": str(run.pk)}
        return Response(told, status=201, headers={"Location": f"/api/v1/projects/{project.pk}"})

    def _limit(self, project: Project, usd: Any) -> None:
        budget_set(
            organization_id=project.organization_id,
            scope=Budget.Scope.PROJECT,
            scope_id=project.pk,
            limit_usd=usd,
            actor=self._actor(),
        )

    @action(detail=True, methods=["post"])
    @transaction.atomic
    def close(self, request: Request, pk: str) -> Response:
        """Close it; where beads are ready, 202 with the decision that its team takes first."""
        project: Project = self.get_object()
        comment = WordInput.read(self.body)["comment"]
        decision = project_close_request(project=project, reason=comment, actor=self._actor())
        self._say(project, comment)
        if decision is None:
            return Response(project_body(project.pk))
        told = {
            "status": "decision_required",
            "message": "Work is ready; whether it shall stay undone is decided first.",
            "decision_bead": DecisionBody(decision).data,
        }
        return Response(told, status=202)

    @action(detail=True, methods=["post"])
    @transaction.atomic
    def reopen(self, request: Request, pk: str) -> Response:
        project: Project = self.get_object()
        project_reopen(project=project, actor=self._actor())
        self._say(project, WordInput.read(self.body)["comment"])
        return Response(project_body(project.pk))

    def _say(self, project: Project, comment: str) -> None:
        if comment.strip():
            project_comment(project=project, author=self.request.user, comment=comment)  # type: ignore[arg-type]

    @action(detail=True, filter_backends=[], pagination_class=None)
    def checks(self, request: Request, pk: str) -> Response:
        """What proves a change now: the project's own list, or what main's files call for."""
        return Response(checks_told(self.get_object()))

    @action(detail=True)
    def state(self, request: Request, pk: str) -> Response:
        return Response(project_state(self.get_object()))

    @action(detail=True, methods=["post"])
    def agents(self, request: Request, pk: str) -> Response:
        """`unassign` takes one of the project's agents out of its team, `assign` takes it in again."""
        project, given = self.get_object(), TeamInput.read(self.body)
        agent = Agent.objects.filter(project=project, pk=given["agent_id"]).first()
        if agent is None:
            raise NotFound(f"{project.name} has no agent {given['agent_id']}.")
        if given["action"] == "unassign":
            agent_stop(agent_id=agent.pk, hand_over=True, actor=self._actor())
        elif agent.status in {Agent.Status.STOPPED, Agent.Status.PAUSED}:
            agent_resume(agent_id=agent.pk, actor=self._actor())
        return Response(project_body(project.pk))

    def create(self, request: Request) -> Response:
        if "prd" in self.body or "prd_text" in self.body:
            raise BadInput(
                "A PRD is not part of this.", hint="POST it to /projects/bootstrap, which starts the work."
            )
        if name := self.body.get("workflow"):
            organization = self.organization_get(self.body.get("organization"))
            workflow_require(str(name), workflows_in(organization.pk, None))
        return super().create(request)

    def update(self, request: Request, pk: str) -> Response:
        project: Project = self.get_object()
        name = self.body.get("workflow")
        if name and name != project.workflow:
            workflow_require(str(name), workflows_of(project))
        return super().update(request, pk)


router = SimpleRouter(trailing_slash=False)
router.register("projects", ProjectWorkViewSet, basename="project")
urlpatterns = router.urls

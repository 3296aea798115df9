"""The API of giving work: `/work`, and beads that are claimed, dispatched again or filed by programs."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import FileResponse
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.agents.api.files import author_of
from apps.agents.editing.text import MAX_BYTES
from apps.agents.models import Agent, Session, Turn
from apps.beads.api import BeadBody
from apps.beads.bodies import bead_body
from apps.beads.inputs import ReasonInput
from apps.beads.models import Bead
from apps.core.api_inputs import IdField, Input, TextsField
from apps.core.errors import BadInput, NotFound
from apps.projects.models import Project
from apps.workflows.auto_filing import SEVERITIES, error_file, improving_project
from apps.workflows.bodies import ClaimedBody
from apps.workflows.handing import bead_give, bead_redispatch, bead_take
from apps.workflows.taken_work import bead_give_back, bead_take_over, bundle_of
from apps.workflows.work import role_named, work_give

PATH = "project__organization_id"
ME = ("me", "user-me")
MOST_ACTIONS = 500


class WorkInput(Input):
    """`agent_id`, or a `role` by its name or an alias; without either the workflow says who begins."""

    prompt = serializers.CharField(max_length=100_000)
    project_id = IdField()
    agent_id = serializers.CharField(max_length=40, allow_blank=True, default="")
    role = serializers.CharField(max_length=60, allow_blank=True, default="")
    priority = serializers.IntegerField(min_value=0, max_value=4, default=2)
    context = TextsField(default=dict)  # type: ignore[assignment]


class TaskBody(serializers.Serializer[Any]):
    """What became of a task, under the names that clients of the original know; `TaskID` is the bead's."""

    TaskID = serializers.CharField()
    WorkerID = serializers.CharField(allow_blank=True)
    AgentID = serializers.CharField(allow_blank=True)
    Response = serializers.CharField(allow_blank=True)
    Actions = serializers.ListField(child=serializers.CharField())
    TokensUsed = serializers.IntegerField()
    CompletedAt = serializers.DateTimeField(allow_null=True)
    Success = serializers.BooleanField()
    Error = serializers.CharField(allow_blank=True)
    LoopIterations = serializers.IntegerField()
    LoopTerminalReason = serializers.CharField(allow_blank=True)


class ClaimInput(Input):
    agent_id = serializers.CharField(max_length=60, help_text="An agent's id, or `me`: the person who asks.")


class GiveBackInput(Input):
    patch = serializers.CharField(
        max_length=MAX_BYTES, trim_whitespace=False, allow_blank=True, default="",
        help_text="A unified diff to the files as they were taken over; without it agents go on with those.",
    )  # fmt: skip
    summary = serializers.CharField(max_length=5_000, allow_blank=True, default="")


class ErrorInput(Input):
    title = serializers.CharField(max_length=500, allow_blank=True, default="")
    source = serializers.CharField(max_length=100, allow_blank=True, default="")  # type: ignore[assignment]
    error_type = serializers.CharField(max_length=100, allow_blank=True, default="")
    message = serializers.CharField(max_length=20_000, allow_blank=True, default="")
    stack_trace = serializers.CharField(max_length=200_000, allow_blank=True, default="")
    severity = serializers.ChoiceField(list(SEVERITIES), default="high")
    occurred_at = serializers.DateTimeField(required=False, allow_null=True, default=None)
    context = TextsField(default=dict)  # type: ignore[assignment]
    project_id = IdField(required=False, allow_null=True, help_text="Else the project that improves Loom.")
    organization = serializers.CharField(required=False, max_length=60, help_text="Id or slug.")


class FiledBody(serializers.Serializer[Any]):
    bead_id = serializers.CharField()
    message = serializers.CharField()
    created = serializers.BooleanField()


class WorkViewSet(TenantViewSet):
    resource = "beads"
    etag_actions = frozenset()
    atomic_actions = frozenset({"create", "redispatch", "auto_file"})
    permission_actions = {"bundle": "write"}
    lookup_field = "key__iexact"
    lookup_url_kwarg = "key"

    def get_queryset(self) -> QuerySet[Bead]:
        return Bead.objects.for_user(self.request.user).select_related("project__organization")

    @extend_schema(
        request=WorkInput,
        responses={202: TaskBody},
        examples=[
            OpenApiExample(
                "A task",
                value={"project_id": "3", "role": "qa", "prompt": "Test the import."},
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """A task becomes a bead and is dispatched; `GET /work/{TaskID}` says what became of it."""
        given = WorkInput.read(self.body)
        project = self.parent_get(
            Project.objects.for_user(request.user).select_related("organization"), given["project_id"]
        )
        role = ""
        if given["role"] and not (role := role_named(given["role"], project.organization_id) or ""):
            raise BadInput(f"There is no role {given['role']!r}.", details={"field": "role"})
        bead = work_give(
            project=project,
            text=given["prompt"],
            role=role,
            agent=_agent(project, given["agent_id"]) if given["agent_id"] else None,
            priority=given["priority"],
            context={name: value for name, value in given["context"].items() if value is not None},
            actor=request.user.get_username(),
        )
        return Response(_task(bead), status=202, headers={"Location": f"/api/v1/work/{bead.key}"})

    @extend_schema(responses=TaskBody)
    def retrieve(self, request: Request, key: str) -> Response:
        return Response(_task(self.get_object()))

    @extend_schema(request=ClaimInput, responses={200: ClaimedBody})
    def claim(self, request: Request, key: str) -> Response:
        """Give a ready bead to an agent, who begins at once, or take it yourself. 409 if another has it."""
        bead, given = self.get_object(), ClaimInput.read(self.body)["agent_id"].strip()
        person = request.user.get_username()
        if given in (*ME, f"user-{request.user.pk}"):
            bead_take(bead=bead, person=person)
        else:
            bead_give(bead=bead, agent=_agent(bead.project, given), actor=person)
        return Response({"status": "claimed"})

    @extend_schema(request=None, responses={200: BeadBody, 202: BeadBody})
    def take_over(self, request: Request, key: str) -> Response:
        """Take the work from agents: at once (200), or as soon as they are at the end of a step (202)."""
        bead = self.get_object()
        done = bead_take_over(bead=bead, person=request.user.get_username())
        return Response(bead_body(bead.pk), status=200 if done else 202)

    @extend_schema(request=GiveBackInput, responses={200: BeadBody, 202: BeadBody})
    def give_back(self, request: Request, key: str) -> Response:
        """Give it back to agents (200); a patch is claimed: verified, reviewed and merged (202)."""
        bead, given = self.get_object(), GiveBackInput.read(self.body)
        claim = bead_give_back(
            bead=bead, person=request.user.get_username(), author=author_of(request.user), **given
        )
        return Response(bead_body(bead.pk), status=202 if claim else 200)

    @extend_schema(responses={(200, "application/x-git-bundle"): OpenApiTypes.BINARY})
    def bundle(self, request: Request, key: str) -> FileResponse:
        """The main branch and the work on a bead that one has taken over, for `git clone` and `git fetch`."""
        bead = self.get_object()
        place = bundle_of(bead, request.user.get_username())
        file = place.open("rb")
        place.unlink()
        return FileResponse(
            file, as_attachment=True, filename=f"{bead.key}.bundle", content_type="application/x-git-bundle"
        )

    @extend_schema(request=ReasonInput, responses={200: BeadBody, 202: BeadBody})
    def redispatch(self, request: Request, key: str) -> Response:
        """Have it worked on anew: at once (200), or as soon as the work under way has ended (202)."""
        bead, reason = self.get_object(), ReasonInput.read(self.body)["reason"]
        done = bead_redispatch(bead=bead, reason=reason, actor=request.user.get_username())
        return Response(bead_body(bead.pk), status=200 if done else 202)

    @extend_schema(
        request=ErrorInput,
        responses={200: FiledBody, 201: FiledBody},
        examples=[
            OpenApiExample(
                "An error of a program",
                value={
                    "source": "checkout",
                    "error_type": "KeyError",
                    "message": "KeyError: 'tax'",
                    "severity": "high",
                    "project_id": "3",
                },
                request_only=True,
            )
        ],
    )
    def auto_file(self, request: Request) -> Response:
        """File an error as a bug. While its bead is open, the same error again only counts (200)."""
        given = ErrorInput.read(self.body)
        place, organization = given.pop("project_id", None), given.pop("organization", None)
        if place is not None:
            project = self.parent_get(
                Project.objects.for_user(request.user).select_related("organization"), place
            )
            self.organization_get(organization, project=project)
        else:
            project = improving_project(self.organization_get(organization))
        given["context"] = {name: value for name, value in given["context"].items() if value is not None}
        bead, created = error_file(project=project, report=given, actor=request.user.get_username())
        words = "A bead was filed." if created else "This error has an open bead; it was counted."
        body = {"bead_id": bead.key, "message": words, "created": created}
        return Response(body, status=201 if created else 200)


def _agent(project: Project, named: str) -> Agent:
    number = named.removeprefix("agent-")
    key = int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0
    found: Agent | None = (
        Agent.objects.filter(project=project, pk=key, retired_at=None).select_related("project").first()
    )
    if found is None:
        raise NotFound(f"{project.name} has no agent {named[:60]!r}.")
    return found


def _task(bead: Bead) -> dict[str, Any]:
    rows = Session.objects.filter(bead=bead, kind=Session.Kind.WORK)
    session = rows.order_by("-id").first()
    claim = bead.claims.order_by("-number").first()
    turns = session.turns.order_by("number") if session else Turn.objects.none()
    told = list(turns.values_list("actions", "prompt_tokens", "completion_tokens"))
    return {
        "TaskID": bead.key,
        "WorkerID": str(session.pk) if session else "",
        "AgentID": f"agent-{session.agent_id}" if session else "",
        "Response": claim.summary if claim else "",
        "Actions": [action["name"] for actions, _, _ in told for action in actions][:MOST_ACTIONS],
        "TokensUsed": sum(prompt + completion for _, prompt, completion in told),
        "CompletedAt": bead.closed_at,
        "Success": bool(bead.merged_commit),
        "Error": bead.blocked_reason,
        "LoopIterations": len(told),
        "LoopTerminalReason": session.reason if session else "",
    }


urlpatterns = [
    path("work", WorkViewSet.as_view({"post": "create"}), name="work"),
    path("work/<str:key>", WorkViewSet.as_view({"get": "retrieve"}), name="work-task"),
    path("beads/auto-file", WorkViewSet.as_view({"post": "auto_file"}), name="bead-auto-file"),
    path("beads/<str:key>/claim", WorkViewSet.as_view({"post": "claim"}), name="bead-claim"),
    path("beads/<str:key>/take-over", WorkViewSet.as_view({"post": "take_over"}), name="bead-take-over"),
    path("beads/<str:key>/give-back", WorkViewSet.as_view({"post": "give_back"}), name="bead-give-back"),
    path("beads/<str:key>/bundle", WorkViewSet.as_view({"get": "bundle"}), name="bead-bundle"),
    path("beads/<str:key>/redispatch", WorkViewSet.as_view({"post": "redispatch"}), name="bead-redispatch"),
]

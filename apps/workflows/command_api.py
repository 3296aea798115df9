"""`/commands`: what was run by people and programs in projects' sandboxes, and running more."""

from __future__ import annotations

import asyncio
import posixpath
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.agents.models import Agent
from apps.beads.models import Bead
from apps.commands.models import CommandRun
from apps.core.api_inputs import IdField, Input, TextsField
from apps.core.api_lists import numbers, words
from apps.core.errors import BadInput, Forbidden
from apps.core.http import json_bytes
from apps.events.feed import in_thread
from apps.projects.models import Project
from apps.workflows.command_flow import OVER, command_request

PATH = "project__organization_id"
LINE_CHARS, MOST_SECONDS, WAITS = 20_000, 1_800, 30
POLL_S = 0.2
HOMES = ("/app/src", "/work", "/app")  # what clients of the original, and agents, call the repository's root


class ExecuteInput(Input):
    """One of `project_id`, `agent_id` and `bead_id` says where; of the bead its newest work is taken."""

    command = serializers.CharField(max_length=LINE_CHARS, trim_whitespace=False)
    project_id = IdField(required=False, allow_null=True)
    agent_id = serializers.CharField(max_length=40, allow_blank=True, default="")
    bead_id = serializers.CharField(max_length=60, allow_blank=True, default="")
    working_dir = serializers.CharField(max_length=1000, allow_blank=True, default="")
    timeout_seconds = serializers.IntegerField(min_value=1, max_value=MOST_SECONDS, default=300)
    wait_seconds = serializers.IntegerField(
        min_value=0, max_value=600, default=WAITS, help_text="Longer than this, 202 comes first."
    )
    context = TextsField(default=dict)  # type: ignore[assignment]


class CommandBody(serializers.ModelSerializer[CommandRun]):
    """`stdout` holds both streams, in the order they came."""

    id = serializers.SerializerMethodField()
    project_id = serializers.CharField()
    agent_id = serializers.SerializerMethodField()
    bead_id = serializers.CharField(source="bead_key")
    stdout = serializers.CharField(source="output")
    stderr = serializers.SerializerMethodField()
    success = serializers.SerializerMethodField()
    decision_id = serializers.CharField(allow_null=True)

    class Meta:
        model = CommandRun
        fields = [
            "id", "agent_id", "bead_id", "project_id", "command", "working_dir", "status", "verdict",
            "decision_id", "requester", "commit", "exit_code", "stdout", "stderr", "error", "success",
            "duration_ms", "started_at", "completed_at", "context", "created_at",
        ]  # fmt: skip

    def get_id(self, row: CommandRun) -> str:
        return f"cmd-{row.pk}"

    def get_agent_id(self, row: CommandRun) -> str:
        return f"agent-{row.agent_id}" if row.agent_id else ""

    def get_stderr(self, row: CommandRun) -> str:
        return ""

    def get_success(self, row: CommandRun) -> bool:
        return row.exit_code == 0


class CommandViewSet(TenantViewSet):
    """Newest first. What agents run stands in their sessions' turns."""

    resource = "projects"
    serializer_class = CommandBody
    etag_actions = frozenset()
    atomic_actions: frozenset[str] = frozenset()
    filters = {
        "project_id": numbers("project_id"),
        "bead_id": words("bead_key"),
        "agent_id": words(
            lambda rows, given: rows.filter(agent_id__in=[_number(text) for text in given]),
            help="As in agent-3.",
        ),
        "status": words("status", choices=CommandRun.Status.values),
        "requester": words("requester"),
    }
    orderings = {name: name for name in ("id", "status", "created_at", "duration_ms")}
    search_fields = ("command", "bead_key", "requester", "error")

    def get_queryset(self) -> QuerySet[CommandRun]:
        return CommandRun.objects.for_user(self.request.user).select_related("project").order_by("-id")

    def retrieve(self, request: Request, pk: str) -> Response:
        self.kwargs["pk"] = _number(pk)
        return Response(CommandBody(self.get_object()).data)

    @extend_schema(
        request=ExecuteInput,
        responses={200: CommandBody, 202: CommandBody},
        examples=[
            OpenApiExample(
                "A command", value={"project_id": "3", "command": "python -m unittest"}, request_only=True
            )
        ],
    )
    def execute(self, request: Request) -> Response:
        """Run a command line in the sandbox, on a checkout of its own. 403 if the rules forbid it; 202 while
        a person is asked, or when it takes longer than `wait_seconds`. That it fails is a result: 200."""
        given = ExecuteInput.read(self.body)
        project, agent, bead = self._place(given)
        row = command_request(
            project=project,
            line=given["command"],
            requester=request.user.get_username(),
            agent=agent,
            bead=bead,
            working_dir=_folder(given["working_dir"]),
            timeout_seconds=given["timeout_seconds"],
            context={name: value for name, value in given["context"].items() if value is not None},
        )
        if row.status == CommandRun.Status.REFUSED:
            raise Forbidden(row.error, details={"id": f"cmd-{row.pk}"})
        body = {**CommandBody(row).data, "waits": given["wait_seconds"]}
        return Response(body, status=202, headers={"Location": f"/api/v1/commands/cmd-{row.pk}"})

    def _place(self, given: dict[str, Any]) -> tuple[Project, Agent | None, Bead | None]:
        user, agent, bead, project = self.request.user, None, None, None
        if given.get("project_id") is not None:
            project = self.parent_get(Project.objects.for_user(user), given["project_id"])
        if given["agent_id"]:
            team = Agent.objects.for_user(user).select_related("project")
            agent = self.parent_get(team, _number(given["agent_id"]), organization_path=PATH)
        if given["bead_id"]:
            beads = Bead.objects.for_user(user).select_related("project")
            bead = self.parent_get(beads, given["bead_id"], field="key__iexact", organization_path=PATH)
        found = [one for one in (project, agent and agent.project, bead and bead.project) if one]
        if not found:
            raise BadInput("Say where: project_id, agent_id or bead_id.", details={"field": "project_id"})
        if len({one.pk for one in found}) > 1:
            raise BadInput("agent_id, bead_id and project_id belong to different projects.")
        return found[0], agent, bead


def _number(text: str) -> int:
    """Of `cmd-7`, `agent-7` or `7`; 0, which nothing has, where it is none."""
    tail = text.rpartition("-")[2]
    return int(tail) if tail.isascii() and tail.isdigit() and len(tail) < 19 else 0


def _folder(given: str) -> str:
    """Relative to the repository's root."""
    home = next((one for one in HOMES if given == one or given.startswith(f"{one}/")), "")
    return posixpath.normpath(given.removeprefix(home).lstrip("/") or ".")


_view: Any = CommandViewSet.as_view({"post": "execute"})


@csrf_exempt
async def execute(request: HttpRequest) -> HttpResponseBase:
    """Waits without holding a thread or a connection; who hangs up finds the result later."""
    response: Any = await sync_to_async(_view)(request)
    waits = response.data.pop("waits", None) if isinstance(getattr(response, "data", None), dict) else None
    if waits is None:
        return response  # type: ignore[no-any-return]
    ident, ends = _number(response.data["id"]), asyncio.get_running_loop().time() + waits
    while (row := await in_thread(_row, ident)).status not in OVER:
        if row.status == CommandRun.Status.ASKING or asyncio.get_running_loop().time() >= ends:
            break
        await asyncio.sleep(POLL_S)
    status = 200 if row.status in OVER else 202
    location = {"Location": response.headers["Location"]}
    body = json_bytes(CommandBody(row).data)
    return HttpResponse(body, status=status, content_type="application/json", headers=location)


def _row(ident: int) -> CommandRun:
    return CommandRun.objects.get(pk=ident)


# What looks at the routes finds the class behind this one.
for _name in ("cls", "initkwargs", "actions"):
    setattr(execute, _name, getattr(_view, _name))

urlpatterns = [
    path("commands", CommandViewSet.as_view({"get": "list"}), name="commands"),
    path("commands/execute", execute, name="command-execute"),
    path("commands/<str:pk>", CommandViewSet.as_view({"get": "retrieve"}), name="command"),
]

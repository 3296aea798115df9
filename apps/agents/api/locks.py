"""`/file-locks`: files that agents, programs and people keep for a while."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import TenantViewSet
from apps.accounts.permissions import WRITE
from apps.agents.file_locks import LASTS_S, MOST_S, file_lock, file_unlock
from apps.agents.lock_models import FileLock
from apps.agents.models import Agent
from apps.beads.models import Bead
from apps.core.api_inputs import IdField, Input
from apps.core.api_lists import numbers, words
from apps.core.errors import NotFound
from apps.projects.models import Project

AGENT = "An agent's id; else the person who asks."


class LockInput(Input):
    file_path = serializers.CharField(max_length=1000, help_text="A file or a folder; * stands for any name.")
    project_id = IdField()
    agent_id = serializers.CharField(max_length=40, allow_blank=True, default="", help_text=AGENT)
    bead_id = serializers.CharField(max_length=60, allow_blank=True, default="", help_text="It may go on.")
    expires_in = serializers.IntegerField(
        min_value=1, max_value=MOST_S, default=LASTS_S, help_text="Seconds."
    )


class LockBody(serializers.ModelSerializer[FileLock]):
    project_id = serializers.CharField()
    agent_id = serializers.SerializerMethodField()
    bead_id = serializers.SerializerMethodField()
    locked_at = serializers.DateTimeField(source="created_at")

    class Meta:
        model = FileLock
        fields = ["file_path", "project_id", "agent_id", "bead_id", "holder", "locked_at", "expires_at"]

    def get_agent_id(self, lock: FileLock) -> str:
        return f"agent-{lock.agent_id}" if lock.agent_id else ""

    def get_bead_id(self, lock: FileLock) -> str:
        return lock.bead.key if lock.bead else ""


class FileLockViewSet(TenantViewSet):
    """Live locks. While one lasts, beads that are about its path wait, but for the bead it was taken for."""

    resource = "beads"
    serializer_class = LockBody
    permission_actions = {"destroy": WRITE}
    retrieve: Any = None  # a lock has no more to read than the list tells
    filters = {
        "project_id": numbers("project_id"),
        "bead_id": words("bead__key"),
        "agent_id": numbers("agent_id"),
        "holder": words("holder"),
    }
    orderings = {"file_path": "file_path", "locked_at": "created_at", "expires_at": "expires_at"}
    search_fields = ("file_path", "holder")

    def get_queryset(self) -> QuerySet[FileLock]:
        rows = FileLock.objects.for_user(self.request.user).live()
        return rows.select_related("bead", "project").order_by("project_id", "file_path", "id")

    @extend_schema(
        request=LockInput,
        responses={200: LockBody, 201: LockBody},
        examples=[
            OpenApiExample(
                "A lock",
                value={"file_path": "app/main.py", "project_id": "3", "agent_id": "agent-7"},
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """201; 200 where it was theirs and is renewed; 409 while another keeps it, or a part of it."""
        given = LockInput.read(self.body)
        project = self._project(given["project_id"])
        agent = self._agent(project, given["agent_id"])
        bead = None
        if given["bead_id"]:
            bead = Bead.objects.filter(project=project, key__iexact=given["bead_id"]).first()
            if bead is None:
                raise NotFound(f"There is no bead {given['bead_id']!r} in {project.name}.")
        lock, created = file_lock(
            project=project,
            path=given["file_path"],
            holder=agent.name if agent else request.user.get_username(),
            agent=agent,
            bead=bead,
            seconds=given["expires_in"],
        )
        return Response(LockBody(lock).data, status=201 if created else 200)

    @extend_schema(parameters=[OpenApiParameter("agent_id", str, description=AGENT)], responses={204: None})
    def destroy(self, request: Request, pk: str, path: str) -> Response:
        """404 where that agent, or the person, does not keep it."""
        project, me = self._project(pk), request.user.get_username()
        agent = self._agent(project, request.query_params.get("agent_id", ""))
        file_unlock(project=project, path=path, holder=agent.name if agent else me, actor=me)
        return Response(status=204)

    def _project(self, key: Any) -> Project:
        return self.parent_get(Project.objects.for_user(self.request.user), key)

    def _agent(self, project: Project, named: str) -> Agent | None:
        if not named:
            return None
        number = named.removeprefix("agent-")
        key = int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0
        found: Agent | None = Agent.objects.filter(project=project, pk=key).first()
        if found is None:
            raise NotFound(f"{project.name} has no agent {named!r}.")
        return found


urlpatterns = [
    path("file-locks", FileLockViewSet.as_view({"get": "list", "post": "create"}), name="file-locks"),
    path("file-locks/<str:pk>/<path:path>", FileLockViewSet.as_view({"delete": "destroy"}), name="file-lock"),
]

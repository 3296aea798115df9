"""The API of agents; shapes as the original's Agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from apps.accounts.api import TenantViewSet
from apps.agents.api.personas import FACETS, PersonaBody
from apps.agents.lifecycle import (
    agent_clone,
    agent_pause,
    agent_resume,
    agent_retire,
    agent_spawn,
    agent_stop,
    agent_update,
)
from apps.agents.models import Agent, Persona
from apps.core.api_inputs import IdField
from apps.core.api_lists import numbers, words
from apps.core.errors import BadInput, NotFound
from apps.projects.models import Project

NAME_CHARS = 120


class AgentBody(serializers.ModelSerializer[Agent]):
    """`current_bead` is a key, `position_id` the role; `provider_id` is empty: all draw on the pool."""

    id = serializers.CharField()
    project_id = serializers.CharField()
    persona_name = serializers.CharField(source="persona.name")
    provider_id = serializers.CharField(read_only=True, default="")
    current_bead = serializers.SerializerMethodField()
    position_id = serializers.CharField(source="role")
    started_at = serializers.DateTimeField(source="created_at")
    last_active = serializers.SerializerMethodField()

    class Meta:
        model = Agent
        fields = [
            "id", "name", "role", "persona_name", "provider_id", "status", "current_bead", "current_action",
            "project_id", "position_id", "started_at", "last_active",
        ]  # fmt: skip

    def get_current_bead(self, agent: Agent) -> str:
        return agent.current_bead.key if agent.current_bead is not None else ""

    @extend_schema_field(OpenApiTypes.DATETIME)
    def get_last_active(self, agent: Agent) -> Any:
        return serializers.DateTimeField().to_representation(agent.last_active_at or agent.created_at)


class AgentDetail(AgentBody):
    """With the whole persona."""

    persona = PersonaBody()

    class Meta(AgentBody.Meta):
        fields = [*AgentBody.Meta.fields, "persona"]


class AgentInput(serializers.Serializer[Any]):
    persona_name = serializers.CharField(max_length=120)
    project_id = IdField()
    name = serializers.CharField(required=False, allow_blank=True, default="", max_length=NAME_CHARS)
    paused = serializers.BooleanField(required=False, default=False)


class AgentChange(serializers.Serializer[Any]):
    name = serializers.CharField(required=False, allow_blank=True, default="", max_length=NAME_CHARS)
    persona = serializers.DictField(required=False)


class CloneInput(serializers.Serializer[Any]):
    new_persona_name = serializers.CharField(max_length=120)
    new_agent_name = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=NAME_CHARS
    )
    source_persona = serializers.CharField(required=False, allow_blank=True, default="", max_length=120)
    replace = serializers.BooleanField(required=False, default=True)


class StopInput(serializers.Serializer[Any]):
    hand_over = serializers.BooleanField(required=False, default=False)


def persona_named(name: str, project: Project) -> Persona:
    """The persona meant in a project's organization; one without a group is of the default team."""
    path = name if "/" in name else f"default/{name}"
    found = Persona.objects.for_organization(project.organization_id).filter(name=path).first()
    if found is None:
        raise NotFound(f"There is no persona {path[:120]!r}.", hint="GET /api/v1/personas lists them.")
    return found


class AgentViewSet(TenantViewSet):
    """Personas at work in projects."""

    resource = "agents"
    lookup_value_regex = r"(?:agent-)?\d{1,18}"
    filters = {
        "project_id": numbers("project_id"),
        "status": words("status", choices=Agent.Status.values),
        "role": words("role"),
        "persona_name": words("persona__name"),
        "bead_id": words("current_bead__key", help="At work on these."),
    }
    orderings = {"name": "name", "role": "role", "status": "status", "started_at": "created_at"}
    search_fields = ("name", "role")
    schema_bodies = {
        "create": AgentInput,
        "update": AgentChange,
        "partial_update": AgentChange,
        "clone": CloneInput,
        "stop": StopInput,
        **dict.fromkeys(("pause", "resume", "activate")),
    }
    schema_answers = dict.fromkeys(("pause", "resume", "activate", "stop", "clone"), AgentDetail)

    def get_queryset(self) -> QuerySet[Agent]:
        rows = Agent.objects.for_user(self.request.user).filter(retired_at=None)
        return rows.select_related("project__organization", "persona", "current_bead").order_by("id")

    def get_serializer_class(self) -> type[AgentBody]:
        return AgentBody if self.action == "list" else AgentDetail

    def get_object(self) -> Any:
        self.kwargs["pk"] = self.kwargs["pk"].removeprefix("agent-")
        return super().get_object()

    @property
    def _actor(self) -> str:
        return str(self.request.user.get_username())

    def _read(self, kind: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        given = kind(data=self.body)
        given.is_valid(raise_exception=True)
        return dict(given.validated_data)

    def _answer(self, agent_id: int, status: int = 200) -> Response:
        return Response(AgentDetail(self.get_queryset().get(pk=agent_id)).data, status=status)

    def create(self, request: Request) -> Response:
        """Spawn an agent: it takes ready work of its role, unless `paused`."""
        if not self.body.get("persona_name") or not self.body.get("project_id"):
            raise BadInput("persona_name and project_id are required")
        given = self._read(AgentInput)
        project = self.parent_get(Project.objects.for_user(request.user), given["project_id"])
        agent = agent_spawn(
            project=project,
            persona=persona_named(given["persona_name"], project),
            name=given["name"].strip(),
            paused=given["paused"],
            actor=self._actor,
        )
        return self._answer(agent.pk, 201)

    def update(self, request: Request, pk: str) -> Response:
        """Rename an agent, or change its persona, which becomes one of its own."""
        agent, given = self.get_object(), self._read(AgentChange)
        changes = _persona_changes(given.get("persona") or {})
        agent_update(agent=agent, name=given["name"], changes=changes, actor=self._actor)
        return self._answer(agent.pk)

    def partial_update(self, request: Request, pk: str) -> Response:
        return self.update(request, pk)

    def destroy(self, request: Request, pk: str) -> Response:
        """Take an agent out of the team; work in hand is handed over, history stays."""
        agent_retire(agent_id=self.get_object().pk, actor=self._actor)
        return Response(status=204)

    def _done(self, change: Callable[..., Any], **more: Any) -> Response:
        agent = self.get_object()
        change(agent_id=agent.pk, actor=self._actor, **more)
        return self._answer(agent.pk)

    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """No more work; what is in hand is finished."""
        return self._done(agent_pause)

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """A paused or stopped agent takes work again."""
        return self._done(agent_resume)

    @action(detail=True, methods=["post"])
    def activate(self, request: Request, pk: str) -> Response:
        """The same as resume; an agent that is active stays so."""
        agent = self.get_object()
        if agent.status in {Agent.Status.PAUSED, Agent.Status.STOPPED}:
            agent_resume(agent_id=agent.pk, actor=self._actor)
        return self._answer(agent.pk)

    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: str) -> Response:
        """Stop when the work in hand is done; with `hand_over` at the next turn, and others go on."""
        return self._done(agent_stop, **self._read(StopInput))

    @action(detail=True, methods=["post"])
    def clone(self, request: Request, pk: str) -> Response:
        """A new agent with a persona of its own; with `replace` (the default) it takes this one's place."""
        agent, given = self.get_object(), self._read(CloneInput)
        source = given["source_persona"]
        made = agent_clone(
            agent=agent,
            persona_name=given["new_persona_name"],
            source=persona_named(source, agent.project) if source else None,
            name=given["new_agent_name"].strip(),
            replace=given["replace"],
            actor=self._actor,
        )
        return self._answer(made.pk, 201)


def _persona_changes(given: dict[str, Any]) -> dict[str, Any]:
    """Of a persona within an agent: only what is not empty changes something."""
    said = {key: value for key, value in given.items() if value not in ("", None, [], {})}
    metadata = {FACETS[key]: value for key, value in said.items() if key in FACETS and key != "role"}
    texts = {ours: str(said[theirs]) for theirs, ours in TEXTS.items() if theirs in said}
    return {**texts, **({"metadata": metadata} if metadata else {})}


TEXTS = {"description": "description", "instructions": "body"}

router = SimpleRouter(trailing_slash=False)
router.register("agents", AgentViewSet, basename="agent")
urlpatterns = router.urls
